"""The way of every submit: who asks, is the lease live, was it sent before, and one transaction that settles it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from engine import access
from engine.errors import BadInput, IdempotencyConflict, LeaseLost, NoAccess, NotFound, StaleTransition
from engine.models import (
    AnnotationTask,
    Assignment,
    Candidate,
    LayoutProposal,
    Membership,
    Round,
    TargetObject,
    TaxonomyEntry,
)
from engine.services.tasks import announce_queue
from engine.states import AssignmentStatus, RoundStatus, Stage, TaskStatus
from engine.transitions import Actor, Move, transition_together

ATTEMPTS = 4
#: A day: longer is a forgotten tab, not work.
MAX_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What every submit carries: whose, under which lease and Idempotency-Key, after how long."""

    user_id: int
    assignment: UUID
    lease_token: UUID
    key: str
    seconds: float
    now: datetime


@dataclass(frozen=True, kw_only=True)
class OpenRound:
    id: int
    alpha: float
    num_candidates: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What writing a judgement gave: the answer for the caller and other rows that move with it."""

    answer: dict[str, Any]
    moves: Sequence[Move] = ()


def settle(
    submission: Submission,
    *,
    stage: Stage,
    unsent: dict[str, Any],
    prepare: Callable[[Assignment], Callable[[], Judged]],
) -> dict[str, Any]:
    """The answer to this submit: the stored one for a repeat, else what the judgement gives.

    ``prepare`` gets the assignment as ``read_own`` reads it, checks what was sent, stores blobs, and returns what
    writes the judgement inside the transaction; both may run again when somebody else was faster. Raises
    IdempotencyConflict for a second submit under another key, and LeaseLost, after keeping ``unsent`` in the draft,
    when the lease is not live.
    """
    _check(submission)
    for attempt in range(ATTEMPTS):
        held = read_own(user_id=submission.user_id, assignment=submission.assignment, stage=stage)
        if held.status == AssignmentStatus.SUBMITTED:
            return _stored_answer(held, key=submission.key)
        require_live(held, lease_token=submission.lease_token, now=submission.now, unsent=unsent)
        write = prepare(held)
        try:
            with transaction.atomic():
                return _write(held, submission, write)
        except (StaleTransition, IntegrityError):
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def read_own(*, user_id: int, assignment: UUID, stage: Stage) -> Assignment:
    """The person's assignment of ``stage`` with everything a submit must know, in one statement.

    Carries project, task, image, point map, batch and candidate, and as attributes the open round, the taxonomy,
    the image's targets and the batch's candidates. Raises NotFound for other people's, NoAccess when the person may
    no longer annotate, BadInput when it is of another stage.
    """
    held = _own_assignments(user_id).filter(uuid=assignment).first()
    if held is None:
        raise NotFound("There is no such assignment of yours.")
    if not held.may_annotate:
        raise NoAccess("You may no longer annotate in this project.")
    if held.stage != stage:
        raise BadInput(
            f"This assignment is of the stage {held.stage}; what was sent is not of this stage but of {stage}."
        )
    return held


def open_round_of(held: Assignment) -> OpenRound | None:
    """The project's open round at the time ``held`` was read."""
    found: dict[str, Any] | None = held.open_round  # type: ignore[attr-defined]  # annotated by read_own
    return OpenRound(**found) if found else None


def require_live(
    held: Assignment, *, lease_token: UUID, now: datetime, unsent: dict[str, Any] | None
) -> None:
    """Raises LeaseLost unless the lease is live and proven; what was sent with it is kept in the draft first."""
    if held.status == AssignmentStatus.LEASED and held.lease_token == lease_token and held.expires_at > now:
        return
    if unsent is not None:
        Assignment.objects.filter(pk=held.pk).exclude(status=AssignmentStatus.SUBMITTED).update(
            draft={**(held.draft or {}), "unsent_result": unsent}, draft_version=F("draft_version") + 1
        )
    raise LeaseLost(
        "Your lease on this task has ended. What you sent is kept as your draft: claim again to go on."
    )


