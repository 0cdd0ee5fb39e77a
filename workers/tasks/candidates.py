"""Candidates for a target, drawn by the serving checkpoint, and the check of a checkpoint before it may serve."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from django.conf import settings

from engine import blobs, jobs
from engine.errors import EngineError
from engine.jobs import Hold
from engine.models import CandidateBatch, Checkpoint
from engine.services import candidates, checkpoints
from engine.services.candidates import NewCandidate
from engine.services.stage3 import pose_json
from engine.states import BatchStatus, CheckpointStatus
from modelzoo.contracts import GeneratedCandidate, SamplingFailed
from workers import policy
from workers.model_inputs import model_input

SOURCE = "candid8"
GLB, BINARY = "model/gltf-binary", "application/octet-stream"
PUTS_AT_ONCE = 8


def _fail_batch(payload: dict[str, Any], error: str) -> None:
    candidates.fail_batch(batch_id=payload["batch_id"], detail=error)


def _refuse_checkpoint(payload: dict[str, Any], error: str) -> None:
    checkpoints.refuse(checkpoint_id=payload["checkpoint_id"], detail=error)


@policy.job("generate_candidates", abandon=_fail_batch)
def generate_candidates(hold: Hold) -> dict[str, Any]:
    from workers import slots  # torch, which other workers do without

    batch = candidates.begin_batch(batch_id=hold.payload["batch_id"])
    if batch.status != BatchStatus.GENERATING:
        return {"batch": batch.status}
    loaded = slots.ensure_for(batch.pk)
    started = time.perf_counter()
    may_wait = hold.attempt < settings.JOB_MAX_ATTEMPTS - 1
    request = model_input(batch.target, seeds=_seeds(batch), may_wait=may_wait)
    try:
        generated = loaded.serving.pipeline.generate(request)
    except SamplingFailed as failed:
        raise EngineError(f"The checkpoint gave no finite numbers: {failed}", code=failed.code) from failed
    seconds = time.perf_counter() - started
    with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        store = partial(_stored, checkpoint_id=loaded.checkpoint_id, generation=loaded.generation)
        rows = list(pool.map(store, range(len(generated)), generated))
    candidates.complete_batch(batch_id=batch.pk, candidates=rows, seconds=seconds)
    return {
        "checkpoint_id": loaded.checkpoint_id,
        "generation": loaded.generation,
        "seconds": round(seconds, 2),
    }


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


def _seeds(batch: CandidateBatch) -> tuple[int, ...]:
    return tuple(batch.seed + index for index in range(batch.num_requested))


def _stored(index: int, made: GeneratedCandidate, *, checkpoint_id: int, generation: int) -> NewCandidate:
    return NewCandidate(
        index=index,
        source=SOURCE,
        checkpoint_id=checkpoint_id,
        generation=generation,
        seed=made.seed,
        settings=asdict(made.settings),
        pose=pose_json(made.pose),
        latents_key=blobs.put(made.latents, suffix=".safetensors", content_type=BINARY)
        if made.latents
        else "",
        mesh_key=blobs.put(made.mesh_glb, suffix=".glb", content_type=GLB),
        preview_key=blobs.put(made.preview_glb, suffix=".glb", content_type=GLB),
        splat_key=blobs.put(made.splat_ply, suffix=".ply", content_type=BINARY),
        num_vertices=made.num_vertices,
        num_faces=made.num_faces,
        num_splats=made.num_splats,
        fallbacks=made.fallbacks,
    )
