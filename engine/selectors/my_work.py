"""What a person did last in a project, and how fast: for their own eyes, never beside others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from uuid import UUID

from django.db.models import Count, Prefetch
from django.utils import timezone

from engine import blobs
from engine.models import Assignment, MaskEdit
from engine.selectors.own_answers import UNDO_WITHIN
from engine.states import CAN_BE_UNDONE, AssignmentStatus, Stage

NUM_PAST = 50
#: Tasks a pace is made of, and those of them that are shown one by one.
NUM_PACE, NUM_SHOWN = 400, 20


@dataclass(frozen=True, kw_only=True)
class PastTask:
    """One answer of the person's; what does not belong to its stage is empty. ``undo_until`` is None when it stands."""

    assignment: UUID
    stage: str
    status: str
    photo_name: str
    thumbnail_url: str
    labels: Sequence[str]
    shape_rating: int | None
    texture_rating: int | None
    mask_iou: float | None
    reason: str
    seconds: float | None
    ended_at: datetime
    undo_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """One stage: answers since midnight, the usual seconds, and those of the last tasks, newest first."""

    today: int
    median_seconds: float | None
    last_seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class MyWork:
    past: Sequence[PastTask]
    pace: Mapping[str, Pace]


def my_work(*, user_id: int, project_id: int, now: datetime) -> MyWork:
    """Four queries, however much the person did."""
    own = Assignment.objects.filter(
        annotator_id=user_id, project_id=project_id, ended_at__isnull=False, question__isnull=True
    )
    edits = MaskEdit.objects.select_related("target").order_by("id")
    ended = (
        own.filter(status__in=CAN_BE_UNDONE)
        .select_related("task__image", "task__target", "selection", "alignment", "gold_answer")
        .prefetch_related(Prefetch("mask_edits", edits))
        .order_by("-ended_at")
    )
    return MyWork(
        past=[_past(each, now=now) for each in ended[:NUM_PAST]], pace=_pace(user_id, project_id, now)
    )


def _past(ended: Assignment, *, now: datetime) -> PastTask:
    assert ended.ended_at is not None, "the query asks for it"
    image, target = ended.task.image, ended.task.target
    said = _said_to_gold(ended) if ended.gold_id is not None else _said(ended)
    until = ended.ended_at + UNDO_WITHIN
    return PastTask(
        assignment=ended.uuid,
        stage=ended.stage,
        status=ended.status,
        photo_name=image.name,
        thumbnail_url=blobs.url(image.thumbnail_key),
        labels=[label for label in said.labels or [target.label if target else ""] if label],
        shape_rating=said.shape_rating,
        texture_rating=said.texture_rating,
        mask_iou=said.mask_iou,
        reason=ended.reason or said.discarded,
        seconds=ended.seconds,
        ended_at=ended.ended_at,
        undo_until=until if until > now else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What an answer said, as far as its stage asks."""

    labels: Sequence[str] = ()
    discarded: str = ""
    shape_rating: int | None = None
    texture_rating: int | None = None
    mask_iou: float | None = None


def _said(ended: Assignment) -> _Said:
    edits = list(ended.mask_edits.all())
    selection, alignment = getattr(ended, "selection", None), getattr(ended, "alignment", None)
    return _Said(
        labels=[edit.target.label for edit in edits if edit.target is not None],
        discarded=next((edit.discarded_because for edit in edits if edit.discarded_because), ""),
        shape_rating=selection.shape_rating if selection else None,
        texture_rating=selection.texture_rating if selection else None,
        mask_iou=alignment.mask_iou if alignment else None,
    )


def _said_to_gold(ended: Assignment) -> _Said:
    """Of hidden gold, which is work for the person as any other."""
    answer = getattr(ended, "gold_answer", None)
    sent = answer.sent if answer is not None else {}
    return _Said(
        labels=[each["label"] for each in sent.get("targets", ())],
        discarded=sent.get("discard", {}).get("reason", ""),
        shape_rating=sent.get("shape_rating"),
        texture_rating=sent.get("texture_rating"),
        mask_iou=sent.get("mask_iou"),
    )


def _pace(user_id: int, project_id: int, now: datetime) -> dict[str, Pace]:
    answered = Assignment.objects.filter(
        annotator_id=user_id,
        project_id=project_id,
        status=AssignmentStatus.SUBMITTED,
        question__isnull=True,
    )
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = dict(answered.filter(ended_at__gte=midnight).values_list("stage").annotate(Count("id")))
    timed = answered.filter(seconds__isnull=False).order_by("-ended_at").values_list("stage", "seconds")
    seconds: dict[str, list[float]] = {stage.value: [] for stage in Stage}
    for stage, taken in timed[:NUM_PACE]:
        seconds[stage].append(float(taken or 0.0))
    return {
        stage: Pace(
            today=today.get(stage, 0),
            median_seconds=median(taken) if taken else None,
            last_seconds=taken[:NUM_SHOWN],
        )
        for stage, taken in seconds.items()
    }
