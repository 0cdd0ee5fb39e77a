"""Takes back a person's last word on a task, with what it set going, as long as nobody has built on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from engine import access, events
from engine.errors import CannotUndo, NotFound, StaleTransition
from engine.models import (
    AnnotationTask,
    ArtistCase,
    Assignment,
    Candidate,
    CandidateBatch,
    DatasetVersion,
    SampledReview,
    Selection,
    TargetObject,
)
from engine.selectors.own_answers import UNDO_WITHIN, answer_of
from engine.services import lease_sql
from engine.services.leases import BEAT, announce_expired
from engine.services.tasks import announce_queue
from engine.states import (
    CAN_BE_UNDONE,
    ArtistCaseStatus,
    AssignmentStatus,
    BatchStatus,
    DatasetStatus,
    Stage,
    TargetStatus,
    TaskStatus,
)
from engine.transitions import Actor, Move, record_creation, transition_together

ATTEMPTS = 4
TAKEN_BACK = "taken back"


def undo(*, user_id: int, assignment: UUID, now: datetime) -> Assignment:
    """The task again under a new live lease of the same person, its draft made of the answer; twice is once.

    The old assignment is RETRACTED: its judgements stay and count no more. What it had set going is taken back:
    batches, cases and tasks that nobody holds or has judged. The task in hand becomes the next one. Raises NotFound
    for other people's assignments, and CannotUndo (undo_too_late, undo_built_on, undo_frozen, undo_nothing), saying
    why, when the answer must stand; nothing is changed then.
    """
    for attempt in range(ATTEMPTS):
        ended = _own(user_id=user_id, assignment=assignment)
        access.require(user_id=user_id, project_id=ended.project_id, any_of=access.MAY_ANNOTATE)
        if ended.status == AssignmentStatus.RETRACTED:
            return _successor(ended, now=now)
        _check(ended, now=now)
        try:
            with transaction.atomic():
                return _retract(ended, now=now)
        except (StaleTransition, IntegrityError):
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _own(*, user_id: int, assignment: UUID) -> Assignment:
    own = Assignment.objects.select_related("project", "task__image", "selection", "alignment", "gold_answer")
    # The answer to a question of a quiz is no judgement and stays as it is.
    ended = own.filter(uuid=assignment, annotator_id=user_id, question__isnull=True).first()
    if ended is None:
        raise NotFound("There is no such assignment of yours.")
    return ended


def _successor(retracted: Assignment, *, now: datetime) -> Assignment:
    """The lease that a first undo gave, for its repeat."""
    again = (
        Assignment.objects.select_related("project")
        .filter(task_id=retracted.task_id, annotator_id=retracted.annotator_id)
        .filter(status=AssignmentStatus.LEASED, expires_at__gt=now)
        .first()
    )
    if again is None:
        raise CannotUndo("This answer was taken back before.", code="undo_nothing")
    return again


def _check(ended: Assignment, *, now: datetime) -> None:
    if ended.status not in CAN_BE_UNDONE or ended.ended_at is None:
        raise CannotUndo("There is no answer of yours to this task.", code="undo_nothing")
    if now - ended.ended_at > UNDO_WITHIN:
        minutes = int(UNDO_WITHIN.total_seconds() // 60)
        raise CannotUndo(f"An answer can be taken back for {minutes} minutes.", code="undo_too_late")
    if SampledReview.objects.filter(assignment=ended).exists():
        raise CannotUndo("A reviewer looks at this answer already.", code="undo_built_on")


def _retract(ended: Assignment, *, now: datetime) -> Assignment:
    by = Actor(user_id=ended.annotator_id)
    draft = answer_of(ended)
    own = Move(row=ended, to=AssignmentStatus.RETRACTED, reason=TAKEN_BACK)
    transition_together([own, *_moves_with_it(ended)], by=by)
    _step_aside(ended, now=now, by=by)
    again = Assignment.objects.create(
        project=ended.project,
        task=ended.task,
        gold_id=ended.gold_id,
        annotator_id=ended.annotator_id,
        stage=ended.stage,
        lease_token=uuid4(),
        order_seed=ended.order_seed,
        expires_at=now + timedelta(seconds=ended.project.lease_seconds),
        draft=draft,
    )
    record_creation(again, by=by, reason=TAKEN_BACK)
    for stage in Stage:
        announce_queue(project_id=ended.project_id, stage=stage)
    return again


def _moves_with_it(ended: Assignment) -> list[Move]:
    """The task's move and those of what the answer had set going."""
    if ended.gold_id is not None:  # set nothing going; the same rules for the person
        if ended.status != AssignmentStatus.SKIPPED and ended.stage != Stage.OBJECT:
            _refuse_frozen(ended)
        events.publish_change(ended.task)
        return []
    consequences = _CONSEQUENCES.get((Stage(ended.stage), AssignmentStatus(ended.status)), _no_moves)(ended)
    return [*_task_again(ended.task, was_judged=ended.status != AssignmentStatus.SKIPPED), *consequences]


