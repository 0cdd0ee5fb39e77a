"""Opens pieces of work for people, each once."""

from __future__ import annotations

from engine import events
from engine.models import AnnotationTask, Candidate, CandidateBatch, Image, Selection
from engine.states import Stage, TargetStatus, TaskStatus
from engine.transitions import Actor, record_creation, transition

#: A photograph whose mask was found wrong goes before new ones.
REOPENED_PRIORITY = 10


def open_object_task(*, image: Image, by: Actor, priority: int = 0, reason: str = "") -> AnnotationTask:
    """Opens stage 1 for the photograph. Must run inside a transaction, as all here."""
    return _open(
        AnnotationTask(project_id=image.project_id, stage=Stage.OBJECT, image=image, priority=priority),
        by,
        reason,
    )


def open_pick_task(*, batch: CandidateBatch, by: Actor) -> AnnotationTask:
    """Opens stage 2 for a batch that became READY; the caller's lock on the batch makes it once."""
    return _open(
        AnnotationTask(
            project_id=batch.project_id,
            stage=Stage.PICK,
            image_id=batch.target.image_id,
            target_id=batch.target_id,
            batch=batch,
        ),
        by,
    )


def open_pose_task(*, candidate: Candidate, by: Actor) -> AnnotationTask | None:
    """Opens stage 3 for the candidate; locks the candidate, so that it is once.

    One that was cancelled is opened again. None when it is or was open, when the target's mask has been found wrong,
    and when everybody who picked the candidate took that back.
    """
    locked = Candidate.objects.select_for_update(of=["self"]).select_related("target").get(pk=candidate.pk)
    if locked.target.status != TargetStatus.CONFIRMED:
        return None
    picks = Selection.objects.filter(winner=candidate)
    if picks.exists() and not Selection.standing.filter(winner=candidate).exists():
        return None
    before = AnnotationTask.objects.filter(candidate=candidate, stage=Stage.POSE).first()
    if before is not None:
        return _reopen(before, by) if before.status == TaskStatus.CANCELLED else None
    return _open(
        AnnotationTask(
            project_id=candidate.project_id,
            stage=Stage.POSE,
            image_id=candidate.target.image_id,
            target_id=candidate.target_id,
            candidate=candidate,
        ),
        by,
    )


def announce_queue(*, project_id: int, stage: str) -> None:
    """Tells the project's watchers that the queue of ``stage`` grew or shrank."""
    events.publish(project_id=project_id, kind="queue.changed", stage=str(stage))


def _reopen(task: AnnotationTask, by: Actor) -> AnnotationTask:
    transition(task, TaskStatus.OPEN, by=by, reason="wanted again")
    announce_queue(project_id=task.project_id, stage=task.stage)
    return task


def _open(task: AnnotationTask, by: Actor, reason: str = "") -> AnnotationTask:
    task.save(force_insert=True)
    record_creation(task, by=by, reason=reason)
    announce_queue(project_id=task.project_id, stage=task.stage)
    return task
