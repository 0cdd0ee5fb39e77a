"""Compares a checkpoint with its parent on an audit set: human-made shapes that no dataset version trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelzoo.registry import load_models
from training.data.batches import ConditionBatch
from training.data.manifests import ManifestRefused, Prepared, prepare_demonstration, read_dataset
from training.metrics.intervals import paired_difference
from training.metrics.overlap import volume_iou
from training.reports.held_out import SamplerPlan, draw

#: Fewer shapes give no interval.
FEWEST = 2


def compare_on_audit(
    child_dir: Path, parent_dir: Path, audit_dir: Path, *, seed: int = 0, num_samples: int = 8
) -> dict[str, Any]:
    """Volume IoU of both, mean and best of the draws, with paired 95 % intervals over the shapes of ``audit_dir``.

    Both draw from the same noise. An artist's model names no heading, so the best of its four quarter turns counts;
    its solid is what the parent's autoencoder gives back of it, for both. Raises ManifestRefused for fewer than
    FEWEST shapes.
    """
    dataset = read_dataset(audit_dir)
    if len(dataset.demonstrations) < FEWEST:
        raise ManifestRefused(f"an audit needs {FEWEST} shapes, not {len(dataset.demonstrations)}")
    plan = SamplerPlan(num_samples=num_samples, seed=seed)
    scores: list[Tensor] = []
    shas: list[str] = []
    truth: Tensor | None = None
    for folder in (parent_dir, child_dir):
        manifest, models = load_models(folder)
        vae, size = models.ss_vae, models.geometry.preset.image_size
        prepared = [prepare_demonstration(dataset, item, vae, size=size) for item in dataset.demonstrations]
        if truth is None:
            truth = _solids(prepared, vae)
        drawn = draw(models.geometry, vae, _views(prepared), plan)
        scores.append(_best_turn(drawn.grids, truth))
        shas.append(manifest.sha256)
    parent, child = scores
    return {
        "data": "audit set: human-made shapes of real targets that no dataset version trains on",
        "audit_manifest": dataset.sha256,
        "parent": shas[0],
        "checkpoint": shas[1],
        "num_objects": len(dataset.demonstrations),
        "samples_per_object": num_samples,
        "seed": seed,
        "metrics": {
            "volume_iou_mean": _row(child.mean(1), parent.mean(1), seed),
            f"volume_iou_best_of_{num_samples}": _row(child.max(1).values, parent.max(1).values, seed),
        },
    }


@torch.no_grad()
def _solids(prepared: list[Prepared], vae: Any) -> Tensor:
    return torch.stack([vae.decode(one.latent[None])[0] > 0 for one in prepared])


def _views(prepared: list[Prepared]) -> ConditionBatch:
    parts = ([getattr(one.condition, name) for one in prepared] for name in ("crop", "full", "box"))
    crop, full, box = (torch.from_numpy(np.stack(each)) for each in parts)
    return ConditionBatch(crop=crop, full=full, box=box)


def _best_turn(grids: Tensor, truth: Tensor) -> Tensor:
    """N x K: the largest overlap over four quarter turns about the upright axis."""
    turns = [volume_iou(torch.rot90(grids, k, dims=(-3, -2)), truth[:, None]) for k in range(4)]
    return torch.stack(turns).max(dim=0).values


def _row(child: Tensor, parent: Tensor, seed: int) -> dict[str, Any]:
    change = paired_difference(child.numpy(), parent.numpy(), seed=seed)
    return {
        "value": round(float(child.mean()), 4),
        "parent": round(float(parent.mean()), 4),
        **change.as_dict(),
        "higher_is_better": True,
    }
