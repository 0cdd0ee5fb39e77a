"""Jobs through a real broker and a real worker: done once, whatever the broker repeats, loses or refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone
from pytest_django.fixtures import Settings

from engine import blobs, jobs
from engine.models import CandidateBatch, Job, Project, StateChange
from engine.states import BatchStatus, JobStatus
from tests.factories import make_batch, make_image, make_target
from tests.pictures import DISC, photograph_with_a_disc
from tests.running_worker import RunningWorker, database_url, finished, running_worker
from workers import celery as celery_module
from workers import pixels
from workers.celery import app
from workers.tasks import housekeeping

ROOT = Path(__file__).resolve().parents[2]


def refinement(project: Project, *, key: str) -> Job:
    return jobs.enqueue(
        kind="refine_mask", key=key, payload=payload_of_refinement(project), project_id=project.pk
    )


def payload_of_refinement(project: Project) -> dict[str, Any]:
    return {
        "image_key": blobs.put(photograph_with_a_disc(), suffix=".png", content_type="image/png"),
        "mask_key": None,
        "foreground_key": None,
        "background_key": None,
        "box": [50, 20, 130, 100],
        "project_id": project.pk,
    }


def test_every_kind_of_job_has_its_task_and_every_queue_its_worker() -> None:
    app.loader.import_default_modules()
    assert {f"workers.{kind}" for kind in (*jobs.QUEUES, "source_candidates")} <= set(app.tasks)
    assert set(jobs.QUEUES.values()) == set(celery_module.QUEUES)
    routes = {(queue.exchange.name, queue.routing_key) for queue in app.conf.task_queues}
    assert len(routes) == len(celery_module.QUEUES)  # or one queue's messages would reach all of them


def test_no_task_may_outlive_the_visibility_of_its_message() -> None:
    limits = [task.time_limit or app.conf.task_time_limit for task in app.tasks.values()]
    assert max(limits) < app.conf.broker_transport_options["visibility_timeout"]


def test_a_refinement_comes_back_as_a_mask_and_its_message_twice_changes_nothing(
    project: Project, worker: RunningWorker
) -> None:
    job = finished(refinement(project, key="first"))
    assert job.status == JobStatus.DONE, job.error
    found = pixels.mask(job.result["mask_key"])
    assert (found & DISC).sum() / (found | DISC).sum() > 0.9

    moves = StateChange.objects.filter(model="job", object_id=job.pk)
    before = (job.attempts, job.ended_at, moves.count())
    for _ in range(2):
        app.send_task("workers.refine_mask", args=[job.pk], queue="interactive")
    assert finished(refinement(project, key="second")).status == JobStatus.DONE  # behind them in the queue
    job.refresh_from_db()
    assert (job.attempts, job.ended_at, moves.count()) == before


def test_a_job_asked_for_while_the_broker_is_away_is_sent_by_the_sweep(
    project: Project, tmp_path: Path
) -> None:
    job = enqueued_without_broker(project)
    assert job.status == JobStatus.PENDING
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(seconds=6))
    with running_worker(tmp_path / "home"):
        assert finished(job, sweeping=True).status == JobStatus.DONE


def test_a_job_that_breaks_each_time_fails_after_its_last_attempt_and_its_batch_with_it(
    project: Project, tmp_path: Path, settings: Settings
) -> None:
    settings.JOB_MAX_ATTEMPTS = 2
    batch = make_batch(make_target(make_image(project)))  # its blobs are not there, and no checkpoint serves
    job = Job.objects.get(key=f"batch-{batch.pk}")
    with running_worker(tmp_path / "home", max_attempts=2):
        assert finished(job, sweeping=True).status == JobStatus.FAILED
    assert job.attempts == 2
    batch.refresh_from_db()
    assert batch.status == BatchStatus.FAILED
    assert "checkpoint" in batch.detail


def test_a_job_whose_workers_all_died_fails_with_its_batch(project: Project, settings: Settings) -> None:
    batch = make_batch(make_target(make_image(project)))
    worn_out(batch, attempts=settings.JOB_MAX_ATTEMPTS)
    housekeeping.sweep()
    batch.refresh_from_db()
    job = Job.objects.get(key=f"batch-{batch.pk}")
    assert (job.status, batch.status) == (JobStatus.FAILED, BatchStatus.FAILED)
    assert "died" in batch.detail


def worn_out(batch: CandidateBatch, *, attempts: int) -> None:
    """As workers leave the row that are killed during each attempt."""
    Job.objects.filter(key=f"batch-{batch.pk}").update(
        status=JobStatus.SENT,
        attempts=attempts,
        sent_at=timezone.now() - timedelta(minutes=5),
        lease_until=timezone.now() - timedelta(seconds=1),
    )


def enqueued_without_broker(project: Project) -> Job:
    """A refinement asked for by a process whose broker is away."""
    payload = json.dumps(payload_of_refinement(project))
    code = (
        "import django, json, sys; django.setup(); from engine import jobs;"
        "jobs.enqueue(kind='refine_mask', key='lonely', payload=json.loads(sys.argv[1]), project_id=int(sys.argv[2]))"
    )
    nowhere = os.environ | {
        "DJANGO_SETTINGS_MODULE": "engine.settings.test",
        "DATABASE_URL": database_url(),
        "REDIS_URL": f"unix:///nowhere-{time.monotonic_ns()}.sock",
    }
    subprocess.run([sys.executable, "-c", code, payload, str(project.pk)], cwd=ROOT, env=nowhere, check=True)
    return Job.objects.get(key="lonely")
