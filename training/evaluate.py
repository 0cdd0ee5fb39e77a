"""Compares a checkpoint with its parent on fixed held-out objects, with paired intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from modelzoo.models.geometry import GeometryModel
from modelzoo.registry import Models, load_models
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import ConditionBatch
from training.data.samples import Example
from training.data.sources import pick
from training.metrics.intervals import bootstrap_mean
from training.metrics.sampling import sampled_grid
from training.metrics.shape import NO_SHAPE, ShapeMetrics, TrueShape
from training.metrics.shape import SURFACE_POINTS as PROTOCOL_POINTS
from training.metrics.surface import chamfer_distance, f_score, surface_points
from training.reports.held_out import (
    Drawn,
    SamplerPlan,
    condition_batch,
    draw,
    each_at_once,
    held_out_examples,
    overlaps,
    pose_errors,
    truth_grids,
)
from training.reports.side_by_side import Guesses, SideBySide, side_by_side

SURFACE_POINTS = 10_000
F_THRESHOLD = 0.05
FLOOR_OBJECTS = 8
WRONG_SAMPLES = 2  # of each object by another's photograph: enough to see that it matters
MEASURED_VERSION = 2  # of what is kept of a checkpoint: another one whenever a score is measured otherwise
PROTOCOL = (
    "names in _aligned: SAM 3D's protocol, each shape in [-1, 1], rigid ICP, 30,000 points or more (EMD 512); the "
    "others in the canonical cube of side 1, not aligned, 10,000 points. First candidate of each object; distances are "
    "plain unless they are named squared. The conditioning gap is all candidates' overlap minus that of two candidates "
    "drawn by another object's photograph"
)


@dataclass(frozen=True, kw_only=True)
class ObjectScores:
    """One number per held-out object (N)."""

    ious: Tensor  # N x K
    conditioning: Tensor  # right photograph minus another object's photograph
    f_score: Tensor
    chamfer: Tensor
    aligned: tuple[ShapeMetrics, ...]
    drawn: Drawn

    @property
    def mean_iou(self) -> Tensor:
        return self.ious.mean(1)

    @property
    def best_iou(self) -> Tensor:
        return self.ious.max(1).values

    def columns(self) -> dict[str, Tensor]:
        """The scores by name."""
        return {
            "volume_iou_mean": self.mean_iou,
            "volume_iou_best_of_8": self.best_iou,
            "conditioning_gap": self.conditioning,
            "f_score_at_0.05": self.f_score,
            "chamfer": self.chamfer,
            "f_score_at_0.01_aligned": torch.tensor([one.f1_001 for one in self.aligned]),
            "chamfer_aligned": torch.tensor([one.chamfer for one in self.aligned]),
            "chamfer_squared_aligned": torch.tensor([one.chamfer_squared for one in self.aligned]),
            "emd_512_aligned": torch.tensor([one.emd for one in self.aligned]),
        }


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that a comparison needs of one checkpoint: scores by name (N each), pose errors by name, what it drew."""

    columns: dict[str, Tensor]
    poses: dict[str, float]
    guesses: Guesses


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The report, and a few of its objects to look at."""

    report: dict[str, object]
    examples: tuple[SideBySide, ...]


LOWER_IS_BETTER = (
    *("chamfer", "chamfer_aligned", "chamfer_squared_aligned", "emd_512_aligned"),
    *("rotation_deg", "translation", "log_scale"),
)


def compare_to_parent(
    child_dir: Path,
    parent_dir: Path,
    *,
    seed: int = 0,
    num_objects: int = 24,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """The report of compare()."""
    compared = compare(child_dir, parent_dir, seed=seed, num_objects=num_objects, on_progress=on_progress)
    return compared.report


def compare(
    child_dir: Path,
    parent_dir: Path,
    *,
    seed: int = 0,
    num_objects: int = 24,
    kept: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """The evaluation report: each metric of child and parent, and the paired difference with its 95 % interval.

    Both models draw from the same noise for the same held-out procedural objects (solid occupancy, 64^3 at tiny). In
    the folder ``kept`` lies what was measured of a checkpoint before: it is not measured again.
    """
    plan = SamplerPlan(num_samples=8, seed=seed)
    shas, found = [], []
    for number, folder in enumerate((parent_dir, child_dir)):
        manifest, models = load_models(folder)
        preset = models.geometry.preset
        examples = held_out_examples(
            count=num_objects, seed=seed, size=preset.image_size, resolution=preset.resolution
        )
        name = f"{manifest.sha256}-{num_objects}-{seed}-{MEASURED_VERSION}.npz"
        found.append(_measured(models, examples, plan, None if kept is None else kept / name))
        shas.append(manifest.sha256)
        if on_progress is not None:
            on_progress(number + 1, 2)
    before, after = found
    metrics: dict[str, object] = {
        name: _paired(name, column, before.columns[name], seed) for name, column in after.columns.items()
    }
    for name, value in before.poses.items():
        metrics[name] = {
            "value": after.poses[name],
            "parent": value,
            "difference": round(after.poses[name] - value, 4),
            "higher_is_better": False,
        }
    change = after.columns["volume_iou_mean"] - before.columns["volume_iou_mean"]
    report: dict[str, object] = {
        "verdict": _verdict(change, seed),
        "parent": shas[0],
        "checkpoint": shas[1],
        "num_objects": num_objects,
        "samples_per_object": plan.num_samples,
        "steps": plan.steps,
        "seed": seed,
        "occupancy": "solid",
        "shape_metrics": PROTOCOL,
        "f_score_at_0.01_of_the_same_shape": _floor(examples[:FLOOR_OBJECTS]),
        "data": "held-out procedural objects, simulated",
        "metrics": metrics,
    }
    shown = side_by_side(examples, truth_grids(examples), parent=before.guesses, child=after.guesses)
    return Comparison(report=report, examples=shown)


def _measured(models: Models, examples: list[Example], plan: SamplerPlan, file: Path | None) -> Measured:
    known = None if file is None else _read(file)
    if known is not None:
        return known
    scores = score(models.geometry, models.ss_vae, examples, plan)
    fresh = Measured(
        columns=scores.columns(),
        poses=pose_errors(scores.drawn.layouts, examples).as_dict(),
        guesses=Guesses(grids=scores.drawn.grids, ious=scores.ious),
    )
    if file is not None:
        _write(file, fresh)
    return fresh


def _write(file: Path, measured: Measured) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    grids = measured.guesses.grids.numpy()
    arrays: dict[str, Any] = {f"column:{name}": column.numpy() for name, column in measured.columns.items()}
    arrays |= {f"pose:{name}": np.float64(value) for name, value in measured.poses.items()}
    arrays |= {"grids": np.packbits(grids), "shape": grids.shape, "ious": measured.guesses.ious.numpy()}
    with NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as draft:
        np.savez_compressed(draft, **arrays)
    Path(draft.name).replace(file)


def _read(file: Path) -> Measured | None:
    """What was kept, or nothing: also when the file is cut off, for it can be measured again."""
    try:
        return _unpacked(file)
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def _unpacked(file: Path) -> Measured:
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(stored["shape"].tolist())
        grids = np.unpackbits(stored["grids"], count=int(np.prod(shape))).reshape(shape).astype(bool)
        return Measured(
            columns={
                name.removeprefix("column:"): torch.from_numpy(stored[name])
                for name in stored.files
                if name.startswith("column:")
            },
            poses={
                name.removeprefix("pose:"): float(stored[name])
                for name in stored.files
                if name.startswith("pose:")
            },
            guesses=Guesses(grids=torch.from_numpy(grids), ious=torch.from_numpy(stored["ious"])),
        )


def score(
    model: GeometryModel, vae: SparseStructureVAE, examples: list[Example], plan: SamplerPlan
) -> ObjectScores:
    """Every score of a model on held-out examples; surfaces are scored on the first candidate only."""
    views, truth = condition_batch(examples), truth_grids(examples)
    drawn = draw(model, vae, views, plan)
    right = overlaps(drawn, truth)
    wrong = overlaps(draw(model, vae, shuffled(views), replace(plan, num_samples=WRONG_SAMPLES)), truth)
    count = len(examples)
    surfaces = torch.tensor(each_at_once(lambda i: _surface(drawn.grids[i, 0], truth[i], i), count))
    return ObjectScores(
        ious=right,
        conditioning=right.mean(1) - wrong.mean(1),
        f_score=surfaces[:, 0],
        chamfer=surfaces[:, 1],
        aligned=tuple(each_at_once(lambda i: _aligned(drawn.grids[i, 0], truth[i], i), count)),
        drawn=drawn,
    )


def shuffled(views: ConditionBatch) -> ConditionBatch:
    """Every target gets its neighbour's photograph."""
    return pick(views, torch.roll(torch.arange(len(views)), 1))


