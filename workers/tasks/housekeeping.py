"""What beat asks for: lost jobs again, no wait for late sources, leases back, judgements watched, work in order."""

from __future__ import annotations

from django.utils import timezone

from engine import jobs
from engine.services import batch_parts, leases, sampling, standings
from workers import policy
from workers.celery import app


@app.task(name="workers.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    policy.abandon_worn_out()
    jobs.sweep(now=timezone.now())
    batch_parts.give_up_late_parts(now=timezone.now())


@app.task(name="workers.expire_leases")  # type: ignore[untyped-decorator]
def expire_leases() -> None:
    leases.expire_leases(now=timezone.now())


@app.task(name="workers.watch_quality")  # type: ignore[untyped-decorator]
def watch_quality() -> None:
    standings.watch(now=timezone.now())


@app.task(name="workers.reband_tasks")  # type: ignore[untyped-decorator]
def reband_tasks() -> None:
    sampling.reband_all()
