"""What the loop's own bias does over rounds, with the brake off and on: ``python -m benchmarks.self_feeding``.

Everything is simulated in numbers (engine.ranking.self_feeding); the report is docs/reports/bias.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ranking.self_feeding import World, arms
from training.metrics.intervals import bootstrap_mean
from training.provenance import provenance

REPORT = Path(__file__).resolve().parents[1] / "docs" / "reports" / "bias"
FIELDS = ("own_share", "accepted", "coverage", "different", "error", "tail_error")
TITLES = {
    "own_share": "our own share of D+",
    "accepted": "accepted by people",
    "coverage": "covers of the audit set",
    "different": "different shapes",
    "error": "error on the audit set",
    "tail_error": "error, rarer half",
}
BRAKES = (0.0, 0.25, 0.5)
LIBRARY = 2  # of a target's eight candidates
FIRST_SEED = 100  # the worlds were tried out with others


def measure(world: World, *, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Both worlds: the one in which photographs hide a part of each shape, and the one in which they show all."""
    return {
        "simulated": "targets, people, artists, library and models are numbers; nothing here was measured of people",
        "world": asdict(world),
        "rounds": rounds,
        "seeds": list(seeds),
        "part_hidden": _arms(world, rounds=rounds, seeds=seeds),
        "all_shown": _arms(replace(world, hidden=0), rounds=rounds, seeds=seeds),
    }


def _arms(world: World, *, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Every arm's course and last round, and what each changes against no brake, seed by seed."""
    mixed = replace(world, library=LIBRARY)
    found = {
        _name(least): rows for least, rows in arms(world, rounds=rounds, brakes=BRAKES, seeds=seeds).items()
    }
    found[f"{LIBRARY} of {world.candidates} from a library"] = arms(
        mixed, rounds=rounds, brakes=[0.0], seeds=seeds
    )[0.0]
    base = found[_name(0.0)]
    return {
        "course": {name: _columns(rows.mean(axis=0).T) for name, rows in found.items()},
        "last": {name: _estimates(rows[:, -1]) for name, rows in found.items()},
        "against_none": {
            name: _estimates((rows - base)[:, -1]) for name, rows in found.items() if rows is not base
        },
    }


def as_markdown(document: dict[str, Any]) -> str:
    """The report for people."""
    world, origin = document["world"], document["provenance"]
    shown = world["dimensions"] - world["hidden"]
    lines = [
        "# The loop on its own bias, simulated",
        "",
        f"{document['simulated'].capitalize()}. {document['rounds']} rounds of {world['targets']} targets, "
        f"{len(document['seeds'])} seeds, {world['artists']} artists' models a round. People take what looks right in "
        "the photograph. The audit set is human-made, its classes equal, and never trained on. All judgements so far "
        "train each round's model. Intervals are 95 % over seeds.",
        "",
        "Two worlds stand side by side because they answer differently. The second was built first: in it the brake "
        "made what is trained on more diverse and the model no better, nor did that change when models came to lose "
        "detail. Only then was the first one built, in which a photograph hides a part of each shape. Which of them "
        "real photographs are like was not measured. The seeds are others than those of these trials.",
        "",
        f"## A photograph shows {shown} of a shape's {world['dimensions']} numbers",
        "",
        "What is hidden people cannot judge, so that the model's guesses enter what it is trained on; artists know it.",
        "",
        *_tables(document["part_hidden"], rounds=document["rounds"]),
        f"## A photograph shows all {world['dimensions']} numbers",
        "",
        *_tables(document["all_shown"], rounds=document["rounds"]),
        f"Measured by `{origin['command']}` at commit {origin['commit']}.",
        "",
    ]
    return "\n".join(lines)


def _tables(part: dict[str, Any], *, rounds: int) -> list[str]:
    head = [_line(["arm", *(TITLES[name] for name in FIELDS)]), _line(["---"] * (len(FIELDS) + 1))]
    return [
        f"After round {rounds}:",
        "",
        *head,
        *(_line([name, *(_cell(row[field]) for field in FIELDS)]) for name, row in part["last"].items()),
        "",
        "Against no brake, seed by seed (an error below zero is better):",
        "",
        *head,
        *(
            _line([name, *(_cell(row[field], sign="+") for field in FIELDS)])
            for name, row in part["against_none"].items()
        ),
        "",
        "The error on the audit set by round:",
        "",
        _line(["arm", *range(1, rounds + 1)]),
        _line(["---"] * (rounds + 1)),
        *(_line([name, *(f"{value:.3f}" for value in row["error"])]) for name, row in part["course"].items()),
        "",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.self_feeding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--targets", type=int, default=World.targets)
    parser.add_argument("--out", type=Path, default=REPORT, help="Report without its ending.")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.targets) < 1 or options.seeds < 2:
        parser.error("the report needs a round, a target, and two seeds for its intervals")
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    document = measure(World(targets=options.targets), rounds=options.rounds, seeds=seeds)
    document["provenance"] = provenance(seed=FIRST_SEED)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(as_markdown(document))
    return 0


def _name(least: float) -> str:
    return f"brake at {least:.0%} of others" if least else "no brake"


def _columns(rows: NDArray[np.float64]) -> dict[str, list[float]]:
    return {name: [round(float(value), 4) for value in row] for name, row in zip(FIELDS, rows, strict=True)}


def _estimates(rows: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    return {name: bootstrap_mean(rows[:, place]).as_dict() for place, name in enumerate(FIELDS)}


def _cell(estimate: dict[str, float], *, sign: str = "") -> str:
    return f"{estimate['mean']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