def _task_again(task: AnnotationTask, *, was_judged: bool) -> list[Move]:
    """The task without this judgement, OPEN: its slot goes straight to the new assignment."""
    if task.status == TaskStatus.CANCELLED or (not was_judged and task.status != TaskStatus.OPEN):
        raise CannotUndo("The task was withdrawn in the meantime.", code="undo_built_on")
    seen = AnnotationTask.objects.filter(
        pk=task.pk, status=task.status, num_judgements=task.num_judgements, open_slots=task.open_slots
    )
    if not was_judged:  # a skip gave the slot back
        if task.open_slots == 0:
            raise CannotUndo("Somebody else has the task by now.", code="undo_built_on")
        if seen.update(open_slots=F("open_slots") - 1) != 1:
            raise StaleTransition("Somebody else took the task in the meantime.")
        return []
    if task.status != TaskStatus.OPEN:
        left = {"num_judgements": task.num_judgements - 1}
        guard = {"num_judgements": task.num_judgements, "open_slots": task.open_slots}
        return [Move(row=task, to=TaskStatus.OPEN, changes=left, guard=guard, reason=TAKEN_BACK)]
    if seen.update(num_judgements=F("num_judgements") - 1) != 1:
        raise StaleTransition("Somebody else judged the task in the meantime.")
    return []


def _step_aside(ended: Assignment, *, now: datetime, by: Actor) -> None:
    """The person's live lease of the stage becomes the next one; what was next goes back to the queue."""
    announce_expired(lease_sql.expire(now=now, limit=10, by=BEAT, annotator_id=ended.annotator_id))
    live = {
        held.prefetched: held
        for held in Assignment.objects.select_for_update().filter(
            project_id=ended.project_id,
            annotator_id=ended.annotator_id,
            stage=ended.stage,
            status=AssignmentStatus.LEASED,
        )
    }
    if False not in live:
        return
    if (ahead := live.get(True)) is not None:
        move = Move(row=ahead, to=AssignmentStatus.RELEASED, changes={"ended_at": now, "prefetched": False})
        transition_together([move], by=by)
        if ahead.is_work:
            AnnotationTask.objects.filter(pk=ahead.task_id).update(open_slots=F("open_slots") + 1)
    expires_at = now + timedelta(seconds=ended.project.lease_seconds)
    Assignment.objects.filter(pk=live[False].pk).update(prefetched=True, expires_at=expires_at)


# ---- what an answer set going ----


def _no_moves(ended: Assignment) -> list[Move]:
    return []


def _after_objects(ended: Assignment) -> list[Move]:
    """Its targets are proposals again, their batches withdrawn and the picks of them cancelled."""
    answer = ended.answer or {}
    targets = list(TargetObject.objects.select_for_update().filter(pk__in=answer.get("targets", ())))
    if any(target.status != TargetStatus.CONFIRMED for target in targets):
        raise CannotUndo("The object was reported in the meantime.", code="undo_built_on")
    batches = CandidateBatch.objects.select_for_update().filter(target__in=targets)
    tasks = AnnotationTask.objects.filter(target__in=targets)
    redrawn = TargetObject.objects.filter(pk__in=answer.get("redrawn", ()), status=TargetStatus.DISCARDED)
    return [
        *_withdrawn(targets, to=TargetStatus.PROPOSED),
        *_withdrawn(redrawn, to=TargetStatus.PROPOSED),
        *_withdrawn(
            [batch for batch in batches if batch.status != BatchStatus.WITHDRAWN], to=BatchStatus.WITHDRAWN
        ),
        *_untouched(tasks, why="Somebody has begun to pick a shape for it."),
    ]


