"""The outbox: a Job row with what asked for it, a Celery message by name after the commit, a sweep for the lost ones.

The truth of every job is its row; a message carries only the row's id, and may come twice or never.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from celery import Celery
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from engine.errors import EngineError
from engine.models.journal import Job
from engine.states import JobStatus
from engine.transitions import Actor, Move, transition, transition_together

log = logging.getLogger(__name__)

OUTBOX = Actor(name="outbox")
WORKER = Actor(name="worker")

#: kind > queue. The Celery task of a kind is named ``workers.<kind>``. Other kinds state the queue in each order.
QUEUES: Mapping[str, str] = {
    "refine_mask": "interactive",
    "propose_masks": "cpu",
    "snap_pose": "interactive",
    "read_point_map": "cpu",
    "validate_mesh": "cpu",
    "estimate_point_map": "gpu",
    "generate_candidates": "gpu",
    "generate_for_arena": "gpu",
    "propose_layout": "gpu",
    "verify_checkpoint": "gpu",
    "train_run": "train",
}

#: Kinds that stand behind all others of their queue: nobody at a screen waits for them.
LAST = frozenset({"generate_for_arena"})
BROKERS_LAST = 9  # of the Redis transport, whose first is 0

#: How long a message may wait in its queue before the sweep takes it for lost. Longer than a queue is usually long:
#: a message sent twice is harmless, but a long queue sent again each minute would never end.
LOST_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job to be written."""

    kind: str
    key: str
    payload: dict[str, Any]
    project_id: int | None
    queue: str | None = None  # where its kind has none of its own


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A worker's hold on a job: proves with ``attempt`` that nobody took it over since."""

    job_id: int
    attempt: int
    kind: str
    payload: dict[str, Any]
    project_id: int | None


def enqueue(*, kind: str, key: str, payload: dict[str, Any], project_id: int | None) -> Job:
    """Writes the job in the caller's transaction and sends it after the commit; the same ``key`` is the same job."""
    job, is_new = Job.objects.get_or_create(
        key=key,
        defaults={"kind": kind, "queue": QUEUES[kind], "payload": payload, "project_id": project_id},
    )
    if is_new:
        transaction.on_commit(lambda: send(job))
    return job


def enqueue_new(orders: Sequence[Order]) -> list[Job]:
    """enqueue() for many jobs whose keys are certainly new, in one SQL statement and one more after the commit."""
    written = Job.objects.bulk_create(
        Job(
            key=order.key,
            kind=order.kind,
            queue=order.queue or QUEUES[order.kind],
            payload=order.payload,
            project_id=order.project_id,
        )
        for order in orders
    )
    transaction.on_commit(lambda: send_all(written))
    return written


def send(job: Job) -> bool:
    """Hands the job to the broker and says so in its row; False when the broker does not answer (the sweep will)."""
    return send_all([job]) == 1


def send_all(waiting: Sequence[Job]) -> int:
    """send() for many jobs; the number that the broker took."""
    sent = [job for job in waiting if _hand_over(job)]
    try:
        with transaction.atomic():
            transition_together([_as_sent(job) for job in sent], by=OUTBOX)
    except EngineError:
        for job in sent:
            _mark_sent(job)
    return len(sent)


def _hand_over(job: Job) -> bool:
    try:
        _producer().send_task(
            f"workers.{job.kind}",
            args=[job.pk],
            queue=job.queue,
            priority=BROKERS_LAST if job.kind in LAST else 0,
            retry=False,
        )
    except (OperationalError, OSError):
        log.warning("job not sent: the broker does not answer", extra={"job": job.pk})
        return False
    return True


def _as_sent(job: Job) -> Move:
    return Move(row=job, to=JobStatus.SENT, changes={"sent_at": timezone.now()})


def _mark_sent(job: Job) -> None:
    try:
        with transaction.atomic():
            transition_together([_as_sent(job)], by=OUTBOX)
    except EngineError:
        log.debug("a worker was faster than its message", extra={"job": job.pk})


