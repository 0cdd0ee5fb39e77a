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
from training.reports.ablation.arms import CONTROL, GIVEN, MADE, round_summaries
from training.reports.ablation.scores import StageScores, read_scores
from training.reports.scoring import LOWER_IS_BETTER

Floats = NDArray[np.float64]
HEADLINES = ("f1_001", "viou", "chamfer")  # what the paper's order is about
COLUMNS = (
    *("f1_001", "f1_005", "viou", "chamfer", "emd", "volume_ratio"),
    *("rotation_deg", "translation", "log_scale", "iou3d", "icp_rot", "adds", "adds_01"),
)
TITLES_OF_COLUMNS = {
    "f1_001": "F1@0.01",
    "f1_005": "F1@0.05",
    "viou": "vIoU",
    "chamfer": "Chamfer (less is better)",
    "emd": "EMD (less)",
    "volume_ratio": "volume / true volume",
    "rotation_deg": "rotation, deg (less)",
    "translation": "translation / size (less)",
    "log_scale": "log scale (less)",
    "iou3d": "3D IoU",
    "icp_rot": "ICP-Rot, deg (less)",
    "adds": "ADD-S (less)",
    "adds_01": "ADD-S@0.1",
}
LAYOUT_COLUMNS = COLUMNS[6:]
TITLES = {
    "pretrain": "pre-training (isolated)",
    "midtrain": "+ mid-training (render and paste)",
    "sft": "+ SFT (people)",
    "dpo": "+ DPO (people)",
    "sft_art": "+ SFT (artists)",
    "dpo_art": "+ DPO (artists)",
    CONTROL: "control: as much work on rendered scenes",
}
SHORT = {
    "pretrain": "pre",
    "midtrain": "mid",
    "sft": "SFT",
    "dpo": "DPO",
    "sft_art": "SFT (artists)",
    "dpo_art": "DPO (artists)",
    CONTROL: "control",
}
WORLD_TITLES = {
    "shifted": "the shifted procedural world (the families that training renders, in wider shapes)",
    "foreign": "the foreign procedural world (eight families that no pre-, mid- or control training renders)",
}
STUDY = "study.json"  # in a work folder: how all its seeds were run and scored
UNDECIDED = "no difference that can be shown"
STEPS = (
    *zip((*GIVEN, *MADE), (*GIVEN, *MADE)[1:], strict=False),
    ("midtrain", CONTROL),
    (CONTROL, "dpo"),
    (CONTROL, MADE[-1]),
)


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
    world = json.loads((work / STUDY).read_text())["world"]
    return {
        "simulated": f"annotators and artists are simulated; objects are held-out, of {WORLD_TITLES[world]}",
        "world": world,
        "seeds": list(seeds),
        "rows": {stage: _row(tables[stage]) for stage in tables},
        "steps": {f"{before} > {after}": _step(tables[before], tables[after]) for before, after in STEPS},
        "texture": _texture(tables),
        "floor_f1_001": bootstrap_mean(tables["midtrain"].by_seed[0].shape.f1_001_floor).as_dict(),
        "rounds": {
            str(seed): [json.loads(told.read_text()) for told in round_summaries(work / f"seed-{seed}")]
            for seed in seeds
        },
    }


def verdicts(document: dict[str, Any]) -> list[str]:
    """What the table says of the paper's order, step by step, in plain words: shown where the interval over objects
    leaves out 0 and, with several seeds, the mean is two standard errors over seeds from it."""
    said = []
    for name, columns in document["steps"].items():
        for column in HEADLINES:
            change = columns[column]
            sign = -1.0 if column in LOWER_IS_BETTER else 1.0
            low, high = sorted((sign * change["low"], sign * change["high"]))
            spread = change["standard_error_over_seeds"]
            steady = spread is None or abs(change["difference"]) > 2.0 * spread
            word = "better" if low > 0 and steady else "worse" if high < 0 and steady else UNDECIDED
            said.append(f"{_step_title(name)}, {TITLES_OF_COLUMNS[column]}: {word} ({_difference(change)})")
    return said


