"""The recipe of the shipped model, from nothing to a checkpoint: ``python -m training.cli model``, or ``make model``.

Every step is a command of its own, printed as it starts; a step that finished is not run again, one that was cut off
goes on. Same seed, same share: same checkpoint on one kind of processor.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.configs import STAGES
from training.runs import OUTPUT_FOLDER

STREAMS = {"pretrain": 11, "midtrain": 12}
CLI = "training.cli"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Where and how long: ``share`` shortens every step alike, to try the way through."""

    work: Path
    checkpoint: Path
    seed: int = 0
    share: float = 1.0

    @property
    def described(self) -> str:
        """The one command that makes it all, for the manifest."""
        share = "" if self.share == 1.0 else f" --share {self.share:g}"
        return f"python -m training.cli model --work W --checkpoint C --seed {self.seed}{share}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A module with its arguments; ``beside`` feeds it and ends with it. ``finished`` marks that it need not run."""

    command: tuple[str, ...]
    finished: Path
    beside: tuple[str, ...] | None = None


def steps(recipe: Recipe) -> tuple[Step, ...]:
    """All steps in order."""
    work, seed = recipe.work, ("--seed", str(recipe.seed))
    pretrain, midtrain, latent, texture, distil = (
        work / name for name in ("pretrain", "midtrain", "latent", "texture", "distil")
    )
    latent_file, texture_file = latent / "slat_vae.safetensors", texture / "texture.safetensors"
    whole = work / "undistilled"

    def long(full: int) -> tuple[str, ...]:
        return ("--steps", str(max(2, round(full * recipe.share))), *seed)

    def shape_stage(stage: str, folder: Path, *start: str) -> Step:
        where = ("--workdir", str(folder), "--stage", stage)
        return Step(
            command=(CLI, "pretrain", *where, *start, *long(STAGES[stage].steps)),
            beside=(CLI, "generate", *where, "--stream", str(STREAMS[stage])),
            finished=folder / "finished",
        )

    autoencoder = (CLI, "autoencoder", "--workdir", str(pretrain), *long(STAGES["autoencoder"].steps))
    made_of = ("--slat-vae", str(latent_file), "--texture", str(texture_file), "--command", recipe.described)
    export = (CLI, "export", "--workdir", str(midtrain), "--checkpoint", str(whole), *made_of, *seed)
    distilling = (CLI, "train", "--stage", "distil", "--checkpoint", str(whole), "--workdir", str(distil))
    colours = ("training.components.texture", "--work", str(texture), "--vae", str(latent_file))
    return (
        Step(command=autoencoder, finished=work / "autoencoder.finished"),
        shape_stage("pretrain", pretrain),
        shape_stage("midtrain", midtrain, "--start", str(pretrain)),
        Step(
            command=(
                "training.components.structured_latent",
                "--work",
                str(latent),
                *long(STAGES["latent"].steps),
            ),
            finished=work / "latent.finished",
        ),
        Step(command=(*colours, *long(STAGES["texture"].steps)), finished=work / "texture.finished"),
        Step(command=export, finished=work / "export.finished"),
        Step(command=(*distilling, *long(STAGES["distil"].steps)), finished=work / "distil.finished"),
    )


def make_model(recipe: Recipe) -> None:
    """Run every step that is not finished. Raises CalledProcessError when a step fails or was stopped.

    The checkpoint is the undistilled one, which any sampler serves; its child of few steps lies beside it under a
    name of its own, since distilling bends the flow that many steps follow (docs/log.md).
    """
    run_steps(steps(recipe))
    few_steps = recipe.checkpoint.with_name(f"{recipe.checkpoint.name}-few-steps")
    shutil.copytree(recipe.work / "undistilled", recipe.checkpoint, dirs_exist_ok=True)
    shutil.copytree(recipe.work / "distil" / OUTPUT_FOLDER, few_steps, dirs_exist_ok=True)


def run_steps(given: Sequence[Step]) -> None:
    """Run steps in order and mark each that succeeded; the first failure ends it."""
    for step in given:
        if step.finished.exists():
            continue
        step.finished.parent.mkdir(parents=True, exist_ok=True)
        with _beside(step.beside):
            subprocess.run(_said(step.command), check=True)
        step.finished.touch()


@contextmanager
def _beside(command: tuple[str, ...] | None) -> Iterator[None]:
    if command is None:
        yield
        return
    with subprocess.Popen(_said(command)) as process:
        try:
            yield
        finally:
            process.terminate()


def _said(command: Sequence[str]) -> list[str]:
    sys.stdout.write("$ python -m " + shlex.join(command) + "\n")
    sys.stdout.flush()
    return [sys.executable, "-m", *command]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``model``."""
    text = "make the shipped model from nothing; hours on two cores, goes on where it was stopped"
    sub = commands.add_parser("model", help=text, description=text)
    sub.set_defaults(run=_model)
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--checkpoint", type=Path, required=True)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument(
        "--share", type=float, default=1.0, help="of every step's length, to try the way through"
    )


def _model(options: argparse.Namespace) -> int:
    make_model(
        Recipe(work=options.work, checkpoint=options.checkpoint, seed=options.seed, share=options.share)
    )
    return 0
