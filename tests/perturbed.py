"""Checkpoints a little beside the shipped one, with golden outputs of their own; and three ways to spoil one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from modelzoo import checkpoint
from modelzoo.serving import golden_outputs

SHIPPED = Path(__file__).resolve().parents[1] / "fixtures" / "checkpoints" / "tiny"
AMOUNT = 0.02  # of each geometry weight: other shapes, as good as before


def perturbed_checkpoint(folder: Path, *, seed: int) -> Path:
    """The shipped checkpoint with every weight of its geometry model changed by about ``AMOUNT`` of itself."""
    torch.set_num_threads(1)
    manifest, components = checkpoint.load(SHIPPED)
    generator = torch.Generator().manual_seed(seed)
    components["geometry"] = {
        name: value * (1 + AMOUNT * torch.randn(value.shape, generator=generator))
        if value.is_floating_point()
        else value
        for name, value in components["geometry"].items()
    }
    checkpoint.assemble(
        components,
        folder=folder,
        preset=manifest.preset,
        config=manifest.config,
        lineage=replace(manifest.lineage, command="none", seed=seed),
        parent=manifest.sha256,
        golden=golden_outputs(components, manifest.preset),
    )
    return folder


def with_golden_outputs_of(folder: Path, *, weights_of: Path, golden_of: Path) -> Path:
    """The weights of one checkpoint that claim the golden outputs of another."""
    manifest = checkpoint.read_manifest(weights_of)
    golden = checkpoint.read_manifest(golden_of).golden
    return _written(
        folder, (weights_of / checkpoint.WEIGHTS_NAME).read_bytes(), replace(manifest, golden=golden)
    )


def with_a_nan(folder: Path, *, of: Path) -> Path:
    """The checkpoint with one number of its geometry model that is none; its hashes are right."""
    tensors = load_tensors((of / checkpoint.WEIGHTS_NAME).read_bytes())
    name = next(name for name, value in tensors.items() if name.startswith("geometry.") and value.ndim == 2)
    tensors[name][0, 0] = torch.nan
    return _written(folder, save_tensors(tensors), checkpoint.read_manifest(of))


def _written(folder: Path, weights: bytes, manifest: checkpoint.Manifest) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / checkpoint.WEIGHTS_NAME).write_bytes(weights)
    told = replace(manifest, weights_sha256=hashlib.sha256(weights).hexdigest())
    (folder / checkpoint.MANIFEST_NAME).write_bytes(checkpoint.manifest_to_bytes(told))
    return folder
