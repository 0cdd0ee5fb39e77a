"""The way of every submit: who asks, is the lease live, was it sent before, and one transaction that settles it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from engine.errors import BadInput, IdempotencyConflict, LeaseLost, StaleTransition
from engine.models import AnnotationTask, Assignment
from engine.services import quizzes
from engine.services.attention import check_seconds
from engine.services.own_work import OwnWork, read_own_work
from engine.services.tasks import announce_queue
from engine.states import IS_ANSWERED, AssignmentStatus, Stage, TaskStatus
from engine.transitions import Actor, Move, transition_together

ATTEMPTS = 4


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
class Judged:
    """What writing a judgement gave: the answer for the caller and other rows that move with it."""

    answer: dict[str, Any]
    moves: Sequence[Move] = ()


def settle(
    submission: Submission,
    *,
    stage: Stage,
    unsent: dict[str, Any],
    prepare: Callable[[OwnWork], Callable[[], Judged]],
) -> dict[str, Any]:
    """The answer to this submit: the stored one for a repeat, else what the judgement gives.

    ``prepare`` gets the assignment and what lies around it, checks what was sent, stores blobs, and returns what
    writes the judgement inside the transaction; both may run again when somebody else was faster. The answer to a
    question of a quiz is marked and not written; of hidden gold ``prepare`` returns what marks it. Raises
    IdempotencyConflict for a second submit under another key, and LeaseLost, after keeping ``unsent`` in the draft,
    when the lease is not live.
    """
    _check(submission)
    for attempt in range(ATTEMPTS):
        work = read_own_work(user_id=submission.user_id, assignment=submission.assignment, stage=stage)
        held = work.row
        if held.status == AssignmentStatus.SUBMITTED:
            return _stored_answer(held, key=submission.key)
        require_live(held, lease_token=submission.lease_token, now=submission.now, unsent=unsent)
        write = prepare(work)
        if held.question_id is not None:
            write = partial(_mark, work, unsent, submission.now)
        try:
            with transaction.atomic():
                return _write(held, submission, write)
        except (StaleTransition, IntegrityError):
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def require_live(
    held: Assignment, *, lease_token: UUID, now: datetime, unsent: dict[str, Any] | None
) -> None:
    """Raises LeaseLost unless the lease is live and proven; what was sent with it is kept in the draft first."""
    if held.status == AssignmentStatus.LEASED and held.lease_token == lease_token and held.expires_at > now:
        return
    if unsent is not None:
        Assignment.objects.filter(pk=held.pk).exclude(status__in=IS_ANSWERED).update(
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
    ended = end_task(held) if held.is_work else []
    transition_together([own, *judged.moves, *ended], by=Actor(user_id=submission.user_id))
    return answer


def _mark(work: OwnWork, sent: dict[str, Any], now: datetime) -> Judged:
    """The answer to a question of a quiz: it is marked, and no judgement."""
    marked = quizzes.mark(work, sent, now=now)
    return Judged(answer=marked.answer, moves=marked.moves)


def _check(submission: Submission) -> None:
    if not 0 < len(submission.key) <= 80:
        raise BadInput("Send an Idempotency-Key of 1 to 80 characters; a UUID is right.")
    check_seconds(submission.seconds)


def _stored_answer(held: Assignment, *, key: str) -> dict[str, Any]:
    if held.submit_key != key:
        raise IdempotencyConflict("This assignment was already submitted, under another Idempotency-Key.")
    assert held.answer is not None, "the database refuses a submitted assignment without an answer"
    answer: dict[str, Any] = held.answer
    return answer
