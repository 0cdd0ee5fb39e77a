"""The judgements that count: the one place that says which of what people sent is left out."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from engine.states import ReviewStatus

Judgement = TypeVar("Judgement", bound=Model)

#: Why a judgement counts no more, as a condition on rows that name their ``assignment``.
LEFT_OUT = Q(assignment__review__status__in=[ReviewStatus.SENT_BACK, ReviewStatus.FIXED])


def counting(rows: QuerySet[Judgement]) -> QuerySet[Judgement]:
    """Of selections, comparisons, alignments or mask edits those that count: not sent back, not fixed by a reviewer."""
    return rows.exclude(LEFT_OUT)
