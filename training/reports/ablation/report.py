"""The cumulative table: every stage with intervals, each step a paired difference, beside the arm without people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.intervals import bootstrap_mean, paired_difference
from training.reports.ablation.arms import CONTROL, GIVEN, MADE
from training.reports.ablation.scores import StageScores, read_scores
from training.reports.scoring import LOWER_IS_BETTER

Floats = NDArray[np.float64]
COLUMNS = (
    *("f1_001", "f1_005", "viou", "chamfer", "emd", "volume_ratio"),
    *("rotation_deg", "translation", "iou3d", "icp_rot", "adds_01"),
)
TITLES = {
    "pretrain": "pre-training (isolated)",
    "midtrain": "+ mid-training (render and paste)",
    "sft": "+ SFT (people)",
    "dpo": "+ DPO (people)",
    "sft_art": "+ SFT (artists)",
    "dpo_art": "+ DPO (artists)",
    CONTROL: "control: as many steps on rendered scenes",
}
STEPS = (*zip((*GIVEN, *MADE), (*GIVEN, *MADE)[1:], strict=False), ("midtrain", CONTROL), (CONTROL, MADE[-1]))


@dataclass(frozen=True, kw_only=True)
class StageTable:
    """A stage's scores of each seed; given stages have one for all."""

    by_seed: tuple[StageScores, ...]

    def per_object(self, take: Callable[[StageScores], Floats]) -> Floats:
        """N numbers: the mean over seeds."""
        mean: Floats = np.mean([take(scores) for scores in self.by_seed], axis=0)
        return mean

    def per_seed(self, take: Callable[[StageScores], Floats]) -> list[float]:
        """The mean over objects, seed by seed."""
        return [float(take(scores).mean()) for scores in self.by_seed]


def read_tables(work: Path, seeds: Sequence[int]) -> dict[str, StageTable]:
    """The kept scores of all stages. Raises FileNotFoundError naming the first that is missing."""
    tables = {stage: StageTable(by_seed=(read_scores(work / f"{stage}.npz"),)) for stage in GIVEN}
    for stage in (*MADE, CONTROL):
        kept = [work / f"seed-{seed}" / f"{stage}.npz" for seed in seeds]
        tables[stage] = StageTable(by_seed=tuple(read_scores(one) for one in kept))
    return tables


def report(work: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Rows, steps and rounds as a JSON document."""
    tables = read_tables(work, seeds)
    return {
        "simulated": "annotators and artists are simulated; objects are held-out, of the shifted procedural world",
        "seeds": list(seeds),
        "rows": {stage: _row(tables[stage]) for stage in tables},
        "steps": {f"{before} > {after}": _step(tables[before], tables[after]) for before, after in STEPS},
        "floor_f1_001": bootstrap_mean(tables["midtrain"].by_seed[0].shape.f1_001_floor).as_dict(),
        "rounds": {
            str(seed): {
                share: json.loads((work / f"seed-{seed}" / share / "round.json").read_text())
                for share in ("people", "artists")
            }
            for seed in seeds
        },
    }


def verdicts(document: dict[str, Any]) -> list[str]:
    """What the table says of the paper's order, step by step, in plain words."""
    said = []
    for name, columns in document["steps"].items():
        for column in ("f1_001", "viou", "chamfer"):
            change = columns[column]
            sign = -1.0 if column in LOWER_IS_BETTER else 1.0
            low, high = sorted((sign * change["low"], sign * change["high"]))
            word = "better" if low > 0 else "worse" if high < 0 else "no difference that can be shown"
            said.append(
                f"{name}, {column}: {word} ({change['difference']:+.4f} ± {change['standard_error']:.4f})"
            )
    return said


def as_markdown(document: dict[str, Any]) -> str:
    """The table for people."""
    head = ["stage", *COLUMNS, "best of 8 (viou)", "gap best - mean"]
    lines = [_line(head), _line(["---"] * len(head))]
    for stage, row in document["rows"].items():
        cells = [_cell(row[column]) for column in (*COLUMNS, "best_of_many", "gap_of_many")]
        lines.append(_line([TITLES[stage], *cells]))
    steps = ["", "| step (paired, objects and seeds) | F1@0.01 | vIoU | Chamfer |", "|---|---|---|---|"]
    for name, columns in document["steps"].items():
        cells = [
            f"{columns[c]['difference']:+.4f} ± {columns[c]['standard_error']:.4f}"
            for c in ("f1_001", "viou", "chamfer")
        ]
        steps.append(_line([name, *cells]))
    floor = document["floor_f1_001"]
    note = (
        f"\nF1@0.01 of two samplings of one shape (its ceiling at 30 000 points): {floor['mean']:.4f}. "
        "Intervals: 95 %, bootstrap over objects, mean over seeds; ± is the standard error of the paired difference. "
        "Overlap of solid 64^3 grids in the canonical frame; layout metrics as in training/metrics.\n"
    )
    origin = document["provenance"]
    measured = (
        f"\nMeasured by `{origin['command']}` at commit {origin['commit']}, seeds {document['seeds']}, on "
    )
    machine = f"{origin['machine']['processor']}, {origin['machine']['cores']} cores.\n"
    return "\n".join(
        ["# The recipe, stage by stage (simulated people)\n", *lines, *steps, note, measured + machine]
    )


def _row(table: StageTable) -> dict[str, Any]:
    row: dict[str, Any] = {
        column: bootstrap_mean(table.per_object(partial(_mean_of, column))).as_dict() for column in COLUMNS
    }
    row["best_of_many"] = bootstrap_mean(table.per_object(lambda s: s.many_overlaps.max(axis=1))).as_dict()
    gap = table.per_object(lambda s: s.many_overlaps.max(axis=1) - s.many_overlaps.mean(axis=1))
    row["gap_of_many"] = bootstrap_mean(gap).as_dict()
    row["viou_by_seed"] = [round(v, 4) for v in table.per_seed(partial(_mean_of, "viou"))]
    return row


def _mean_of(column: str, scores: StageScores) -> Floats:
    """N numbers: the mean over the scored candidates."""
    mean: Floats = scores.shape.columns()[column].mean(axis=1)
    return mean


def _step(before: StageTable, after: StageTable) -> dict[str, Any]:
    def change(column: str) -> dict[str, float]:
        take = partial(_mean_of, column)
        made = paired_difference(after.per_object(take), before.per_object(take)).as_dict()
        seeds = max(len(before.by_seed), len(after.by_seed))
        first, second = before.per_seed(take), after.per_seed(take)
        differences = [second[i % len(second)] - first[i % len(first)] for i in range(seeds)]
        spread = float(np.std(differences, ddof=1) / np.sqrt(seeds)) if seeds > 1 else None
        return {**made, "standard_error_over_seeds": spread}  # type: ignore[dict-item]

    return {column: change(column) for column in COLUMNS}


def _cell(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
