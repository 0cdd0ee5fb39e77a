"""Untrained nano checkpoints: real files that load, generate and pass their golden check within seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from engine import blobs
from engine.models import Checkpoint, Deployment
from engine.services import checkpoints
from engine.transitions import Actor
from modelzoo import checkpoint, registry
from modelzoo.checkpoint import Lineage
from modelzoo.serving import golden_outputs

TESTER = Actor(name="test")


def untrained_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint folder; the weights follow from ``seed``."""
    torch.set_num_threads(1)
    models = registry.build("nano", seed=seed)
    components = models.components()
    checkpoint.assemble(
        components,
        folder=folder,
        preset="nano",
        config=registry.preset_config(models.preset),
        lineage=Lineage(objective="none", dataset_hash="", command="none", seed=seed, steps=0),
        golden=golden_outputs(components, "nano"),
    )
    return folder


def registered(folder: Path, *, name: str, weights: bytes | None = None, verified: bool = True) -> Checkpoint:
    """The folder's checkpoint as a row; ``weights`` replaces what is stored, to spoil it."""
    manifest = checkpoint.read_manifest(folder)
    stored = (folder / checkpoint.WEIGHTS_NAME).read_bytes() if weights is None else weights
    row = checkpoints.register(
        weights_key=blobs.put(stored, suffix=".safetensors", content_type="application/octet-stream"),
        sha256=manifest.sha256,
        manifest=json.loads((folder / checkpoint.MANIFEST_NAME).read_bytes()),
        name=name,
        parent_id=None,
        run_id=None,
        actor=TESTER,
    )
    if verified:
        checkpoints.verify(checkpoint_id=row.pk, actor=TESTER)
    return row


def deployed(folder: Path, *, name: str) -> Deployment:
    return checkpoints.deploy(checkpoint_id=registered(folder, name=name).pk, actor=TESTER)
