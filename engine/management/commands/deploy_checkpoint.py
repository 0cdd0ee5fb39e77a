"""``manage.py deploy_checkpoint FOLDER``: weights that were trained elsewhere are checked by a worker, then serve."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.errors import EngineError
from engine.management.checkpoint_folders import registered
from engine.services import checkpoints
from engine.states import CheckpointStatus
from engine.transitions import Actor

OPERATOR = Actor(name="operator")
LOOK_EVERY_S = 0.5


class Command(BaseCommand):
    """Registering is harmless the second time; what serves already goes on serving."""

    help = "Store a checkpoint folder (manifest.json, weights.safetensors), let a worker check it, deploy it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--name", default="", help="What people will call it; default: its folder's name."
        )
        parser.add_argument("--wait", type=float, default=300.0, help="Seconds for the worker's check.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        try:
            checkpoint = registered(folder, actor=OPERATOR, name=options["name"] or folder.name)
        except (OSError, ValueError, KeyError) as error:
            raise CommandError(f"{folder} holds no checkpoint that can be registered: {error}") from error
        deadline = time.monotonic() + options["wait"]
        while checkpoint.status == CheckpointStatus.REGISTERED:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"No worker has checked {checkpoint.name} within {options['wait']:.0f} s: is one running? "
                    "It stays registered; the same command goes on."
                )
            time.sleep(LOOK_EVERY_S)
            checkpoint.refresh_from_db()
        if checkpoint.status == CheckpointStatus.REFUSED:
            raise CommandError(f"{checkpoint.name} was refused: {checkpoint.detail}")
        try:
            deployment = checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=OPERATOR)
        except EngineError as error:
            if error.code != "already_serving":
                raise CommandError(str(error)) from error
            self.stdout.write(f"{checkpoint.name} serves already")
            return
        self.stdout.write(f"{checkpoint.name} serves as generation {deployment.generation}")
