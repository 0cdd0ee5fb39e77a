"""The checkpoints that come with the repository are whole, small, and do what their manifests say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from modelzoo import checkpoint
from modelzoo.depth import SmallDepthNet
from modelzoo.serving import ModelSlot, golden_request

CHECKPOINTS = Path(__file__).resolve().parents[2] / "fixtures" / "checkpoints"


def test_all_weights_together_stay_below_twenty_megabytes() -> None:
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*.safetensors")) <= 20_000_000


def test_the_shipped_checkpoint_serves_after_its_golden_check() -> None:
    torch.set_num_threads(1)
    folder = CHECKPOINTS / "tiny"
    manifest = json.loads((folder / checkpoint.MANIFEST_NAME).read_bytes())
    serving = ModelSlot().swap(weights=folder / checkpoint.WEIGHTS_NAME, manifest=manifest, generation=1)
    assert serving.sha256 == checkpoint.verify(folder).sha256
    candidates = serving.pipeline.generate(golden_request(tuple(range(8))))
    assert len({one.mesh_glb for one in candidates}) == 8
    assert sum(len(one.mesh_glb) for one in candidates) <= 8_000_000
    assert sum(len(one.preview_glb) for one in candidates) <= 1_000_000


def test_the_shipped_depth_net_puts_the_ground_nearer_than_the_horizon() -> None:
    torch.set_num_threads(1)
    rows = np.linspace(0, 1, 96)[:, None, None]
    image = (np.where(rows > 0.5, [120, 110, 100], [170, 190, 220]) + np.zeros((96, 128, 1))).astype(np.uint8)
    found = SmallDepthNet.load(CHECKPOINTS / "depth-tiny").estimate(image)
    assert found.approximate and not found.metric
    assert np.nanmedian(found.points[-12:, :, 2]) < np.nanmedian(found.points[50:60, :, 2])