def as_markdown(document: dict[str, Any]) -> str:
    """The tables for people."""
    rows, steps = document["rows"], document["steps"]
    many = {"best_of_many": "best of 8 (vIoU)", "gap_of_many": "best of 8 - mean of 8"}
    shape = _table(rows, [*COLUMNS[:6], *many], TITLES_OF_COLUMNS | many)
    layout = _table(rows, LAYOUT_COLUMNS, TITLES_OF_COLUMNS)
    changes = [_line(["step", *(TITLES_OF_COLUMNS[c] for c in HEADLINES)]), _line(["---"] * 4)]
    for name, columns in steps.items():
        changes.append(_line([_step_title(name), *(_difference(columns[c]) for c in HEADLINES)]))
    floor, origin = document["floor_f1_001"], document["provenance"]
    parts = [
        "# The recipe, stage by stage (simulated people)",
        f"{document['simulated'].capitalize()}. Seeds {', '.join(map(str, document['seeds']))}; "
        f"{floor['n']} objects. {document.get('about', '')}".rstrip(),
        "\n".join(shape),
        "\n".join(layout),
        "Intervals: 95 %, bootstrap over objects of the mean over seeds. F1, Chamfer and EMD: each shape in [-1, 1], "
        f"ICP, 30 000 points. F1@0.01 of two samplings of one shape, its ceiling: {floor['mean']:.4f}. "
        "vIoU: solid 64^3 grids in the canonical frame, not aligned. Layout: training/metrics/layout.py.",
        f"Texture: {document['texture']}.",
        "## Each step",
        "Paired differences, object by object and seed by seed; the first standard error is over objects, the second "
        "over seeds.",
        "\n".join(changes),
        "\n".join(f"- {said}" for said in document["verdicts"]),
        "## What people gave",
        "\n".join(_rounds(document["rounds"])),
        f"Measured by `{origin['command']}` at commit {origin['commit']}, {origin['measured_at']}, on "
        f"{origin['machine']['processor']}, {origin['machine']['cores']} cores.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: dict[str, Any], columns: Sequence[str], titles: dict[str, str]) -> list[str]:
    lines = [_line(["stage", *(titles[column] for column in columns)]), _line(["---"] * (1 + len(columns)))]
    for stage, row in rows.items():
        lines.append(_line([TITLES[stage], *(_cell(row[column]) for column in columns)]))
    return lines


def _rounds(rounds: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What each seed's people and artists were shown and gave, before each made stage in turn."""
    names = list(next(iter(rounds.values()))[0])
    titles = ["seed", "before", *(name.replace("_", " ") for name in names)]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for seed, told in rounds.items():
        for stage, one in zip(MADE, told, strict=True):
            lines.append(_line([seed, SHORT[stage], *(str(one[name]) for name in names)]))
    return lines


def _step_title(name: str) -> str:
    before, after = name.split(" > ")
    return f"{SHORT[before]} to {SHORT[after]}"


def _difference(change: dict[str, Any]) -> str:
    spread = change["standard_error_over_seeds"]
    over_seeds = "" if spread is None else f" ± {spread:.4f}"
    return f"{change['difference']:+.4f} ± {change['standard_error']:.4f}{over_seeds}"


def _texture(tables: dict[str, StageTable]) -> str:
    """These stages train the geometry flow: says so where the scored checkpoints bear it out."""
    weights = {one.texture for table in tables.values() for one in table.by_seed}
    if len(weights) == 1:
        return (
            f"no column, since no stage of this table touches it: the texture flow is the same in every row "
            f"(weights {next(iter(weights))[:12]}), and so is what a reward model would prefer"
        )
    return f"not measured, although the rows have {len(weights)} different texture flows"


def _row(table: StageTable) -> dict[str, Any]:
    row: dict[str, Any] = {
        column: bootstrap_mean(table.per_object(partial(_mean_of, column))).as_dict() for column in COLUMNS
    }
    row["best_of_many"] = bootstrap_mean(table.per_object(lambda s: s.many_overlaps.max(axis=1))).as_dict()
    gap = table.per_object(lambda s: s.many_overlaps.max(axis=1) - s.many_overlaps.mean(axis=1))
    row["gap_of_many"] = bootstrap_mean(gap).as_dict()
    for column in HEADLINES:
        row[f"{column}_by_seed"] = [round(v, 4) for v in table.per_seed(partial(_mean_of, column))]
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
        spread = round(float(np.std(differences, ddof=1) / np.sqrt(seeds)), 4) if seeds > 1 else None
        return {**made, "standard_error_over_seeds": spread}  # type: ignore[dict-item]

    return {column: change(column) for column in COLUMNS}


def _cell(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
