"""An untrained nano checkpoint that runs can start from; its autoencoder gives some solid."""

from __future__ import annotations

from pathlib import Path

import torch

from modelzoo.checkpoint import Lineage, assemble
from modelzoo.registry import build, preset_config
from modelzoo.serving import golden_outputs


def nano_parent(folder: Path, *, stirred: bool) -> Path:
    """The checkpoint's folder. ``stirred``: no matrix of the geometry is zero, so that one step reaches every part."""
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    torch.nn.init.constant_(models.ss_vae.decoder.leave.bias, 0.05)
    for parameter in models.geometry.parameters():
        if stirred and parameter.dim() == 2 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    components = models.components()
    assemble(
        components,
        folder=folder,
        preset="nano",
        config=preset_config(models.preset),
        lineage=Lineage(objective="pretrain", dataset_hash="none", command="none", seed=3, steps=0),
        golden=golden_outputs(components, "nano"),
    )
    return folder
