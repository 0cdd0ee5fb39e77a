"""Batches of candidates for the disc of a photograph: asked for, and awaited."""

from __future__ import annotations

from django.db import transaction

from engine.models import CandidateBatch, Image, Job
from engine.services.candidates import request_batch
from engine.services.rounds import current_round
from engine.states import BatchStatus
from tests.factories import TESTER
from tests.pictures import confirmed_disc
from tests.running_worker import finished


def asked_for(image: Image) -> CandidateBatch:
    """A batch for the disc, with its job sent."""
    with transaction.atomic():
        return request_batch(target=confirmed_disc(image), round=current_round(image.project_id), by=TESTER)


def ended(batch: CandidateBatch) -> CandidateBatch:
    """The batch when a worker has made it."""
    job = finished(Job.objects.get(key=f"batch-{batch.pk}"), sweeping=True)
    batch.refresh_from_db()
    assert batch.status == BatchStatus.READY, job.error
    return batch
