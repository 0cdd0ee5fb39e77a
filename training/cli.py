"""Command line of training: ``python -m training.cli COMMAND``; see ``--help`` of each."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import torch

from modelzoo.presets import preset_named
from training.autoencoder import AutoencoderConfig
from training.configs import default_config
from training.data.samples import Mixture
from training.evaluate import compare_to_parent
from training.first_model_report import NUM_OBJECTS, first_model_report
from training.pretraining import export, generate_forever, make_autoencoder, pretrain
from training.provenance import provenance
from training.run_commands import add_commands
from training.simulated_round import write_simulated_dataset

#: What made the shipped checkpoint; the clock times are those of its logs, beside it.
PRETRAIN_COMMANDS = (
    "python -m training.cli autoencoder --workdir W --steps 1000;"
    " python -m training.cli generate --workdir W --stream 11 &"
    " python -m training.cli pretrain --workdir W --until TIME;"
    " python -m training.structured_latent --work S --seconds 480;"
    " python -m training.texture --work T --vae S/slat_vae.safetensors --lr 2e-3 --window 1500 --until TIME;"
    " python -m training.cli export --workdir W --checkpoint C"
    " --slat-vae S/slat_vae.safetensors --texture T/texture.safetensors"
)


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
    mixture = Mixture(isolated=1.0, composited=0.0) if options.isolated else Mixture()
    generate_forever(options.workdir, preset_named(options.preset), stream=options.stream, mixture=mixture)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    until = None if options.until is None else datetime.fromisoformat(options.until).timestamp()
    config = default_config("pretrain", steps=options.steps, seed=options.seed)
    result = pretrain(
        options.workdir,
        preset_named(options.preset),
        config,
        until=until,
        start=options.start,
        image_encoder=options.image_encoder,
        on_progress=_printer(50),
    )
    _say({"steps": result.steps, "reason": result.reason, **result.metrics})
    return 0


def _export(options: argparse.Namespace) -> int:
    manifest = export(
        options.workdir,
        preset_named(options.preset),
        options.checkpoint,
        config=default_config("pretrain", seed=options.seed),
        command=PRETRAIN_COMMANDS,
        slat_vae_file=options.slat_vae,
        texture_file=options.texture,
    )
    _say({"checkpoint": manifest.sha256, "steps": manifest.lineage.steps})
    return 0


def _simulate(options: argparse.Namespace) -> int:
    summary = write_simulated_dataset(
        options.checkpoint, options.out, num_targets=options.targets, alpha=options.alpha, seed=options.seed
    )
    _say({"simulated": True, **asdict(summary)})
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
    sub.add_argument("--isolated", action="store_true", help="objects alone, for the first stage")
    sub = command("pretrain", _pretrain, "train the geometry flow on generated examples; SIGTERM saves")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--steps", type=int, default=None)
    sub.add_argument("--start", type=Path, default=None, help="working folder of the stage before this one")
    sub.add_argument(
        "--until", default=None, help="ISO time with zone at which the learning rate reaches its floor"
    )
    sub.add_argument(
        "--image-encoder",
        type=Path,
        default=None,
        help="DINOv2 weights (safetensors) for presets that need them",
    )
    sub = command("export", _export, "write the pre-training's moving average into a checkpoint folder")
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--slat-vae", type=Path, default=None, help="newer weights of the structured latent VAE")
    sub.add_argument("--texture", type=Path, default=None, help="newer weights of the texture flow")
    sub = command("simulate", _simulate, "write the dataset of a simulated annotation round")
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--targets", type=int, default=60)
    sub.add_argument("--alpha", type=float, default=0.25)
    add_commands(commands)
    sub = command("compare", _compare, "compare a checkpoint with its parent on held-out objects")
    sub.add_argument("--child", type=Path, required=True)
    sub.add_argument("--parent", type=Path, required=True)
    sub.add_argument("--objects", type=int, default=24)
    sub.add_argument("--out", type=Path, default=None)
    sub = command("first-model-report", _first_model_report, "measure a checkpoint beside an untrained one")
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--objects", type=int, default=NUM_OBJECTS)
    sub.add_argument("--out", type=Path, default=None)
    return parser


if __name__ == "__main__":
    sys.exit(main())
