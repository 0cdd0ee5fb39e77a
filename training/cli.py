"""Command line of training: ``python -m training.cli COMMAND``; see ``--help`` of each."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import torch

from modelzoo.presets import preset_named
from training.autoencoder import AutoencoderConfig
from training.configs import default_config
from training.data.samples import Mixture
from training.pretraining import generate_forever, make_autoencoder, pretrain


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 unless a check that the command makes fails."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    torch.set_num_threads(options.threads)
    os.nice(options.nice)
    return int(options.run(options))


def _autoencoder(options: argparse.Namespace) -> int:
    config = AutoencoderConfig(preset=options.preset, steps=options.steps, seed=options.seed)
    measured = make_autoencoder(options.workdir, config, on_progress=_printer(50))
    _say({"held_out": measured})
    return 0


def _generate(options: argparse.Namespace) -> int:
    generate_forever(options.workdir, preset_named(options.preset), stream=options.stream, mixture=Mixture())
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    until = None if options.until is None else datetime.fromisoformat(options.until).timestamp()
    config = default_config("pretrain", steps=options.steps, seed=options.seed)
    result = pretrain(
        options.workdir, preset_named(options.preset), config, until=until, on_progress=_printer(50)
    )
    _say({"steps": result.steps, "reason": result.reason, **result.metrics})
    return 0


def _printer(every: int):  # type: ignore[no-untyped-def]
    started = time.process_time()

    def show(step: int, total: int, metrics: dict[str, float]) -> None:
        if step % every == 0:
            _say({"step": step, "cpu_s": round(time.process_time() - started, 1), **metrics})

    return show


def _say(record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.cli", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0)
    commands = parser.add_subparsers(required=True)

    def command(name: str, run, summary: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(run=run)
        sub.add_argument("--preset", default="tiny")
        sub.add_argument("--seed", type=int, default=0)
        return sub

    sub = command("autoencoder", _autoencoder, "train the occupancy autoencoder")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--steps", type=int, default=1400)
    sub = command("generate", _generate, "make procedural examples for a running pre-training, for ever")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--stream", type=int, default=7)
    sub = command("pretrain", _pretrain, "train the geometry flow on generated examples; SIGTERM saves")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--steps", type=int, default=None)
    sub.add_argument("--until", default=None, help="ISO time with zone at which the learning rate reaches its floor")
    return parser


if __name__ == "__main__":
    sys.exit(main())
