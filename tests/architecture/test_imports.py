"""The import contracts of pyproject.toml hold, and the web process loads no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_import_contracts_hold() -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_web_application_loads_without_torch() -> None:
    asks = "import sys, annotate.asgi; print(sorted({'torch', 'open3d', 'skimage'} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", asks], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines()[-1] == "[]"


def test_the_stack_loads_nothing_of_the_application() -> None:
    asks = (
        "import sys, workers.stack.__main__; "
        "print(sorted({'django', 'celery', 'torch', 'engine', 'annotate'} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", asks], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert loaded.stdout.strip() == "[]", loaded.stderr
