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


def measure(world: World, *, rounds: int, seeds: int) -> dict[str, Any]:
    """Every arm's last round, the whole course, and what each brake changes against none, seed by seed."""
    mixed = replace(world, library=LIBRARY)
    found = {
        _name(least): rows for least, rows in arms(world, rounds=rounds, brakes=BRAKES, seeds=seeds).items()
    }
    found[f"{LIBRARY} of {world.candidates} from a library"] = arms(
        mixed, rounds=rounds, brakes=[0.0], seeds=seeds
    )[0.0]
    base = found[_name(0.0)]
    return {
        "simulated": "targets, people, artists, library and models are numbers; nothing here was measured of people",
        "world": asdict(world),
        "rounds": rounds,
        "seeds": seeds,
        "course": {name: _columns(rows.mean(axis=0).T) for name, rows in found.items()},
        "last": {name: _estimates(rows[:, -1]) for name, rows in found.items()},
        "against_none": {
            name: _estimates((rows - base)[:, -1]) for name, rows in found.items() if rows is not base
        },
    }


def as_markdown(document: dict[str, Any]) -> str:
    """The report for people."""
    world, origin = document["world"], document["provenance"]
    lines = [
        "# The loop on its own bias, simulated",
        "",
        f"{document['simulated'].capitalize()}. {document['rounds']} rounds of {world['targets']} targets, "
        f"{document['seeds']} seeds, {world['artists']} artists' models a round; shapes have {world['dimensions']} "
        f"numbers of which a photograph shows {world['dimensions'] - world['hidden']}. People accept what looks right; "
        "what no photograph shows they cannot judge, so that the model's own guesses enter what it is trained on. The "
        "audit set is human-made, its classes equal, and never trained on. All judgements so far train each round's "
        "model. Intervals are 95 % over seeds.",
        "",
        f"After round {document['rounds']}:",
        "",
        _line(["arm", *(TITLES[name] for name in FIELDS)]),
        _line(["---"] * (len(FIELDS) + 1)),
        *(_line([name, *(_cell(row[field]) for field in FIELDS)]) for name, row in document["last"].items()),
        "",
        "Against no brake, seed by seed (an error below zero is better):",
        "",
        _line(["arm", *(TITLES[name] for name in FIELDS)]),
        _line(["---"] * (len(FIELDS) + 1)),
        *(
            _line([name, *(_cell(row[field], sign="+") for field in FIELDS)])
            for name, row in document["against_none"].items()
        ),
        "",
        "The error on the audit set by round:",
        "",
        _line(["arm", *range(1, document["rounds"] + 1)]),
        _line(["---"] * (document["rounds"] + 1)),
        *(
            _line([name, *(f"{value:.3f}" for value in row["error"])])
            for name, row in document["course"].items()
        ),
        "",
        f"Measured by `{origin['command']}` at commit {origin['commit']}.",
        "",
    ]
    return "\n".join(lines)


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
    document = measure(World(targets=options.targets), rounds=options.rounds, seeds=options.seeds)
    document["provenance"] = provenance(seed=0)
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
