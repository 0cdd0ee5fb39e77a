"""The commands that measure a checkpoint: ``simulate`` a round with it, ``compare`` it, ``first-model-report``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from training.evaluate import compare_to_parent
from training.provenance import provenance
from training.reports.first_model import NUM_OBJECTS, first_model_report
from training.simulation.rounds import write_simulated_dataset


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the three commands."""
    sub = _command(commands, "simulate", _simulate, "write the dataset of a simulated annotation round")
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--targets", type=int, default=60)
    sub.add_argument("--alpha", type=float, default=0.25)
    sub = _command(commands, "compare", _compare, "compare a checkpoint with its parent on held-out objects")
    sub.add_argument("--child", type=Path, required=True)
    sub.add_argument("--parent", type=Path, required=True)
    sub.add_argument("--objects", type=int, default=24)
    sub.add_argument("--out", type=Path, default=None)
    text = "measure a checkpoint beside an untrained one"
    sub = _command(commands, "first-model-report", _first_model_report, text)
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--objects", type=int, default=NUM_OBJECTS)
    sub.add_argument("--out", type=Path, default=None)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, summary: str
) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=summary, description=summary)
    sub.set_defaults(run=run)
    sub.add_argument("--seed", type=int, default=0)
    return sub


def _simulate(options: argparse.Namespace) -> int:
    summary = write_simulated_dataset(
        options.checkpoint, options.out, num_targets=options.targets, alpha=options.alpha, seed=options.seed
    )
    sys.stdout.write(json.dumps({"simulated": True, **asdict(summary)}) + "\n")
    return 0


def _compare(options: argparse.Namespace) -> int:
    report = compare_to_parent(options.child, options.parent, seed=options.seed, num_objects=options.objects)
    _write(options.out, {**report, "provenance": provenance(seed=options.seed)})
    return 0


def _first_model_report(options: argparse.Namespace) -> int:
    report = first_model_report(options.checkpoint, seed=options.seed, num_objects=options.objects)
    _write(options.out, report)
    return 0 if report["passed"] else 1


def _write(path: Path | None, report: dict[str, object]) -> None:
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
