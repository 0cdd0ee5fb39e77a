"""This process's loaded checkpoint: follows the serving deployment, keeps the old one when the new will not load."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from django.conf import settings

from engine import blobs
from engine.errors import EngineError
from engine.models import Checkpoint, Deployment
from engine.selectors import deployments
from engine.services import checkpoints
from modelzoo.checkpoint import CheckpointRefused
from modelzoo.serving import ModelSlot, Serving

log = logging.getLogger(__name__)

#: What a swap may fail with: a refused checkpoint, missing blobs, a full disk, a full device.
SWAP_ERRORS = (CheckpointRefused, EngineError, OSError, RuntimeError)
EARLIER_TO_TRY = 3

#: Deployments (generation, sha256) that this process could not load; each is tried once.
_refused: set[tuple[int, str]] = set()


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What serves in this process: take it once per job, so that each candidate names what truly made it."""

    serving: Serving
    checkpoint_id: int

    @property
    def generation(self) -> int:
        return self.serving.generation


def ensure_current() -> Loaded:
    """Loads the serving deployment unless it is loaded, and returns what this process now serves.

    A deployment that cannot be loaded is named in its row and in the log, and what served before goes on serving; a
    fresh process then falls back to the newest earlier deployment that loads. Raises a passing EngineError when
    nothing can serve.
    """
    wanted = deployments.serving()
    if wanted is None:
        raise EngineError("No checkpoint serves yet: deploy one.", code="nothing_serves", permanent=False)
    slot = _slot()
    if slot.current is None or (slot.current.generation, slot.current.sha256) != _identity(wanted):
        loaded = _try(slot, wanted)
        if not loaded and slot.current is None:
            earlier = deployments.history().filter(generation__lt=wanted.generation)
            loaded = any(_try(slot, one) for one in earlier[:EARLIER_TO_TRY])
    if slot.current is None:
        wanted.refresh_from_db(fields=["swap_error"])
        raise EngineError(
            f"No deployed checkpoint can be loaded: {wanted.swap_error}",
            code="nothing_loads",
            permanent=False,
        )
    checkpoint = Checkpoint.objects.only("pk").get(sha256=slot.current.sha256)
    return Loaded(serving=slot.current, checkpoint_id=checkpoint.pk)


def check(checkpoint: Checkpoint) -> None:
    """Loads the checkpoint apart from what serves and checks its golden outputs; raises CheckpointRefused."""
    ModelSlot(device=device()).swap(
        weights=weights_file(checkpoint), manifest=checkpoint.manifest, generation=0
    )


def weights_file(checkpoint: Checkpoint) -> Path:
    """The checkpoint's weights on this machine, fetched once; a spoilt copy is fetched anew."""
    path = settings.HOME / "cache" / "checkpoints" / checkpoint.sha256 / "weights.safetensors"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == checkpoint.sha256:
        return path
    data = blobs.get(checkpoint.weights_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
    return path


def device() -> str:
    if settings.DEVICE == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(settings.DEVICE)


@cache
def _slot() -> ModelSlot:
    # Half the cores: the threads that write meshes want the others, and threads that wait for a core cost more than
    # they bring (measured on two busy cores: eight candidates took 27 processor seconds with two, 3.1 with one).
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    return ModelSlot(device=device())


def _try(slot: ModelSlot, deployment: Deployment) -> bool:
    if _identity(deployment) in _refused:
        return False
    try:
        slot.swap(
            weights=weights_file(deployment.checkpoint),
            manifest=deployment.checkpoint.manifest,
            generation=deployment.generation,
        )
    except SWAP_ERRORS as error:
        kept = slot.current.generation if slot.current else None
        log.error(
            "generation %s cannot be loaded, generation %s goes on serving: %s",
            deployment.generation,
            kept,
            error,
        )
        checkpoints.record_swap_error(deployment_id=deployment.pk, detail=str(error))
        if not isinstance(error, EngineError) or error.permanent:
            _refused.add(_identity(deployment))
        return False
    log.info("generation %s serves in this process", deployment.generation)
    checkpoints.record_swap_error(deployment_id=deployment.pk, detail="")
    return True


def _identity(deployment: Deployment) -> tuple[int, str]:
    return deployment.generation, deployment.checkpoint.sha256
