"""Work that cannot be done as it was given: hands it to the artists, or back to stage 1 when the mask is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from engine.errors import BadInput, StaleTransition
from engine.models import AnnotationTask, ArtistCase, Assignment, TargetObject
from engine.services import quizzes, submissions
from engine.services.attention import NOT_TOLD, Looked, check_looked
from engine.services.hidden_gold import marked_escalation
from engine.services.own_work import OwnWork, read_own_work
from engine.services.tasks import REOPENED_PRIORITY, open_object_task
from engine.states import CASE_IS_OVER, AssignmentStatus, Stage, TargetStatus, TaskStatus
from engine.transitions import Actor, Move, record_creation, transition_together

#: A wrong mask goes back to stage 1; every other reason goes to the artists.
MASK_WRONG = "mask_wrong"
MAX_NOTE = 2000


@dataclass(frozen=True, kw_only=True)
class Report:
    """Whose, under which lease, why the task cannot be done, in a word and in a sentence, and what was looked at."""

    user_id: int
    assignment: UUID
    lease_token: UUID
    reason: str
    note: str
    now: datetime
    looked: Looked = NOT_TOLD


def hand_over(
    report: Report, *, stage: Stage, reasons: Sequence[str], judge: Callable[[OwnWork], None]
) -> Assignment:
    """Ends the assignment and its task as ESCALATED and sends the target where it can be mended; twice is once.

    The target becomes an artist's case, but for a wrong mask it is a proposal again: its other open tasks are
    cancelled and its photograph comes back to stage 1 before new ones. ``judge`` writes what the stage judges with
    it, in the same transaction. Raises LeaseLost without a live lease, BadInput for a reason not in ``reasons`` or
    for an impossible way of looking.
    """
    if report.reason not in reasons:
        raise BadInput(f"The reason must be one of {', '.join(reasons)}, not {report.reason!r}.")
    if len(report.note) > MAX_NOTE:
        raise BadInput(f"The note must be at most {MAX_NOTE} characters, not {len(report.note)}.")
    for attempt in range(submissions.ATTEMPTS):
        work = read_own_work(user_id=report.user_id, assignment=report.assignment, stage=stage)
        held = work.row
        if held.status == AssignmentStatus.ESCALATED and held.lease_token == report.lease_token:
            return held
        unsent = {"escalate": {"reason": report.reason, "note": report.note}}
        submissions.require_live(held, lease_token=report.lease_token, now=report.now, unsent=unsent)
        check_looked(report.looked, ids=work.candidates if stage == Stage.PICK else ())
        write = marked_escalation(work, reason=report.reason) if held.gold_id is not None else None
        try:
            with transaction.atomic():
                if write is not None:
                    _end_hidden(work, report, write=write)
                elif held.question_id is not None:
                    _end_question(work, report)
                else:
                    judge(work)
                    _end(work, report)
            return held
        except (StaleTransition, IntegrityError):
            if attempt == submissions.ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _end(work: OwnWork, report: Report) -> None:
    held = work.row
    by = Actor(user_id=held.annotator_id)
    made: dict[str, Any] = {"note": report.note}
    withdrawn: list[Move] = []
    if report.reason != MASK_WRONG:
        made["case"] = _open_case(held, report, by=by)
    elif withdrawn := _withdrawal(held):
        task = open_object_task(
            image=held.task.image,
            by=by,
            priority=held.task.priority + REOPENED_PRIORITY,
            reason=f"mask wrong: {report.note}",
        )
        cancelled = [move.row.pk for move in withdrawn if isinstance(move.row, AnnotationTask)]
        made |= {"reopened": task.pk, "cancelled": cancelled}
    own = _escalation(held, report, answer=made)
    to = TaskStatus.ESCALATED if held.task.status == TaskStatus.OPEN else None
    transition_together([own, *submissions.end_task(held, to=to), *withdrawn], by=by)


def _end_question(work: OwnWork, report: Report) -> None:
    """In a quiz: marked as an answer without a winner; nobody else hears of it. Only a pick may be answered so."""
    held = work.row
    if held.stage != Stage.PICK:
        raise BadInput("A question of the quiz cannot be handed over: answer it as well as you can.")
    marked = quizzes.mark(work, {"winner": None}, now=report.now)
    own = _escalation(held, report, answer=marked.answer)
    transition_together([own, *marked.moves], by=Actor(user_id=held.annotator_id))


def _end_hidden(work: OwnWork, report: Report, *, write: Callable[[], None]) -> None:
    """Of hidden gold: marked, and nothing comes of it; the person sees what they always see."""
    write()
    own = _escalation(work.row, report, answer={"note": report.note})
    transition_together([own], by=Actor(user_id=work.row.annotator_id))


def _escalation(held: Assignment, report: Report, *, answer: dict[str, Any]) -> Move:
    return Move(
        row=held,
        to=AssignmentStatus.ESCALATED,
        changes={
            "ended_at": report.now,
            "reason": report.reason,
            "answer": answer,
            "seconds": report.looked.seconds,
        },
        guard=submissions.guard_of(lease_token=held.lease_token, now=report.now),
        reason=report.reason,
    )


def _withdrawal(held: Assignment) -> list[Move]:
    """The target back among the proposals and its other open tasks cancelled; nothing when somebody did it before."""
    target = TargetObject.objects.filter(tasks=held.task, status=TargetStatus.CONFIRMED).first()
    if target is None:
        return []
    others = AnnotationTask.objects.filter(target=target, status=TaskStatus.OPEN)
    return [
        Move(row=target, to=TargetStatus.PROPOSED, reason=MASK_WRONG),
        *(
            Move(row=task, to=TaskStatus.CANCELLED, reason=MASK_WRONG)
            for task in others.exclude(pk=held.task_id).order_by("id")
        ),
    ]


def _open_case(held: Assignment, report: Report, *, by: Actor) -> int | None:
    """A case for the target, unless one is open already; its number if it is new."""
    target_id = held.task.target_id
    assert target_id is not None, "the database refuses a pick or pose task without a target"
    if ArtistCase.objects.filter(target_id=target_id).exclude(status__in=CASE_IS_OVER).exists():
        return None
    case = ArtistCase.objects.create(
        project_id=held.project_id,
        target_id=target_id,
        assignment=held,
        reason=report.reason,
        note=report.note,
    )
    record_creation(case, by=by, reason=report.reason)
    return case.pk