def end_task(held: Assignment, *, to: TaskStatus | None = None) -> list[Move]:
    """Counts one judgement of the task and returns its move, if that ends it: to ``to``, else DONE when it has enough.

    Must run inside a transaction; raises StaleTransition when somebody else counted first.
    """
    task, seen = held.task, held.task.num_judgements
    announce_queue(project_id=held.project_id, stage=held.stage)
    if task.status == TaskStatus.OPEN and (to is not None or seen + 1 >= task.overlap):
        return [
            Move(
                row=task,
                to=to or TaskStatus.DONE,
                changes={"num_judgements": seen + 1},
                guard={"num_judgements": seen},
            )
        ]
    same = AnnotationTask.objects.filter(pk=task.pk, num_judgements=seen, status=task.status)
    if same.update(num_judgements=seen + 1) != 1:
        raise StaleTransition("Somebody else submitted a judgement of this task in the meantime.")
    return []


def guard_of(*, lease_token: UUID, now: datetime) -> dict[str, Any]:
    """The condition that the lease is still live when the assignment's row is updated."""
    return {"lease_token": lease_token, "expires_at__gt": now}


def _write(held: Assignment, submission: Submission, write: Callable[[], Judged]) -> dict[str, Any]:
    judged = write()
    answer = {"assignment": str(held.uuid), "status": AssignmentStatus.SUBMITTED.value, **judged.answer}
    own = Move(
        row=held,
        to=AssignmentStatus.SUBMITTED,
        changes={
            "submit_key": submission.key,
            "answer": answer,
            "seconds": submission.seconds,
            "ended_at": submission.now,
        },
        guard=guard_of(lease_token=submission.lease_token, now=submission.now),
    )
    transition_together([own, *judged.moves, *end_task(held)], by=Actor(user_id=submission.user_id))
    return answer


def _check(submission: Submission) -> None:
    if not 0 < len(submission.key) <= 80:
        raise BadInput("Send an Idempotency-Key of 1 to 80 characters; a UUID is right.")
    if not math.isfinite(submission.seconds) or not 0 <= submission.seconds <= MAX_SECONDS:
        raise BadInput(f"seconds must be between 0 and {MAX_SECONDS:.0f}, not {submission.seconds}.")


def _stored_answer(held: Assignment, *, key: str) -> dict[str, Any]:
    if held.submit_key != key:
        raise IdempotencyConflict("This assignment was already submitted, under another Idempotency-Key.")
    answer: dict[str, Any] = held.answer
    return answer


def _own_assignments(user_id: int) -> QuerySet[Assignment]:
    return (
        Assignment.objects.filter(annotator_id=user_id)
        .select_related("project", "task__image__point_map", "task__target", "task__batch", "task__candidate")
        .annotate(
            may_annotate=Exists(
                Membership.objects.filter(
                    user_id=user_id,
                    project_id=OuterRef("project_id"),
                    role__in=access.MAY_ANNOTATE | access.ALWAYS,
                )
            ),
            open_round=Subquery(
                Round.objects.filter(project_id=OuterRef("project_id"), status=RoundStatus.OPEN).values(
                    row=JSONObject(id="id", alpha="alpha", num_candidates="num_candidates")
                )[:1]
            ),
            taxonomy=ArraySubquery(
                TaxonomyEntry.objects.filter(project_id=OuterRef("project_id")).values(
                    row=JSONObject(id="id", key="key", label="label")
                )
            ),
            image_targets=ArraySubquery(
                TargetObject.objects.filter(image_id=OuterRef("task__image_id")).values(
                    row=JSONObject(id="id", status="status", mask_sha256="mask_sha256")
                )
            ),
            batch_candidates=ArraySubquery(
                Candidate.objects.filter(batch_id=OuterRef("task__batch_id")).order_by("index").values("id")
            ),
            newest_proposal=Subquery(
                LayoutProposal.objects.filter(candidate_id=OuterRef("task__candidate_id"))
                .order_by("-id")
                .values("id")[:1]
            ),
        )
    )