def _after_pick(ended: Assignment) -> list[Move]:
    """The pose task of its winner is cancelled, unless somebody else picked the same one."""
    winner = ended.selection.winner_id
    assert winner is not None, "the database refuses a submitted pick without a winner"
    Candidate.objects.select_for_update().get(pk=winner)  # or a worker could open its pose task meanwhile
    _refuse_frozen(ended)
    others = Selection.standing.filter(winner_id=winner).exclude(assignment=ended)
    if others.exists():
        return []
    tasks = AnnotationTask.objects.filter(candidate_id=winner, stage=Stage.POSE)
    return _untouched(tasks, why="Somebody has begun to place the shape.")


def _after_pose(ended: Assignment) -> list[Move]:
    _refuse_frozen(ended)
    return []


def _after_escalation(ended: Assignment) -> list[Move]:
    """The case is withdrawn; after a wrong mask the target and its tasks are as they were."""
    _refuse_frozen(ended)
    made = ended.answer or {}
    cases = list(ArtistCase.objects.select_for_update().filter(assignment=ended))
    if any(case.status != ArtistCaseStatus.OPEN for case in cases):
        raise CannotUndo("An artist has taken the case.", code="undo_built_on")
    moves = _withdrawn(cases, to=ArtistCaseStatus.WITHDRAWN)
    if "reopened" in made:
        target = TargetObject.objects.select_for_update().get(tasks=ended.task)
        if target.status != TargetStatus.PROPOSED:
            raise CannotUndo("The object was marked anew in the meantime.", code="undo_built_on")
        again = AnnotationTask.objects.filter(pk=made["reopened"])
        cancelled = AnnotationTask.objects.filter(pk__in=made["cancelled"], status=TaskStatus.CANCELLED)
        moves += [
            *_withdrawn([target], to=TargetStatus.CONFIRMED),
            *_untouched(again, why="Somebody has begun to mark the object anew."),
            *_withdrawn(cancelled, to=TaskStatus.OPEN),
        ]
    return moves


_CONSEQUENCES: Mapping[tuple[Stage, AssignmentStatus], Callable[[Assignment], list[Move]]] = {
    (Stage.OBJECT, AssignmentStatus.SUBMITTED): _after_objects,
    (Stage.PICK, AssignmentStatus.SUBMITTED): _after_pick,
    (Stage.PICK, AssignmentStatus.ESCALATED): _after_escalation,
    (Stage.POSE, AssignmentStatus.SUBMITTED): _after_pose,
    (Stage.POSE, AssignmentStatus.ESCALATED): _after_escalation,
}


def _withdrawn(rows: Sequence[Any] | Any, *, to: Any) -> list[Move]:
    return [Move(row=row, to=to, reason=TAKEN_BACK) for row in rows]


def _untouched(tasks: Any, *, why: str) -> list[Move]:
    """Cancels the open tasks. Raises CannotUndo when somebody holds or has judged one of them."""
    live = Q(assignments__status=AssignmentStatus.LEASED)
    if tasks.filter(
        live | Q(status__in=[TaskStatus.DONE, TaskStatus.ESCALATED]) | Q(num_judgements__gt=0)
    ).exists():
        raise CannotUndo(f"{why} It cannot be taken back any more.", code="undo_built_on")
    return [
        Move(
            row=task,
            to=TaskStatus.CANCELLED,
            guard={"open_slots": task.open_slots, "num_judgements": 0},
            reason=TAKEN_BACK,
        )
        for task in tasks.filter(status=TaskStatus.OPEN).order_by("id")
    ]


def _refuse_frozen(ended: Assignment) -> None:
    """A version frozen since may rest on the answer; it never changes, so the answer must stand."""
    versions = DatasetVersion.objects.filter(project_id=ended.project_id, status=DatasetStatus.FROZEN)
    if versions.filter(frozen_at__gte=ended.ended_at).exists():
        raise CannotUndo("A dataset version was frozen since and may rest on it.", code="undo_frozen")