def _surface(guess: Tensor, truth: Tensor, number: int) -> tuple[float, float]:
    """F-score and Chamfer distance; an empty guess scores 0 and the cube's half diagonal."""
    if not bool(guess.any()):
        return 0.0, 0.87
    points = [
        surface_points(grid.numpy(), count=SURFACE_POINTS, rng=np.random.default_rng([number, side]))
        for side, grid in enumerate((guess, truth))
    ]
    return f_score(points[0], points[1], threshold=F_THRESHOLD), chamfer_distance(points[0], points[1])


def _aligned(guess: Tensor, truth: Tensor, number: int) -> ShapeMetrics:
    """The paper's shape metrics of one candidate."""
    if not bool(guess.any()):
        return NO_SHAPE
    rng = np.random.default_rng([number, 2])
    target = TrueShape(sampled_grid(truth.numpy(), count=PROTOCOL_POINTS, rng=rng), rng=rng)
    return target.measure(sampled_grid(guess.numpy(), count=PROTOCOL_POINTS, rng=rng), rng=rng)


def _floor(examples: list[Example]) -> float:
    """F1@0.01 of these objects with themselves, sampled twice: what a perfect model would score."""
    scores = []
    for number, example in enumerate(examples):
        rng = np.random.default_rng([number, 3])
        one, other = (sampled_grid(example.occupancy, count=PROTOCOL_POINTS, rng=rng) for _ in range(2))
        scores.append(TrueShape(one, rng=rng).floor(other, rng=rng))
    return round(float(np.mean(scores)), 4)


def _paired(name: str, child: Tensor, parent: Tensor, seed: int) -> dict[str, float | bool]:
    change = bootstrap_mean((child - parent).numpy(), seed=seed)
    return {
        "value": round(float(child.mean()), 4),
        "parent": round(float(parent.mean()), 4),
        "difference": round(change.mean, 4),
        "low": round(change.low, 4),
        "high": round(change.high, 4),
        "higher_is_better": name not in LOWER_IS_BETTER,
    }


def _verdict(change: Tensor, seed: int) -> str:
    interval = bootstrap_mean(change.numpy(), seed=seed)
    if interval.low > 0:
        return "better than its parent (volume IoU, 95 % interval above zero)"
    if interval.high < 0:
        return "worse than its parent (volume IoU, 95 % interval below zero)"
    return "no difference from its parent that these objects can show"
