"""Tries again what a worker gave up: the row goes back to where work begins, and a new job is written."""

from __future__ import annotations

from django.db import transaction

from engine import jobs
from engine.errors import EngineError, NotFound
from engine.models import Job, PointMap
from engine.services import candidates, runs
from engine.states import JobStatus, PointMapStatus
from engine.transitions import Actor, transition


def retry_job(*, job_id: int, actor: Actor) -> Job:
    """Asks again for the work of a FAILED job; returns the new job.

    Raises EngineError ``not_failed`` for any other, ``batch_went_on`` for a source that its batch waits for no more.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound("There is no such job.")
    if job.status != JobStatus.FAILED:
        raise EngineError(f"This job is {job.status}; only a failed one is tried again.", code="not_failed")
    match job.kind:
        case "train_run":
            runs.resume_run(run_id=job.payload["run_id"], actor=actor)
        case "generate_candidates" | "generate_for_arena":
            candidates.retry_batch(batch_id=job.payload["batch_id"], actor=actor)
        case "read_point_map" | "estimate_point_map":
            _ask_for_point_map(job, actor)
        case "source_candidates":
            raise EngineError(
                "The batch went on without this source. If the batch has failed too, try its own job again.",
                code="batch_went_on",
            )
        case _:
            with transaction.atomic():
                _ask_again(job)
    return Job.objects.filter(kind=job.kind, payload=job.payload).latest("pk")


def _ask_for_point_map(job: Job, actor: Actor) -> None:
    with transaction.atomic():
        point_map = PointMap.objects.select_for_update().get(image_id=job.payload["image_id"])
        if point_map.status == PointMapStatus.REFUSED:
            transition(
                point_map, PointMapStatus.PENDING, by=actor, reason="tried again", changes={"detail": ""}
            )
        _ask_again(job)


def _ask_again(job: Job) -> None:
    """The same work under the next key; asking twice for the same failure is one job."""
    first = job.key.partition("~")[0]
    attempt = Job.objects.filter(key__startswith=f"{first}~").count() + 2
    jobs.enqueue(kind=job.kind, key=f"{first}~{attempt}", payload=job.payload, project_id=job.project_id)
