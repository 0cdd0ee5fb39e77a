"""The command ``real-cases``: a checkpoint on real photographs whose shapes and layouts are known, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from modelzoo.registry import Models
from training.evaluation_sets.adt import adt_cases
from training.evaluation_sets.cases import EvaluationCase
from training.evaluation_sets.rgbd import rgbd_cases
from training.provenance import provenance
from training.reports.real_scoring import score_real_cases

READERS = {"rgbd": rgbd_cases, "adt": adt_cases}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``real-cases``."""
    text = (
        "score a checkpoint on real photographs with posed scans (a folder of yours; nothing is downloaded)"
    )
    sub = commands.add_parser("real-cases", help=text, description=text)
    sub.set_defaults(run=_real_cases)
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--root", type=Path, required=True, help="laid out as the reader says when it refuses")
    sub.add_argument("--layout", choices=tuple(READERS), default="rgbd")
    sub.add_argument("--samples", type=int, default=8, help="candidates per case")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, default=None)


def real_report(
    models_or_checkpoint: Models | Path,
    cases: Iterable[EvaluationCase],
    *,
    num_samples: int = 8,
    seed: int = 0,
) -> dict[str, object]:
    """Means with 95 % intervals over the cases, and ADD-S of every candidate. Raises ValueError as scoring does."""
    scores = score_real_cases(models_or_checkpoint, cases, num_samples=num_samples, seed=seed)
    return {
        "num_cases": len(scores.cases),
        "samples_per_case": num_samples,
        "seed": seed,
        "metrics": "_drawn and _refined: the layout before and after the product's refinement; ADD-S both ways",
        **{
            pick: {name: estimate.as_dict() for name, estimate in table.items()}
            for pick, table in scores.estimates(seed=seed).items()
        },
        "cases": {
            case: {
                f"adds_{part}": [round(float(value), 4) for value in table["adds"][row]]
                for part, table in (("drawn", scores.drawn), ("refined", scores.refined))
            }
            for row, case in enumerate(scores.cases)
        },
    }


def _real_cases(options: argparse.Namespace) -> int:
    cases = READERS[options.layout](options.root)
    report = real_report(options.checkpoint, cases, num_samples=options.samples, seed=options.seed)
    text = json.dumps({**report, "provenance": provenance(seed=options.seed)}, indent=1) + "\n"
    sys.stdout.write(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    return 0
