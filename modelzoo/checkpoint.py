"""Checkpoints: ``weights.safetensors`` (fp16) and ``manifest.json``, verified byte for byte, never unpickled.

A checkpoint is named by the sha256 of its weights. The manifest is canonical JSON that carries its own sha256, so that
one flipped byte in either file refuses the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

FORMAT = "candid8-checkpoint/1"
WEIGHTS_NAME, MANIFEST_NAME = "weights.safetensors", "manifest.json"
COMPONENTS = ("geometry", "ss_vae", "slat_vae", "texture", "depth")

StateDict = dict[str, Tensor]


class CheckpointRefused(ValueError):
    """A checkpoint that will not be used. ``code`` is stable, for machines; the message says what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """How the weights came to be; ``command`` with ``seed`` makes them again."""

    objective: str
    dataset_hash: str
    command: str
    seed: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint says about itself. ``parent`` is the weights' sha256 it was trained from, or None."""

    preset: str
    config: dict[str, Any]
    weights_sha256: str
    components: tuple[str, ...]
    lineage: Lineage
    parent: str | None = None
    golden: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def sha256(self) -> str:
        """The checkpoint's name: the sha256 of its weights."""
        return self.weights_sha256


def weights_to_bytes(components: dict[str, StateDict]) -> bytes:
    """All components as one safetensors file; floating tensors as fp16, names prefixed with the component's.

    Raises ValueError for an unknown component or a number that fp16 cannot hold.
    """
    flat: StateDict = {}
    for component, state in components.items():
        if component not in COMPONENTS:
            raise ValueError(f"unknown component {component!r}; known are {', '.join(COMPONENTS)}")
        for name, tensor in state.items():
            value = tensor.detach().cpu().contiguous()
            value = value.to(torch.float16) if value.is_floating_point() else value
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise ValueError(f"{component}.{name} holds numbers that fp16 cannot")
            flat[f"{component}.{name}"] = value
    return save_tensors(flat)


def components_from_bytes(weights: bytes, manifest: Manifest) -> dict[str, StateDict]:
    """State dicts in float32 by component. Raises CheckpointRefused unless the bytes are those of the manifest."""
    found = hashlib.sha256(weights).hexdigest()
    if found != manifest.weights_sha256:
        raise CheckpointRefused(
            "weights_hash_mismatch",
            f"weights have sha256 {found}, the manifest says {manifest.weights_sha256}",
        )
    try:
        flat = load_tensors(weights)
    except SafetensorError as error:
        raise CheckpointRefused(
            "weights_unreadable", f"weights are not a safetensors file: {error}"
        ) from error
    components: dict[str, StateDict] = {name: {} for name in manifest.components}
    for name, tensor in flat.items():
        component, _, rest = name.partition(".")
        if component not in components:
            raise CheckpointRefused(
                "component_unknown", f"tensor {name} belongs to no component of the manifest"
            )
        components[component][rest] = tensor.float() if tensor.is_floating_point() else tensor
    for component, state in components.items():
        if not state:
            raise CheckpointRefused("component_missing", f"the weights hold nothing of component {component}")
    return components


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """Canonical JSON of the manifest, with its own sha256."""
    body = asdict(manifest)
    return _canonical({**body, "manifest_sha256": hashlib.sha256(_canonical(body)).hexdigest()})


def manifest_from_bytes(data: bytes) -> Manifest:
    """The manifest in ``data``. Raises CheckpointRefused when it is not exactly what was written."""
    try:
        document = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointRefused("manifest_invalid", f"the manifest is not JSON: {error}") from error
    manifest = manifest_from_document(document)
    if manifest_to_bytes(manifest) != data:
        raise CheckpointRefused("manifest_hash_mismatch", "the manifest is not in the form it was written in")
    return manifest


def manifest_from_document(document: Any) -> Manifest:
    """The manifest in a JSON object, as a database keeps it. Raises CheckpointRefused when it was changed."""
    if not isinstance(document, Mapping):
        raise CheckpointRefused("manifest_invalid", "the manifest is not a JSON object")
    if document.get("format") != FORMAT:
        raise CheckpointRefused(
            "format_unknown",
            f"the manifest's format is {document.get('format')!r}, this version reads {FORMAT!r}",
        )
    body = {key: value for key, value in document.items() if key != "manifest_sha256"}
    if document.get("manifest_sha256") != hashlib.sha256(_canonical(body)).hexdigest():
        raise CheckpointRefused("manifest_hash_mismatch", "the manifest was changed after it was written")
    try:
        return Manifest(
            **{**body, "lineage": Lineage(**body["lineage"]), "components": tuple(body["components"])}
        )
    except (TypeError, KeyError) as error:
        raise CheckpointRefused("manifest_invalid", f"the manifest's fields are wrong: {error}") from error


def assemble(
    components: dict[str, StateDict],
    *,
    folder: Path,
    preset: str,
    config: dict[str, Any],
    lineage: Lineage,
    parent: str | None = None,
    golden: dict[str, Any] | None = None,
) -> Manifest:
    """Write a checkpoint folder from state dicts by component (see COMPONENTS) and return its manifest."""
    weights = weights_to_bytes(components)
    manifest = Manifest(
        preset=preset,
        config=config,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        components=tuple(sorted(components)),
        lineage=lineage,
        parent=parent,
        golden=golden or {},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_NAME).write_bytes(weights)
    (folder / MANIFEST_NAME).write_bytes(manifest_to_bytes(manifest))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder. Raises CheckpointRefused."""
    return manifest_from_bytes(_read(folder / MANIFEST_NAME, code="manifest_missing"))


def load(folder: Path, *, expected_sha256: str | None = None) -> tuple[Manifest, dict[str, StateDict]]:
    """Manifest and float32 state dicts of a verified checkpoint folder.

    Raises CheckpointRefused when anything is missing, changed, or not the checkpoint ``expected_sha256`` names.
    """
    manifest = read_manifest(folder)
    if expected_sha256 is not None and manifest.sha256 != expected_sha256:
        raise CheckpointRefused(
            "not_the_expected_checkpoint",
            f"expected checkpoint {expected_sha256}, the folder holds {manifest.sha256}",
        )
    return manifest, components_from_bytes(_read(folder / WEIGHTS_NAME, code="weights_missing"), manifest)


def verify(folder: Path, *, expected_sha256: str | None = None) -> Manifest:
    """Check everything ``load`` checks and return the manifest."""
    return load(folder, expected_sha256=expected_sha256)[0]


def _read(path: Path, *, code: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointRefused(code, f"{path.name} cannot be read: {error.strerror}") from error


def _canonical(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")
