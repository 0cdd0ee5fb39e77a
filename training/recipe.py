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
from training.pretraining import AUTOENCODER_FILE
from training.runs import OUTPUT_FOLDER

PYTHON = (sys.executable, "-m")
STREAMS = {"pretrain": 11, "midtrain": 12}
FINISHED = "finished"  # marks a step's folder


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Where and how long: ``share`` shortens every step alike, to try the way through."""

    work: Path
    checkpoint: Path
    seed: int = 0
    share: float = 1.0

    def steps(self, full: int) -> str:
        """A step's length as an argument."""
        return str(max(2, round(full * self.share)))


def make_model(recipe: Recipe) -> None:
    """Run every step that is not finished. Raises CalledProcessError when a step fails or was stopped."""
    work, seed = recipe.work, ("--seed", str(recipe.seed))
    _make_shapes(recipe, *seed)
    latent, texture = work / "latent", work / "texture"
    latent_weights, texture_weights = latent / "slat_vae.safetensors", texture / "texture.safetensors"
    for folder, command in (
        (latent, ("training.structured_latent", "--steps", recipe.steps(STAGES["latent"].steps))),
        (
            texture,
            ("training.texture", "--vae", latent_weights, "--steps", recipe.steps(STAGES["texture"].steps)),
        ),
    ):
        _run(folder / FINISHED, *command, "--work", folder, *seed)
    exported = work / "undistilled"
    _run(
        work / "midtrain" / "exported",
        *("training.cli", "export", "--workdir", work / "midtrain", "--checkpoint", exported, *seed),
        *("--slat-vae", latent_weights, "--texture", texture_weights, "--command", described(recipe)),
    )
    distilled = work / "distil"
    _run(
        distilled / FINISHED,
        *("training.cli", "train", "--stage", "distil", "--checkpoint", exported, "--workdir", distilled),
        *("--steps", recipe.steps(STAGES["distil"].steps), *seed),
    )
    shutil.copytree(distilled / OUTPUT_FOLDER, recipe.checkpoint, dirs_exist_ok=True)


def _make_shapes(recipe: Recipe, *seed: str) -> None:
    """Autoencoder, pre-training on objects alone and mid-training among others, each fed by a process beside it."""
    folders = {stage: recipe.work / stage for stage in STREAMS}
    first = folders["pretrain"]
    _run(
        first / "autoencoder",
        *("training.cli", "autoencoder", "--workdir", first, *seed),
        *("--steps", recipe.steps(STAGES["autoencoder"].steps)),
    )
    folders["midtrain"].mkdir(parents=True, exist_ok=True)
    shutil.copyfile(first / AUTOENCODER_FILE, folders["midtrain"] / AUTOENCODER_FILE)
    for stage, folder in folders.items():
        where = ("--workdir", folder, "--stage", stage)
        start = () if folder == first else ("--start", first)
        with _beside(folder / FINISHED, "training.cli", "generate", *where, "--stream", str(STREAMS[stage])):
            _run(
                folder / FINISHED,
                *("training.cli", "pretrain", *where, *start, *seed),
                *("--steps", recipe.steps(STAGES[stage].steps)),
            )


def described(recipe: Recipe) -> str:
    """The one command that makes it all, for the manifest."""
    share = "" if recipe.share == 1.0 else f" --share {recipe.share:g}"
    return f"python -m training.cli model --work W --checkpoint C --seed {recipe.seed}{share}"


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


def _run(finished: Path, *command: str | Path) -> None:
    """Run a command and mark it finished, unless it is marked already."""
    if finished.exists():
        return
    words = _said(command)
    finished.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*PYTHON, *words], check=True)
    finished.touch()


@contextmanager
def _beside(finished: Path, *command: str | Path) -> Iterator[None]:
    """A process that feeds a command, and ends with it. A finished one needs none."""
    if finished.exists():
        yield
        return
    with subprocess.Popen([*PYTHON, *_said(command)]) as process:
        try:
            yield
        finally:
            process.terminate()


def _said(command: Sequence[str | Path]) -> list[str]:
    words = [str(word) for word in command]
    sys.stdout.write("$ python -m " + shlex.join(words) + "\n")
    sys.stdout.flush()
    return words
