"""The outbox for who drives the loop: queues, what is tried again, what is poison, and another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from engine.models import Job, Project
from engine.selectors.outbox import queue_figures
from engine.states import JobStatus, Role
from tests import judged
from tests.db.test_console import as_person
from tests.web import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


def job(project: Project, **changes: Any) -> Job:
    row = {
        "project": project,
        "kind": "verify_checkpoint",
        "queue": "gpu",
        "key": str(uuid4()),
        "payload": {"checkpoint_id": 1},
        **changes,
    }
    return Job.objects.create(**row)


def test_each_queue_tells_what_waits_runs_is_tried_again_and_is_poison(kitchen: Project) -> None:
    now = timezone.now()
    later, most = now + timedelta(seconds=20), settings.JOB_MAX_ATTEMPTS
    oldest = job(kitchen)
    job(kitchen, status=JobStatus.SENT)
    job(kitchen, status=JobStatus.SENT, attempts=1, lease_until=later)
    job(kitchen, status=JobStatus.SENT, attempts=2, lease_until=later, error="the store did not answer")
    job(kitchen, status=JobStatus.FAILED, attempts=1, error="no such checkpoint")
    job(kitchen, status=JobStatus.FAILED, attempts=most, error="the worker died")
    job(kitchen, status=JobStatus.DONE, attempts=1)
    job(kitchen, queue="cpu")
    cpu, gpu = queue_figures(Job.objects.all(), now=now)
    assert (cpu.queue, cpu.waiting, gpu.queue) == ("cpu", 1, "gpu")
    assert (gpu.waiting, gpu.running, gpu.retrying, gpu.failed, gpu.poison) == (2, 1, 1, 2, 1)
    assert gpu.oldest == oldest.created_at


def test_the_page_cuts_the_list_down_to_poison_and_to_what_is_tried_again(kitchen: Project) -> None:
    mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
    job(kitchen, key="bad-apple", status=JobStatus.FAILED, attempts=settings.JOB_MAX_ATTEMPTS, error="died")
    job(kitchen, key="hiccup", status=JobStatus.SENT, attempts=1, error="the store did not answer")
    job(kitchen, key="refused", status=JobStatus.FAILED, attempts=1, error="no such checkpoint")
    address = reverse("admin:console-jobs")
    poison = mel.get(address, {"status": "poison"}).content.decode()
    assert "bad-apple" in poison and "hiccup" not in poison and "refused" not in poison
    again = mel.get(address, {"status": "retrying"}).content.decode()
    assert "hiccup" in again and "bad-apple" not in again
    whole = mel.get(address, {"status": "nonsense"}).content.decode()
    assert all(key in whole for key in ("bad-apple", "hiccup", "refused"))


def test_a_script_lists_the_outbox_of_its_project_and_tries_a_failed_job_again(kitchen: Project) -> None:
    failed = job(kitchen, key="verify-7", status=JobStatus.FAILED, attempts=1, error="the store is away")
    job(judged.project("garden"), key="elsewhere")
    ana = Browser(judged.person("ana", kitchen, Role.ANNOTATOR))
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    listed = mel.get(f"/projects/{kitchen.pk}/jobs?status=FAILED").body
    (row,) = listed["results"]
    assert (row["key"], row["error"], listed["queues"][0]["failed"]) == ("verify-7", "the store is away", 1)
    assert mel.get(f"/projects/{kitchen.pk}/jobs?status=sleeping").status == 400
    assert ana.get(f"/projects/{kitchen.pk}/jobs").status == 403
    assert ana.post(f"/jobs/{failed.uuid}/retry").status == 403
    again = mel.post(f"/jobs/{failed.uuid}/retry")
    assert again.status == 202, again
    assert Job.objects.get(uuid=again.body["job"]).key == "verify-7~2"
    assert mel.post(f"/jobs/{again.body['job']}/retry").code == "not_failed"
