"""The models of a pipeline, lent one stage at a time, so that what a stage does not need may stay elsewhere."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from modelzoo.checkpoint import CheckpointRefused, Manifest, components_from_bytes
from modelzoo.presets import ModelPreset
from modelzoo.registry import Models, config_checked, emptied, models_from_components

Precision = Literal["float32", "bfloat16", "float16"]
Memory = Literal["resident", "offloaded", "on_demand"]
FLOWS = ("geometry", "texture")  # what half precision is for; autoencoders always run in float32


class Stages(ABC):
    """Lends models. ``precision`` is what matrix products of the flows are computed in; weights stay float32.

    Against float32, velocities of bfloat16 agree within about 3 % and those of float16 within about 0.4 % of their
    size (tests/ml/test_serving.py); a candidate made in another precision is another candidate.
    """

    def __init__(
        self, models: Models, *, device: torch.device | str = "cpu", precision: Precision = "float32"
    ) -> None:
        self.models = models
        self.device = torch.device(device)
        self.precision = precision

    @property
    def preset(self) -> ModelPreset:
        return self.models.preset

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Holds the model of that name on the device for the block, in its precision."""
        module = self.models.modules()[name]
        self._fetch(name, module)
        try:
            with torch.autocast(
                self.device.type,
                dtype=getattr(torch, self.precision) if self.precision != "float32" else torch.bfloat16,
                enabled=self.precision != "float32" and name in FLOWS,
            ):
                yield
        finally:
            self._release(module)

    @abstractmethod
    def _fetch(self, name: str, module: nn.Module) -> None: ...

    @abstractmethod
    def _release(self, module: nn.Module) -> None: ...


class Resident(Stages):
    """All models stay on the device: fastest, most memory."""

    def _fetch(self, name: str, module: nn.Module) -> None:
        module.to(self.device)

    def _release(self, module: nn.Module) -> None:
        """Stays."""


class Offloaded(Stages):
    """Models wait in main memory and are on the device for their stage only: the device holds one at a time."""

    def _fetch(self, name: str, module: nn.Module) -> None:
        module.to(self.device)

    def _release(self, module: nn.Module) -> None:
        module.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class OnDemand(Stages):
    """Models are read from the checkpoint's file for their stage and dropped after it: least memory, slowest.

    The file is verified once, here; it must not change afterwards. Raises CheckpointRefused.
    """

    def __init__(
        self,
        weights: Path,
        manifest: Manifest,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self._weights = weights
        _check_hash(weights, manifest)
        models = emptied(config_checked(manifest))
        super().__init__(models, device=device, precision=precision)
        for name, module in models.modules().items():  # refuse now what would fail in the middle of a batch
            self._fetch(name, module)
            self._release(module)

    def _fetch(self, name: str, module: nn.Module) -> None:
        try:
            module.load_state_dict(self._component(name), assign=True)
        except (RuntimeError, SafetensorError, OSError) as error:
            raise CheckpointRefused("weights_do_not_fit", f"{name}: {error}") from error
        module.to(self.device).eval().requires_grad_(False)

    def _release(self, module: nn.Module) -> None:
        module.load_state_dict(
            {name: value.to("meta") for name, value in module.state_dict().items()}, assign=True
        )
        module.requires_grad_(False)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _component(self, name: str) -> dict[str, Tensor]:
        with safe_open(self._weights, framework="pt", device=str(self.device)) as file:
            own = [key for key in file.keys() if key.startswith(f"{name}.")]  # noqa: SIM118 (not a mapping)
            found = {key.removeprefix(f"{name}."): file.get_tensor(key) for key in own}
        return {key: value.float() if value.is_floating_point() else value for key, value in found.items()}


def load_stages(
    weights: Path,
    manifest: Manifest,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    memory: Memory = "resident",
) -> Stages:
    """The models of a checkpoint, verified. Raises CheckpointRefused.

    ``resident`` keeps all of them on the device, ``offloaded`` keeps them in main memory and brings each to the device
    for its stage, ``on_demand`` reads each from its file for its stage.
    """
    if memory == "on_demand":
        return OnDemand(weights, manifest, device=device, precision=precision)
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise CheckpointRefused("weights_missing", f"weights cannot be read: {error.strerror}") from error
    components = components_from_bytes(data, manifest)
    if memory == "offloaded":
        return Offloaded(models_from_components(components, manifest), device=device, precision=precision)
    models = models_from_components(components, manifest, device=device)
    return Resident(models, device=device, precision=precision)


def _check_hash(weights: Path, manifest: Manifest) -> None:
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointRefused("weights_missing", f"weights cannot be read: {error.strerror}") from error
    if found != manifest.weights_sha256:
        raise CheckpointRefused(
            "weights_hash_mismatch",
            f"weights have sha256 {found}, the manifest says {manifest.weights_sha256}",
        )
