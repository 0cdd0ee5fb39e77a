"""What the rounds' checkpoints are worth: shape on held-out objects, a simulated arena, and an arm without people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models import Checkpoint
from engine.ranking.bradley_terry import fit_bradley_terry
from engine.ranking.intervals import bootstrap_over_tasks
from engine.selectors.bias import bias_figures
from modelzoo.checkpoint import MANIFEST_NAME, manifest_from_document, manifest_to_bytes
from modelzoo.registry import load_models
from training.configs import STAGES, OptimizerConfig
from training.reports.ablation.scores import HeldOutSet, StageScores
from training.runs import run_training
from training.simulation.annotators import calibrated_noise
from workers.slots import weights_file

Floats = NDArray[np.float64]
CONTROLS = ("pretrain", "midtrain")
VOTES = 5  # of each pair: one vote each left seven points of Elo to the voters' chance
EQUAL_BELOW = 0.25  # of the noise: two looks closer than this are called equal


@dataclass(frozen=True, kw_only=True)
class MeasurePlan:
    """How much is measured; ``objects`` are held-out ones of the shifted world that no training saw.

    ``control`` is the stage whose procedural examples the control goes on with.
    """

    objects: int = 64
    scored: int = 4  # of each object's drawn ones: between two checkpoints chance is mostly in the draws
    drawn: int = 8
    seed: int = 0
    control: str = "midtrain"


def optimizer_of(settings: Mapping[str, Any]) -> OptimizerConfig:
    """How a run of these settings learned."""
    usual = STAGES["sft"].optimizer
    return replace(usual, learning_rate=settings["learning_rate"], kind=settings["optimizer"])


def checkpoint_folder(checkpoint_id: int, folder: Path) -> Path:
    """The checkpoint as a folder that ``load_models`` reads."""
    row = Checkpoint.objects.get(pk=checkpoint_id)
    place = folder / f"checkpoint-{checkpoint_id}"
    place.mkdir(parents=True, exist_ok=True)
    weights = place / "weights.safetensors"
    if not weights.exists():
        weights.symlink_to(weights_file(row).resolve())
    (place / MANIFEST_NAME).write_bytes(manifest_to_bytes(manifest_from_document(row.manifest)))
    return place


def train_control(
    base: Path, folder: Path, *, steps: int, optimizer: OptimizerConfig, plan: MeasurePlan
) -> Path:
    """As many steps as all rounds took, on procedural examples: what the compute does without anybody's judgement."""
    examples = STAGES[plan.control]
    config = replace(
        STAGES["midtrain"],
        mixture=examples.mixture,
        steps=steps,
        seed=plan.seed,
        optimizer=optimizer,
    )
    result = run_training(config, workdir=folder, checkpoint_dir=base, manifest_dir=None)
    return result.output_dir


def held_out_scores(
    checkpoints: Mapping[str, Path], folder: Path, plan: MeasurePlan
) -> dict[str, StageScores]:
    """By name, kept in ``folder``: measured once by each plan."""
    kept = folder / f"{plan.objects}-objects-{plan.scored}-of-{plan.drawn}-seed-{plan.seed}"
    preset = load_models(next(iter(checkpoints.values())))[1].geometry.preset
    held_out = HeldOutSet(preset, count=plan.objects, scored=plan.scored, drawn=plan.drawn, seed=plan.seed)
    return {name: held_out.scores(place, kept / f"{name}.npz") for name, place in checkpoints.items()}


def simulated_arena(scores: Mapping[str, StageScores], *, seed: int) -> dict[str, Any]:
    """Every checkpoint against every other on every held-out object, as often as each was drawn and scored, judged by
    ``VOTES`` pairs of noisy eyes (75 % agreement): Elo.

    Elo is Bradley-Terry with ties on a scale of 400 points for odds of ten to one, the first checkpoint at 0, with
    intervals from a bootstrap over objects.
    """
    names = list(scores)
    worth = np.stack([scores[name].shape.f1_005 for name in names], axis=1)  # N x M x draws
    noise = calibrated_noise(worth[..., 0], seed=seed)
    left, right, outcome, tasks = _matches(worth, noise=noise, rng=np.random.default_rng(seed))

    def fit(weights: Floats) -> Floats:
        fitted = fit_bradley_terry(
            left=left,
            right=right,
            outcome=outcome,
            num_items=len(names),
            weights=weights,
            prior_precision=1e-3,
        )
        elo = fitted.elo()
        anchored: Floats = elo - elo[0]
        return anchored

    found = bootstrap_over_tasks(fit, tasks=tasks, rng=np.random.default_rng(seed + 1))
    elo = {
        name: {"elo": round(float(e), 1), "low": round(float(low), 1), "high": round(float(high), 1)}
        for name, e, low, high in zip(names, found.estimate, found.low, found.high, strict=True)
    }
    return {"simulated": True, "noise": round(noise, 4), "matches": len(outcome), "elo": elo}


def bias_measures(project_id: int, *, seed: int) -> dict[str, Any]:
    """What the site's own bias monitor says of the rounds: whose shapes were accepted, and how much they cover."""
    figures = bias_figures(project_id, seed=seed)
    return {
        "rounds": [
            {
                "number": one.number,
                "sources": dict(one.sources),
                "own": None if one.own is None else asdict(one.own),
                "coverage": None if one.coverage is None else asdict(one.coverage),
            }
            for one in reversed(figures.rounds)
        ],
        "references": [
            {
                "name": one.name,
                "num_shapes": one.num_shapes,
                "covered": None if one.covered is None else asdict(one.covered),
                "num_different": one.num_different,
            }
            for one in figures.references
        ],
        "accepted": figures.num_accepted,
        "accepted_different": figures.accepted_different,
    }


def linear_fit(values: Sequence[float]) -> dict[str, float]:
    """Slope per round, and R2, of a straight line through the rounds' values."""
    y, x = np.asarray(values, dtype=np.float64), np.arange(len(values), dtype=np.float64)
    slope, start = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - slope * x - start) ** 2).sum())
    return {"slope": round(float(slope), 2), "r2": round(1.0 - left / spread, 4) if spread > 0 else 0.0}


def _matches(
    worth: Floats, *, noise: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Left, right, outcome and object of each match, of ``worth`` N x M x draws."""
    rows = []
    for task, shown in enumerate(worth):
        for one in shown.T:
            for first, second in VOTES * list(combinations(range(len(one)), 2)):
                gap = float(one[first] - one[second] + noise * np.sqrt(2) * rng.normal())
                said = 0 if abs(gap) < EQUAL_BELOW * noise else 1 if gap > 0 else -1
                rows.append((first, second, said, task))
    table = np.array(rows, dtype=np.int64)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]
