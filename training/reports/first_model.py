"""The shipped model's report: what it can do on held-out objects beside an untrained one and a mean shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.models.geometry import GeometryModel
from modelzoo.registry import load_models
from training.components.autoencoder import object_grids
from training.data.samples import Example
from training.evaluate import F_THRESHOLD, SURFACE_POINTS, ObjectScores, score
from training.metrics.intervals import bootstrap_mean
from training.metrics.overlap import volume_iou
from training.metrics.surface import f_score, surface_points
from training.provenance import provenance
from training.reports.held_out import SamplerPlan, held_out_examples, pose_errors, truth_grids

NUM_OBJECTS = 64
TRAINING_STREAM = 7
MIN_CONDITIONING_GAP = 0.05


def first_model_report(
    checkpoint: Path, *, seed: int = 0, num_objects: int = NUM_OBJECTS
) -> dict[str, object]:
    """Measure a checkpoint on held-out procedural objects; ``passed`` says whether the photograph is really used."""
    manifest, models = load_models(checkpoint)
    preset = models.geometry.preset
    examples = held_out_examples(
        count=num_objects, seed=seed, size=preset.image_size, resolution=preset.resolution
    )
    plan = SamplerPlan(num_samples=8, seed=seed)
    shipped = score(models.geometry, models.ss_vae, examples, plan)
    untrained_model = _untrained(models.geometry, seed)
    untrained = score(untrained_model, models.ss_vae, examples, plan)
    mean_shape = volume_iou(_mean_shape(preset.resolution), truth_grids(examples))
    gap = bootstrap_mean(shipped.conditioning.numpy(), seed=seed)
    return {
        "checkpoint": manifest.sha256,
        "preset": manifest.preset,
        "lineage": manifest.lineage.__dict__,
        "num_objects": num_objects,
        "samples_per_object": plan.num_samples,
        "steps": plan.steps,
        "rescale_t": plan.rescale_t,
        "cfg_strength": plan.cfg_strength,
        "occupancy": f"solid, {preset.resolution}^3, canonical frame, no alignment",
        "data": "held-out procedural objects (streams never trained on), a third each isolated, composited, shifted",
        "shipped": _scores(shipped, seed),
        "untrained": _scores(untrained, seed),
        "training_mean_shape": {"volume_iou_mean": bootstrap_mean(mean_shape.numpy(), seed=seed).as_dict()},
        "by_world": _by_world(shipped, examples, seed),
        "conditioning_test": {
            "right_minus_shuffled_image": gap.as_dict(),
            "must_exceed": MIN_CONDITIONING_GAP,
            "passed": gap.mean > MIN_CONDITIONING_GAP,
        },
        "pose": {
            "shipped": pose_errors(shipped.drawn.layouts, examples).as_dict(),
            "chance": pose_errors(_chance_layouts(models.geometry, examples), examples).as_dict(),
            "note": "medians over all candidates; chance always answers the training data's mean layout",
        },
        "median_volume_over_true_volume": round(_volume_ratio(shipped, examples), 4),
        "f_score_floor_at_same_shape": _f_score_floor(examples[0].occupancy),
        "provenance": provenance(seed=seed),
        "passed": gap.mean > MIN_CONDITIONING_GAP,
    }


def _scores(scores: ObjectScores, seed: int) -> dict[str, dict[str, float]]:
    return {
        name: bootstrap_mean(values.numpy(), seed=seed).as_dict() for name, values in scores.columns().items()
    }


def _volume_ratio(scores: ObjectScores, examples: list[Example]) -> float:
    """How bloated the candidates are: volume IoU forgives fullness."""
    drawn = scores.drawn.grids.flatten(2).sum(2).float()
    return float((drawn / truth_grids(examples).flatten(1).sum(1)[:, None]).median())


def _by_world(scores: ObjectScores, examples: list[Example], seed: int) -> dict[str, object]:
    rows: dict[str, object] = {}
    for kind in sorted({example.kind for example in examples}):
        chosen = torch.tensor([example.kind == kind for example in examples])
        rows[kind] = {
            "volume_iou_mean": bootstrap_mean(scores.mean_iou[chosen].numpy(), seed=seed).as_dict(),
            "volume_iou_best_of_8": bootstrap_mean(scores.best_iou[chosen].numpy(), seed=seed).as_dict(),
            "pose": pose_errors(
                scores.drawn.layouts[chosen], [example for example in examples if example.kind == kind]
            ).as_dict(),
        }
    return rows


def _untrained(model: GeometryModel, seed: int) -> GeometryModel:
    """The same architecture and standardisation with first weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = GeometryModel(model.preset).eval().requires_grad_(False)
    for name in ("shape_mean", "shape_std", "layout_mean", "layout_std"):
        fresh.get_buffer(name).copy_(model.get_buffer(name))
    return fresh


def _mean_shape(resolution: int) -> Tensor:
    """The mean of 512 training objects, cut at the level that suits them best."""
    grids = object_grids(stream=TRAINING_STREAM, start=0, count=512, resolution=resolution, shifted_share=0.3)
    level = grids.float().mean(0)
    cuts = [level > share for share in np.linspace(0.1, 0.6, 11)]
    best: Tensor = max(cuts, key=lambda cut: float(volume_iou(cut, grids).mean()))
    return best


def _chance_layouts(model: GeometryModel, examples: list[Example]) -> Tensor:
    return model.layout_mean.expand(len(examples), 1, -1)


def _f_score_floor(grid: NDArray[np.bool_]) -> float:
    """What two samplings of the same surface score."""
    points = [
        surface_points(grid, count=SURFACE_POINTS, rng=np.random.default_rng(side)) for side in range(2)
    ]
    return round(f_score(points[0], points[1], threshold=F_THRESHOLD), 4)