def take(job_id: int, *, now: datetime) -> Hold | None:
    """Takes the job for one attempt, or None when it is ended or somebody else runs it.

    A job that was taken JOB_MAX_ATTEMPTS times is failed instead: it kills its workers.
    """
    taken = Job.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=now),
        pk=job_id,
        status__in=[JobStatus.PENDING, JobStatus.SENT],
    )
    job = taken.first()
    if job is None:
        return None
    if job.attempts >= settings.JOB_MAX_ATTEMPTS:
        fail(job_id, error=f"gave up after {job.attempts} attempts; the last worker died or was too slow")
        return None
    lease = now + timedelta(seconds=settings.JOB_LEASE_SECONDS)
    if taken.filter(attempts=job.attempts).update(attempts=job.attempts + 1, lease_until=lease) != 1:
        return None
    return Hold(
        job_id=job.pk, attempt=job.attempts + 1, kind=job.kind, payload=job.payload, project_id=job.project_id
    )


def renew(hold: Hold, *, now: datetime) -> bool:
    """The worker's heartbeat; False when the job was taken over or ended."""
    lease = now + timedelta(seconds=settings.JOB_LEASE_SECONDS)
    return _held(hold).update(lease_until=lease) == 1


def finish(hold: Hold, *, result: dict[str, Any] | None = None) -> bool:
    """Ends the job well; False when another worker has taken it over (then its result counts)."""
    return _end(hold, JobStatus.DONE, {"result": result, "error": ""})


def give_up(hold: Hold, *, error: str) -> bool:
    """Ends the job badly, for good."""
    return _end(hold, JobStatus.FAILED, {"error": error})


def retry_later(hold: Hold, *, error: str, now: datetime, delay: timedelta) -> bool:
    """Lets go of the job after a passing fault; the sweep sends it again when ``delay`` is over."""
    return _held(hold).update(lease_until=now + delay, error=error) == 1


def fail(job_id: int, *, error: str) -> None:
    """Fails a job nobody holds."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if job.status in (JobStatus.PENDING, JobStatus.SENT):
            transition(job, JobStatus.FAILED, by=OUTBOX, changes={"error": error, "ended_at": timezone.now()})


def sweep(*, now: datetime, limit: int = 500) -> int:
    """Sends again what was never sent, what the broker lost, and what a dead worker held. The number sent."""
    lost = Job.objects.filter(
        Q(status=JobStatus.PENDING, created_at__lt=now - timedelta(seconds=5), lease_until__isnull=True)
        | Q(status=JobStatus.PENDING, lease_until__lt=now)
        | Q(status=JobStatus.SENT, lease_until__isnull=True, sent_at__lt=now - LOST_AFTER)
        | Q(status=JobStatus.SENT, lease_until__lt=now),
    ).order_by("pk")[:limit]
    return sum(_send_again(job, now=now) for job in lost)


def _send_again(job: Job, *, now: datetime) -> bool:
    if job.attempts >= settings.JOB_MAX_ATTEMPTS:
        fail(job.pk, error=job.error or f"gave up after {job.attempts} attempts; its worker died each time")
        return False
    if job.status == JobStatus.SENT:
        with transaction.atomic():
            try:
                transition(job, JobStatus.PENDING, by=OUTBOX, reason="lost", changes={"lease_until": None})
            except EngineError:
                return False
    return send(job)


def _held(hold: Hold) -> QuerySet[Job]:
    return Job.objects.filter(
        pk=hold.job_id, attempts=hold.attempt, status__in=[JobStatus.PENDING, JobStatus.SENT]
    )


def _end(hold: Hold, status: JobStatus, changes: dict[str, Any]) -> bool:
    with transaction.atomic():
        job = _held(hold).select_for_update().first()
        if job is None:
            return False
        transition(
            job, status, by=WORKER, changes={**changes, "lease_until": None, "ended_at": timezone.now()}
        )
        return True


@cache
def _producer() -> Celery:
    """A Celery application that only sends; engine knows task names, never their code."""
    app = Celery("candid8-outbox", broker=settings.CELERY_BROKER_URL, set_as_current=False)
    app.conf.broker_transport_options = {
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        # A request must not wait for a broker that is away (kombu would, for six seconds): the sweep sends later.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    }
    return app
