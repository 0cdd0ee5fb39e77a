"""The outbox at a glance: what waits in which queue and for how long, what is tried again, what killed its workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet

from engine.models import Job
from engine.states import JobStatus

UNFINISHED = (JobStatus.PENDING, JobStatus.SENT)


@dataclass(frozen=True, kw_only=True)
class QueueFigures:
    """One queue: jobs by what they do now, and when the oldest that nobody has taken was written."""

    queue: str
    waiting: int
    running: int
    retrying: int
    failed: int
    poison: int
    oldest: datetime | None


def retrying() -> Q:
    """Unfinished after at least one attempt that failed: they say why, and are sent again."""
    return Q(status__in=UNFINISHED, attempts__gte=1) & ~Q(error="")


def poison() -> Q:
    """Failed for good with every attempt used: they broke, or killed their worker, each time."""
    return Q(status=JobStatus.FAILED, attempts__gte=settings.JOB_MAX_ATTEMPTS)


def queue_figures(jobs: QuerySet[Job], *, now: datetime) -> list[QueueFigures]:
    """By queue, of these jobs. One query."""
    is_running = Q(status__in=UNFINISHED, lease_until__gte=now) & Q(attempts__gte=1) & Q(error="")
    is_waiting = Q(status__in=UNFINISHED) & ~is_running & ~retrying()
    rows = (
        jobs.order_by()
        .values("queue")
        .annotate(
            waiting=Count("pk", filter=is_waiting),
            running=Count("pk", filter=is_running),
            retrying=Count("pk", filter=retrying()),
            failed=Count("pk", filter=Q(status=JobStatus.FAILED)),
            poison=Count("pk", filter=poison()),
            oldest=Min("created_at", filter=is_waiting),
        )
    )
    return [QueueFigures(**row) for row in rows.order_by("queue")]
