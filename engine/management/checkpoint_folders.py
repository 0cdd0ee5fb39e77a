"""A checkpoint as files on this machine, ``manifest.json`` beside ``weights.safetensors``, becomes a row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine import blobs
from engine.models import Checkpoint
from engine.services import checkpoints
from engine.transitions import Actor


def registered(folder: Path, *, actor: Actor, name: str = "") -> Checkpoint:
    """The folder's checkpoint, stored and registered; the same weights are one checkpoint.

    Raises ValueError when the weights are not the ones that the manifest names.
    """
    manifest = json.loads((folder / "manifest.json").read_bytes())
    weights = (folder / "weights.safetensors").read_bytes()
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != manifest["weights_sha256"]:
        raise ValueError(f"the weights in {folder} are not the ones that their manifest names")
    return checkpoints.register(
        weights_key=blobs.put(weights, suffix=".safetensors", content_type="application/octet-stream"),
        sha256=sha256,
        manifest=manifest,
        name=name or f"shipped {manifest['preset']}",
        parent_id=None,
        run_id=None,
        actor=actor,
    )
