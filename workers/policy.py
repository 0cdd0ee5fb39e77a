"""How every job is run: taken once, kept alive by a heartbeat, ended well, tried again, or given up visibly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from engine import jobs
from engine.errors import EngineError
from engine.jobs import Hold
from engine.models import Job
from engine.states import JobStatus
from workers.celery import app

log = logging.getLogger(__name__)

Result = dict[str, Any] | None
Body = Callable[[Hold], Result]
Abandon = Callable[[dict[str, Any], str], None]

LONGEST_DELAY_S = 60
LONGEST_REASON = 300  # of a journal row

#: What becomes of a kind's own row when its job has failed for good: ``abandon(payload, error)``, harmless if repeated.
_abandons: dict[str, Abandon] = {}


def job(kind: str, *, abandon: Abandon | None = None, **options: Any) -> Callable[[Body], Any]:
    """Makes a function of a Hold the Celery task of ``kind``; ``options`` go to Celery."""

    def register(body: Body) -> Any:
        if abandon is not None:
            _abandons[kind] = abandon

        def run(job_id: int) -> None:
            run_job(job_id, body)

        return app.task(name=f"workers.{kind}", **options)(run)

    return register


def run_job(job_id: int, body: Body) -> None:
    """Runs ``body`` for one attempt at the job, unless it is ended or somebody else runs it.

    A permanent EngineError gives the job up; a passing one, or anything unforeseen, is tried again until
    JOB_MAX_ATTEMPTS. Giving up also fails the row that the job was for.
    """
    hold = jobs.take(job_id, now=timezone.now())
    if hold is None:
        _abandon_failed(job_id)
        return
    try:
        with _heartbeat(hold):
            result = body(hold)
    except EngineError as error:
        log.warning("job %s (%s) failed: %s", job_id, hold.kind, error.message)
        _after_error(hold, error=error.message, permanent=error.permanent)
    except Exception as error:
        log.exception("job %s (%s) broke", job_id, hold.kind)
        _after_error(hold, error=f"{type(error).__name__}: {error}", permanent=False)
    else:
        if not jobs.finish(hold, result=result):
            log.warning("job %s (%s) was taken over; this attempt's result is not its", job_id, hold.kind)


def abandon_worn_out() -> int:
    """Fails the rows of jobs whose last allowed attempt died, just before the sweep fails the jobs themselves.

    In this order a crash in between loses nothing: the next sweep finds the job still there. The number of rows.
    """
    now = timezone.now()
    worn_out = Job.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=now),
        status__in=[JobStatus.PENDING, JobStatus.SENT],
        attempts__gte=settings.JOB_MAX_ATTEMPTS,
    )
    return sum(_abandon(row) for row in worn_out)


def _after_error(hold: Hold, *, error: str, permanent: bool) -> None:
    if permanent or hold.attempt >= settings.JOB_MAX_ATTEMPTS:
        if jobs.give_up(hold, error=error):
            _abandon_failed(hold.job_id)
        return
    delay = timedelta(seconds=min(2**hold.attempt, LONGEST_DELAY_S))
    jobs.retry_later(hold, error=error, now=timezone.now(), delay=delay)


def _abandon_failed(job_id: int) -> None:
    failed = Job.objects.filter(pk=job_id, status=JobStatus.FAILED).first()
    if failed is not None:
        _abandon(failed)


def _abandon(row: Job) -> bool:
    """Fails the row that ``row`` worked for; a newer job for the same work keeps it alive."""
    abandon = _abandons.get(row.kind)
    if abandon is None or Job.objects.filter(kind=row.kind, payload=row.payload, pk__gt=row.pk).exists():
        return False
    try:
        error = row.error or f"Its worker died or was too slow {row.attempts} times."
        abandon(row.payload, error[:LONGEST_REASON])
    except EngineError as error:
        log.info("nothing to fail for job %s (%s): %s", row.pk, row.kind, error.message)
        return False
    return True


@contextmanager
def _heartbeat(hold: Hold) -> Iterator[None]:
    """Renews the lease from a thread of its own, so that a long computation does not look like a dead worker."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(hold, stop), name=f"heartbeat-{hold.job_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(hold: Hold, stop: threading.Event) -> None:
    try:
        while not stop.wait(settings.JOB_LEASE_SECONDS / 3):
            try:
                if not jobs.renew(hold, now=timezone.now()):
                    log.warning("job %s was taken over by another worker", hold.job_id)
                    return
            except DatabaseError:
                log.warning("heartbeat of job %s missed: the database does not answer", hold.job_id)
                connection.close()
    finally:
        connection.close()  # this thread's own
