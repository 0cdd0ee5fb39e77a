"""Candidates for a target by the mix of its batch, and the check of a checkpoint before it may serve."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings

from engine import jobs
from engine.jobs import Hold
from engine.models import Checkpoint
from engine.services import candidates, checkpoints
from engine.states import BatchStatus, CheckpointStatus
from workers import policy


def _fail_batch(payload: dict[str, Any], error: str) -> None:
    candidates.fail_batch(batch_id=payload["batch_id"], detail=error)


def _refuse_checkpoint(payload: dict[str, Any], error: str) -> None:
    checkpoints.refuse(checkpoint_id=payload["checkpoint_id"], detail=error)


@policy.job("generate_candidates", abandon=_fail_batch)
def generate_candidates(hold: Hold) -> dict[str, Any]:
    from workers import mixing  # torch, which other workers do without

    batch = candidates.begin_batch(batch_id=hold.payload["batch_id"])
    if batch.status != BatchStatus.GENERATING:
        return {"batch": batch.status}
    started = time.perf_counter()
    made = mixing.made_for(batch, may_wait=hold.attempt < settings.JOB_MAX_ATTEMPTS - 1)
    candidates.complete_batch(
        batch_id=batch.pk,
        candidates=made.candidates,
        seconds=time.perf_counter() - started,
        missing=made.missing,
    )
    return made.told()


@policy.job("generate_for_arena", abandon=_fail_batch)
def generate_for_arena(hold: Hold) -> dict[str, Any]:
    from workers import mixing, slots  # torch, which other workers do without

    batch = candidates.begin_batch(batch_id=hold.payload["batch_id"])
    if batch.status == BatchStatus.GENERATING:
        started = time.perf_counter()
        made = mixing.made_for_arena(batch)
        batch = candidates.complete_batch(
            batch_id=batch.pk, candidates=made.candidates, seconds=time.perf_counter() - started
        )
    slots.dismiss_guest()
    return {"batch": batch.status, "checkpoint_id": batch.checkpoint_id}


@policy.job("verify_checkpoint", abandon=_refuse_checkpoint)
def verify_checkpoint(hold: Hold) -> dict[str, Any]:
    from modelzoo.checkpoint import CheckpointRefused  # torch, which other workers do without
    from workers import slots

    checkpoint = Checkpoint.objects.get(pk=hold.payload["checkpoint_id"])
    if checkpoint.status == CheckpointStatus.REGISTERED:
        try:
            slots.check(checkpoint)
        except CheckpointRefused as error:
            checkpoints.refuse(checkpoint_id=checkpoint.pk, detail=str(error))
            return {"verdict": "refused"}
        checkpoints.verify(checkpoint_id=checkpoint.pk, actor=jobs.WORKER)
    return {"verdict": "verified"}
