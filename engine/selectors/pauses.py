"""Reads from the journal when each person was first paused, and after how many answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OuterRef, Q, Subquery

from engine.models import Assignment, Membership, Standing, StateChange
from engine.states import AssignmentStatus, Role, StandingStatus

ANSWERED = (AssignmentStatus.SUBMITTED, AssignmentStatus.ESCALATED)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One person's answers in a project, hidden gold among them, and their first pause: when, why, after how many."""

    user_id: int
    username: str
    num_answers: int
    num_gold: int
    num_right: int
    paused_at: datetime | None
    paused_because: str
    answers_before: int | None
    gold_before: int | None


def records_of(project_id: int) -> list[Record]:
    """Of everybody who may annotate, by name. Three queries. What was taken back is no answer; a quiz is no work."""
    first = StateChange.objects.filter(
        model="standing", object_id=OuterRef("pk"), new=StandingStatus.PAUSED
    ).order_by("pk")
    pauses = {
        user: (at, reason)
        for user, at, reason in Standing.objects.filter(project_id=project_id)
        .annotate(at=Subquery(first.values("at")[:1]), why=Subquery(first.values("reason")[:1]))
        .filter(at__isnull=False)
        .values_list("user_id", "at", "why")
    }
    paused = Standing.objects.filter(project_id=project_id, user_id=OuterRef("annotator_id"))
    at = paused.annotate(at=Subquery(first.values("at")[:1])).values("at")[:1]
    gold, before = Q(gold__isnull=False), Q(ended_at__lte=F("paused_at"))
    rows = (
        Assignment.objects.filter(project_id=project_id, status__in=ANSWERED, question__isnull=True)
        .annotate(paused_at=Subquery(at))
        .values("annotator_id")
        .annotate(
            num_answers=Count("pk"),
            num_gold=Count("pk", filter=gold),
            num_right=Count("pk", filter=Q(gold_answer__is_right=True) & gold),
            answers_before=Count("pk", filter=before),
            gold_before=Count("pk", filter=before & gold),
        )
    )
    counted: dict[int, Mapping[str, Any]] = {row["annotator_id"]: row for row in rows}
    people = (
        Membership.objects.filter(Q(role=Role.ANNOTATOR) | Q(user__in=counted), project_id=project_id)
        .values_list("user_id", "user__username")
        .distinct()
        .order_by("user__username")
    )
    return [_record(user, name, counted.get(user, {}), pauses.get(user)) for user, name in people]


def _record(
    user_id: int, username: str, counts: Mapping[str, Any], pause: tuple[datetime, str] | None
) -> Record:
    return Record(
        user_id=user_id,
        username=username,
        num_answers=counts.get("num_answers", 0),
        num_gold=counts.get("num_gold", 0),
        num_right=counts.get("num_right", 0),
        paused_at=pause[0] if pause else None,
        paused_because=pause[1] if pause else "",
        answers_before=counts.get("answers_before", 0) if pause else None,
        gold_before=counts.get("gold_before", 0) if pause else None,
    )
