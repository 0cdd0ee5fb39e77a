"""This process's checkpoints, at most three: what serves (or served before it), a canary, and a guest."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from django.conf import settings

from engine import blobs
from engine.errors import EngineError
from engine.models import CandidateBatch, Checkpoint, Deployment
from engine.selectors import deployments
from engine.selectors.deployments import Deployed
from engine.services import checkpoints
from engine.states import BatchStatus
from modelzoo.checkpoint import CheckpointRefused
from modelzoo.serving import ModelSlot, Serving

log = logging.getLogger(__name__)

#: What a swap may fail with: a refused checkpoint, missing blobs, a full disk, a full device.
SWAP_ERRORS = (CheckpointRefused, EngineError, OSError, RuntimeError)
EARLIER_TO_TRY = 3

#: Deployments (generation, sha256) that this process could not load; each is tried once.
_refused: set[tuple[int, str]] = set()
#: Checkpoints (sha256) that could not be loaded as a guest, and why; each is tried once.
_turned_away: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What serves in this process: take it once per job, so that each candidate names what truly made it."""

    serving: Serving
    checkpoint_id: int

    @property
    def generation(self) -> int:
        return self.serving.generation


class _Slots:
    """The slot of what serves, the canary's beside it, and one for a checkpoint that an arena asks for."""

    def __init__(self) -> None:
        self.serving = ModelSlot(device=device())
        self.canary = ModelSlot(device=device())
        self.guest = ModelSlot(device=device())

    def follow(self, deployed: Deployed) -> None:
        """A promoted canary that is loaded goes on as what serves; a canary that stands no more is let go, as is a
        guest that no arena waits for."""
        self.dismiss_guest()
        if deployed.serving is not None and _holds(self.canary, deployed.serving):
            self.serving, self.canary = self.canary, ModelSlot(device=device())
        elif self.canary.current is not None and (
            deployed.canary is None or not _holds(self.canary, deployed.canary)
        ):
            self.canary = ModelSlot(device=device())

    def dismiss_guest(self) -> None:
        """Lets the guest go unless an arena still waits for candidates of it. No query while there is none."""
        guest = self.guest.current
        if guest is not None and not _is_waited_for(guest.sha256):
            self.guest = ModelSlot(device=device())


def ensure_current() -> Loaded:
    """Loads the serving deployment unless it is loaded, and returns what this process now serves.

    A deployment that cannot be loaded is named in its row and in the log, and what served before goes on serving; a
    fresh process then falls back to the newest earlier deployment that loads. Raises a passing EngineError when
    nothing can serve: ``nothing_serves`` before the first deployment, ``nothing_loads`` after it.
    """
    return _ensure_serving(deployments.deployed())


def ensure_for(batch_id: int) -> Loaded:
    """The canary for the batches that are its own, what serves for all others; the latter also when the canary does
    not load, which its row then says. Raises as ``ensure_current``."""
    deployed = deployments.deployed()
    canary = deployed.canary
    if canary is None or not deployments.belongs_to_canary(batch_id, canary=canary):
        return _ensure_serving(deployed)
    slots = _slots()
    slots.follow(deployed)
    if _holds(slots.canary, canary) or _try(slots.canary, canary):
        return _loaded(slots.canary)
    return _ensure_serving(deployed)


def ensure_exactly(checkpoint: Checkpoint) -> Loaded:
    """The checkpoint, whatever serves: from the slot that holds it, else as this process's one guest.

    The guest before it is let go first, and what serves is left alone. A checkpoint that is refused (its hash, its
    golden outputs) is tried once per process. Raises EngineError ``checkpoint_unusable`` with the reason.
    """
    slots = _slots()
    for slot in (slots.serving, slots.canary, slots.guest):
        if slot.current is not None and slot.current.sha256 == checkpoint.sha256:
            return Loaded(serving=slot.current, checkpoint_id=checkpoint.pk)
    if checkpoint.sha256 in _turned_away:
        raise _unusable(checkpoint, _turned_away[checkpoint.sha256])
    slots.guest = ModelSlot(device=device())
    try:
        serving = slots.guest.swap(
            weights=weights_file(checkpoint), manifest=checkpoint.manifest, generation=0
        )
    except CheckpointRefused as refusal:
        _turned_away[checkpoint.sha256] = str(refusal)
        raise _unusable(checkpoint, str(refusal)) from refusal
    log.info("checkpoint %s is loaded as a guest of this process", checkpoint.pk)
    return Loaded(serving=serving, checkpoint_id=checkpoint.pk)


def dismiss_guest() -> None:
    """Gives the guest's memory back when its last batch is made."""
    _slots().dismiss_guest()


def _unusable(checkpoint: Checkpoint, why: str) -> EngineError:
    return EngineError(f"{checkpoint.name} cannot be loaded: {why}", code="checkpoint_unusable")


def _is_waited_for(sha256: str) -> bool:
    return CandidateBatch.objects.filter(
        checkpoint__sha256=sha256, status__in=[BatchStatus.REQUESTED, BatchStatus.GENERATING]
    ).exists()


def _ensure_serving(deployed: Deployed) -> Loaded:
    wanted = deployed.serving
    if wanted is None:
        raise EngineError("No checkpoint serves yet: deploy one.", code="nothing_serves", permanent=False)
    slots = _slots()
    slots.follow(deployed)
    slot = slots.serving
    if not _holds(slot, wanted) and not _try(slot, wanted) and slot.current is None:
        for earlier in deployments.served_before(wanted)[:EARLIER_TO_TRY]:
            if _try(slot, earlier):
                break
    if slot.current is None:
        wanted.refresh_from_db(fields=["swap_error"])
        raise EngineError(
            f"No deployed checkpoint can be loaded: {wanted.swap_error}",
            code="nothing_loads",
            permanent=False,
        )
    return _loaded(slot)


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


def num_threads() -> int:
    """How many threads torch gets here; candidates are equal to the last bit only for the same number."""
    # Half the cores: the threads that write meshes want the others, and threads that wait for a core cost more than
    # they bring (measured on two busy cores: eight candidates took 27 processor seconds with two, 3.1 with one).
    return max(1, (os.cpu_count() or 2) // 2)


@cache
def _slots() -> _Slots:
    torch.set_num_threads(num_threads())
    return _Slots()


def _try(slot: ModelSlot, deployment: Deployment) -> bool:
    if _identity(deployment) in _refused:
        return False
    started = time.perf_counter()
    error = _swap(slot, deployment)
    checkpoints.record_swap(
        deployment_id=deployment.pk,
        worker=f"{socket.gethostname()}/{os.getpid()}",
        seconds=time.perf_counter() - started,
        error=error,
    )
    return not error


def _swap(slot: ModelSlot, deployment: Deployment) -> str:
    """Loads the deployment into the slot; why it could not, or nothing."""
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
        if not isinstance(error, EngineError) or error.permanent:
            _refused.add(_identity(deployment))
        return str(error) or type(error).__name__
    log.info("generation %s is loaded in this process", deployment.generation)
    return ""


def _loaded(slot: ModelSlot) -> Loaded:
    serving = slot.current
    assert serving is not None, "only a slot that holds something is asked"
    checkpoint = Checkpoint.objects.only("pk").get(sha256=serving.sha256)
    return Loaded(serving=serving, checkpoint_id=checkpoint.pk)


def _holds(slot: ModelSlot, deployment: Deployment) -> bool:
    return slot.current is not None and (slot.current.generation, slot.current.sha256) == _identity(
        deployment
    )


def _identity(deployment: Deployment) -> tuple[int, str]:
    return deployment.generation, deployment.checkpoint.sha256
