"""Reads: a stage's gold tasks, what may become gold, and how people did in the quiz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from engine import blobs
from engine.models import Alignment, GoldAnswer, GoldItem, MaskEdit, Quiz, QuizAttempt, Selection
from engine.states import AssignmentStatus, Stage

MOST = 30


@dataclass(frozen=True, kw_only=True)
class Source:
    """A confirmed judgement that may become gold."""

    id: int
    photo: str
    label: str
    thumbnail_url: str
    said: str
    by: str
    answer: dict[str, Any]  # by stage: mask_url; winner and candidates (id, mesh_url); pose


def quiz_of(project_id: int, stage: Stage) -> Quiz | None:
    return Quiz.objects.filter(project_id=project_id, stage=stage).first()


def rules_of(project_id: int, stage: Stage) -> dict[str, Any]:
    """The quiz's rules, or those it would begin with."""
    quiz = quiz_of(project_id, stage) or Quiz()
    return {name: getattr(quiz, name) for name in ("is_on", "num_questions", "num_needed", "pause_seconds")}


def items_of(project_id: int, stage: Stage) -> list[Any]:
    """Live items with how often they were asked and answered right, in quizzes and among work. One query."""
    rows = GoldItem.objects.filter(project_id=project_id, stage=stage, retired_at__isnull=True)
    return list(
        rows.select_related("task__image", "task__target", "added_by")
        .annotate(
            num_answers=_answers(),
            num_right=_answers(is_right=True),
        )
        .order_by("pk")
    )


def _answers(**wanted: bool) -> Any:
    """How many answers to the outer item there are."""
    of_it = Q(question__gold_id=OuterRef("pk")) | Q(assignment__gold_id=OuterRef("pk"))
    rows = GoldAnswer.objects.exclude(assignment__status=AssignmentStatus.RETRACTED).filter(of_it, **wanted)
    number = rows.order_by().annotate(one=Value(1)).values("one").annotate(number=Count("pk"))
    return Coalesce(Subquery(number.values("number")), 0)


def attempts_of(project_id: int, stage: Stage) -> list[QuizAttempt]:
    """The newest attempts. One query."""
    rows = QuizAttempt.objects.filter(project_id=project_id, quiz__stage=stage).select_related("annotator")
    return list(rows.order_by("-pk")[:MOST])


def is_source(project_id: int, stage: Stage, source_id: int) -> bool:
    return bool(_judgements(stage).filter(pk=source_id, project_id=project_id).exists())


def sources_of(project_id: int, stage: Stage) -> list[Source]:
    """The newest judgements of tasks that are not gold yet. One query; of picks one more for the candidates."""
    is_gold = GoldItem.objects.filter(task_id=OuterRef("assignment__task_id"), retired_at__isnull=True)
    rows = (
        _judgements(stage)
        .filter(~Exists(is_gold), project_id=project_id)
        .select_related("assignment__annotator", "assignment__task__image", "assignment__task__target")
        .order_by("-pk")[:MOST]
    )
    return [_source(row, stage) for row in rows]


def _judgements(stage: Stage) -> Any:
    if stage == Stage.OBJECT:
        return MaskEdit.objects.filter(target__isnull=False).select_related("target")
    if stage == Stage.PICK:
        return Selection.objects.prefetch_related("batch__candidates")
    return Alignment.objects.all()


def _source(row: Any, stage: Stage) -> Source:
    task = row.assignment.task
    target = row.target if stage == Stage.OBJECT else task.target
    return Source(
        id=row.pk,
        photo=task.image.name,
        label=target.label or "object",
        thumbnail_url=blobs.url(task.image.thumbnail_key),
        said=_said(row, stage),
        by=row.assignment.annotator.get_username(),
        answer=_answer(row, stage),
    )


def _answer(row: Any, stage: Stage) -> dict[str, Any]:
    if stage == Stage.OBJECT:
        return {"mask_url": blobs.url(row.target.mask_key)}
    if stage == Stage.POSE:
        return {"pose": row.pose}
    shown = sorted(row.batch.candidates.all(), key=lambda each: each.index)
    return {
        "winner": row.winner_id,
        "candidates": [{"id": each.pk, "mesh_url": blobs.url(each.mesh_key)} for each in shown],
    }


def _said(row: Any, stage: Stage) -> str:
    if stage == Stage.OBJECT:
        return f"mask of {row.target.area_px} px"
    if stage == Stage.PICK:
        if row.winner_id is None:
            return f"none good enough ({row.none_because})"
        return f"candidate {row.winner_id}, shape {row.shape_rating}, texture {row.texture_rating}"
    overlap = "" if row.mask_iou is None else f", mask overlap {row.mask_iou:.2f}"
    return f"pose of candidate {row.candidate_id}{overlap}"
