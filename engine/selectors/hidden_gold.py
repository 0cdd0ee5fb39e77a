"""Reads: how people did on gold hidden among their work, how much of it there is, and what a screen shows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef, Q

from engine.models import GoldAnswer, GoldItem
from engine.states import AssignmentStatus, Stage

#: Of the newest marks so many are read.
RECENT = 20_000


@dataclass(frozen=True, kw_only=True)
class GoldStock:
    """One stage's live gold, and how often it was answered among work."""

    stage: Stage
    num_items: int
    num_answers: int
    num_right: int


def outcomes_of(project_id: int) -> Mapping[tuple[int, str], list[bool]]:
    """Marks on hidden gold by (person, stage), oldest first; what was taken back is left out. One query."""
    rows = (
        GoldAnswer.objects.filter(assignment__project_id=project_id, assignment__gold__isnull=False)
        .exclude(assignment__status=AssignmentStatus.RETRACTED)
        .order_by("-pk")
        .values_list("assignment__annotator_id", "assignment__stage", "is_right")[:RECENT]
    )
    found: dict[tuple[int, str], list[bool]] = defaultdict(list)
    for user, stage, is_right in reversed(rows):
        found[(user, stage)].append(is_right)
    return dict(found)


def stock_of(project_id: int) -> list[GoldStock]:
    """Of every stage. One query."""
    answered = ~Q(assignments__status=AssignmentStatus.RETRACTED)
    rows: dict[str, Mapping[str, Any]] = {
        row["stage"]: row
        for row in GoldItem.objects.filter(project_id=project_id, retired_at__isnull=True)
        .values("stage")
        .annotate(
            num_items=Count("pk", distinct=True),
            num_answers=Count("assignments__gold_answer", filter=answered),
            num_right=Count(
                "assignments__gold_answer",
                filter=answered & Q(assignments__gold_answer__is_right=True),
            ),
        )
    }
    return [
        GoldStock(
            stage=stage,
            num_items=row.get("num_items", 0),
            num_answers=row.get("num_answers", 0),
            num_right=row.get("num_right", 0),
        )
        for stage in Stage
        for row in [rows.get(stage.value, {})]
    ]


def taken_back(*, gold: int | OuterRef, annotator: int | OuterRef) -> ArraySubquery:
    """What the person had sent to the hidden gold and took back, oldest first, as part of another statement."""
    rows = GoldAnswer.objects.filter(
        assignment__gold_id=gold,
        assignment__annotator_id=annotator,
        assignment__status=AssignmentStatus.RETRACTED,
    )
    return ArraySubquery(rows.order_by("pk").values("sent"))


def draft_of(stage: Stage, sent: Mapping[str, Any]) -> dict[str, Any] | None:
    """An answer to hidden gold in the form of a submit's result; masks are named, as of any answer taken back."""
    if stage == Stage.PICK:
        names = ("winner", "mode", "shape_rating", "texture_rating", "comparisons", "inspected")
        return {name: sent[name] for name in names}
    if stage == Stage.POSE:
        names = ("rotation_wxyz", "translation", "scale", "mask_iou", "depth_residual", "actions")
        return {name: sent[name] for name in names}
    if not sent.get("targets"):
        return None
    return {
        "targets": [
            {
                "label": each["label"],
                "taxonomy_key": each["taxonomy_key"],
                "flags": each["flags"],
                "proposal_id": each["id"],
            }
            for each in sent["targets"]
        ]
    }
