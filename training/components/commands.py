"""The commands that make a model from nothing: ``autoencoder``, ``generate``, ``pretrain`` and ``export``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path

from modelzoo.presets import preset_named
from training.components.pretraining import export, generate_forever, make_autoencoder, pretrain
from training.configs import STAGES, default_config
from training.loop.reporting import shown_on

FROM_NOTHING = ("pretrain", "midtrain")
PRINT_EVERY = 50
STOPPED = 75  # exit status: saved, the same command goes on


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the four commands."""
    sub = _command(commands, "autoencoder", _autoencoder, "train the occupancy autoencoder")
    sub.add_argument("--steps", type=int, default=None)
    sub = _command(commands, "generate", _generate, "make examples for a running stage, until stopped")
    sub.add_argument("--stage", choices=FROM_NOTHING, required=True, help="whose worlds")
    sub.add_argument("--stream", type=int, default=7)
    sub.add_argument("--shards", type=Path, nargs="+", default=(), help="folders made by synthesise")
    sub.add_argument("--shard-share", type=float, default=0.5, help="of the examples that come from them")
    sub = _command(commands, "pretrain", _pretrain, "train a stage on generated examples; SIGTERM saves")
    sub.add_argument("--stage", choices=FROM_NOTHING, default="pretrain")
    sub.add_argument("--start", type=Path, default=None, help="working folder of the stage before this one")
    sub.add_argument("--steps", type=int, default=None)
    sub.add_argument(
        "--until", default=None, help="ISO time with zone, instead of steps: the rate falls to it"
    )
    text = "DINOv2 weights (safetensors) for presets that need them"
    sub.add_argument("--image-encoder", type=Path, default=None, help=text)
    sub = _command(commands, "export", _export, "write a stage's moving average into a checkpoint folder")
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--stage", choices=FROM_NOTHING, default="midtrain")
    sub.add_argument("--command", required=True, help="what made these weights, for the manifest")
    sub.add_argument("--slat-vae", type=Path, default=None, help="newer weights of the structured latent VAE")
    sub.add_argument("--texture", type=Path, default=None, help="newer weights of the texture flow")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, summary: str
) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=summary, description=summary)
    sub.set_defaults(run=run)
    sub.add_argument("--workdir", type=Path, required=True)
    sub.add_argument("--preset", default="tiny")
    sub.add_argument("--seed", type=int, default=0)
    return sub


def _autoencoder(options: argparse.Namespace) -> int:
    measured = make_autoencoder(
        options.workdir,
        preset_named(options.preset),
        default_config("autoencoder", steps=options.steps, seed=options.seed),
        on_progress=shown_on(sys.stdout, every=PRINT_EVERY),
    )
    _say({"held_out": measured})
    return STOPPED if measured is None else 0


def _generate(options: argparse.Namespace) -> int:
    generate_forever(
        options.workdir,
        preset_named(options.preset),
        stream=options.stream,
        mixture=STAGES[options.stage].mixture,
        shards=options.shards,
        shard_share=options.shard_share,
    )
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    result = pretrain(
        options.workdir,
        preset_named(options.preset),
        default_config(options.stage, steps=options.steps, seed=options.seed),
        until=None if options.until is None else datetime.fromisoformat(options.until).timestamp(),
        start=options.start,
        image_encoder=options.image_encoder,
        on_progress=shown_on(sys.stdout, every=PRINT_EVERY),
    )
    _say({"steps": result.steps, "reason": result.reason, **result.metrics})
    return STOPPED if result.reason == "stopped" else 0


def _export(options: argparse.Namespace) -> int:
    manifest = export(
        options.workdir,
        preset_named(options.preset),
        options.checkpoint,
        config=default_config(options.stage, seed=options.seed),
        command=options.command,
        slat_vae_file=options.slat_vae,
        texture_file=options.texture,
    )
    _say({"checkpoint": manifest.sha256, "steps": manifest.lineage.steps})
    return 0


def _say(record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()
