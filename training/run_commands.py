"""The commands ``train`` (any stage from a checkpoint, alone or under torchrun) and ``curves``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch

from training.configs import STAGES, RunConfig, config_from_document, default_config
from training.loop.distributed import Team, team_from
from training.loop.reporting import TensorBoardLog, both, shown_on
from training.runs import FAILURE_FILE, RunStopped, run_training
from training.stages import FROM_NOTHING

log = logging.getLogger(__name__)

PRINT_EVERY = 10
REFUSED = 2  # exit status: started again, it would end the same way
FROM_CHECKPOINT = tuple(name for name in STAGES if name not in FROM_NOTHING)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``train`` and ``curves``."""
    text = "train a stage from a checkpoint; SIGTERM saves, the same command goes on; torchrun spreads it"
    sub = commands.add_parser("train", help=text, description=text)
    sub.set_defaults(run=_train)
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--stage", choices=FROM_CHECKPOINT, help="with its settings in training/configs.py")
    what.add_argument("--config", type=Path, help="settings as JSON, as in the settings.json of a run")
    sub.add_argument("--steps", type=int, default=None)
    sub.add_argument("--seed", type=int, default=None)
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--dataset", type=Path, default=None, help="frozen dataset, for stages that need one")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument(
        "--micro-batches", type=int, default=None, help="parts of a batch: a multiple of the processes"
    )
    sub.add_argument("--precision", choices=("float32", "bfloat16"), default=None)
    sub.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    sub.add_argument("--strategy", choices=("ddp", "fsdp"), default="ddp", help="of several processes")
    sub.add_argument("--tensorboard", action="store_true", help="also write an event file to WORKDIR/events")
    text = "draw the loss and metric curves of runs"
    sub = commands.add_parser("curves", help=text, description=text)
    sub.set_defaults(run=_curves)
    sub.add_argument("--log", type=Path, nargs="+", required=True, help="log.jsonl of each run")
    sub.add_argument("--label", nargs="+", default=None, help="names of the runs (default: their folders)")
    sub.add_argument("--out", type=Path, required=True, help="a picture (.png, .svg)")


def _train(options: argparse.Namespace) -> int:
    with team_from(os.environ, device=options.device, strategy=options.strategy) as team:
        try:
            _run(options, team)
        except RunStopped as stopped:
            log.warning("%s", stopped)
            return os.EX_TEMPFAIL
        except (ValueError, FloatingPointError) as error:
            # Each process writes it, since all others are ended with the first that ends.
            options.workdir.mkdir(parents=True, exist_ok=True)
            (options.workdir / FAILURE_FILE).write_text(f"{type(error).__name__}: {error}")
            log.exception("the run cannot go on")
            return REFUSED
    return 0


def _run(options: argparse.Namespace, team: Team) -> None:
    progress = shown_on(sys.stdout, every=PRINT_EVERY)
    if options.tensorboard:
        progress = both(progress, TensorBoardLog(options.workdir / "events"))
    result = run_training(
        _config(options),
        workdir=options.workdir,
        checkpoint_dir=options.checkpoint,
        manifest_dir=options.dataset,
        on_progress=progress,
        team=team,
    )
    if team.leads:
        ended = {"output": str(result.output_dir), "reason": result.reason, **result.metrics}
        sys.stdout.write(json.dumps(ended) + "\n")


def _config(options: argparse.Namespace) -> RunConfig:
    if options.config is not None:
        config = config_from_document(json.loads(options.config.read_text()))
    else:
        config = default_config(options.stage)
    given = {name: getattr(options, name) for name in ("steps", "seed", "micro_batches", "precision")}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def _curves(options: argparse.Namespace) -> int:
    labels = options.label or [str(file.parent) for file in options.log]
    if len(labels) != len(options.log) or len(set(labels)) != len(labels):
        raise ValueError("each log needs a label of its own")
    # matplotlib is an extra of its own (report): only this command may ask for it.
    curves = import_module("training.reports.curves")
    curves.draw_curves(dict(zip(labels, options.log, strict=True)), options.out)
    return 0
