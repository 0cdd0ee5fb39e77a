"""The front end's own unit tests and types, run by the same command as everything else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from workers.stack.frontend_build import node_environment, npm_command

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"


@pytest.mark.parametrize("script", ["test", "typecheck"])
def test_the_front_end_passes_its_own(script: str) -> None:
    done = subprocess.run(
        npm_command("run", script),
        cwd=FRONTEND,
        env=os.environ | node_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
