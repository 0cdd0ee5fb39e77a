"""The recipe from nothing: its commands exist, run in order, once, and a failure ends it."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import pytest

from training import cli
from training.configs import STAGES
from training.recipe import Recipe, Step, run_steps, steps


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    commands = parser.add_subparsers(required=True)
    for module in cli.COMMANDS:
        module.add_commands(commands)
    return parser


def test_every_command_of_the_recipe_is_one_that_the_command_line_takes(tmp_path: Path) -> None:
    recipe = Recipe(work=tmp_path, checkpoint=tmp_path / "tiny", seed=3, share=0.5)
    seen = []
    for step in steps(recipe):
        for command in (step.command, step.beside):
            if command is not None and command[0] == "training.cli":
                options = _parser().parse_args(command[1:])
                seen.append(command[1])
                assert getattr(options, "seed", None) in {3, None} or command[1] == "generate"
    assert seen == ["autoencoder", "pretrain", "generate", "pretrain", "generate", "export", "train"]


def test_a_share_shortens_every_stage_alike(tmp_path: Path) -> None:
    def lengths(share: float) -> list[int]:
        made = steps(Recipe(work=tmp_path, checkpoint=tmp_path / "tiny", share=share))
        commands = [step.command for step in made if "--steps" in step.command]
        return [int(command[command.index("--steps") + 1]) for command in commands]

    whole, half = lengths(1.0), lengths(0.5)
    assert half == [round(number / 2) for number in whole]
    assert STAGES["pretrain"].steps in whole and STAGES["distil"].steps in whole


def test_finished_steps_are_not_run_again_and_a_failure_ends_the_recipe(tmp_path: Path) -> None:
    """The steps are commands of the standard library: archives that are listed, and one that is not there."""
    good, archive = tmp_path / "folder" / "good", tmp_path / "a.zip"
    make = Step(command=("zipfile", "-c", str(archive), __file__), finished=good)
    bad = Step(command=("zipfile", "-l", str(tmp_path / "missing.zip")), finished=tmp_path / "bad")
    never = Step(command=("zipfile", "-c", str(tmp_path / "b.zip"), __file__), finished=tmp_path / "never")
    with pytest.raises(subprocess.CalledProcessError):
        run_steps((make, bad, never))
    assert good.exists() and not bad.finished.exists() and not (tmp_path / "b.zip").exists()
    archive.unlink()
    run_steps((make, never))
    assert not archive.exists() and (tmp_path / "b.zip").exists()


def test_what_feeds_a_step_ends_with_it(tmp_path: Path) -> None:
    beside = ("http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path))
    run_steps((Step(command=("calendar", "2026"), beside=beside, finished=tmp_path / "done"),))
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in "\n".join(line for line in listed.splitlines() if "http.server" in line)
