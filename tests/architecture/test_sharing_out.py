"""Tests that start processes of their own share one, whatever pytest and pytest-xdist make of groups."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.sharing_out import TOGETHER

PROJECT = Path(__file__).resolve().parents[2]
RAN = re.compile(r"^\[(gw\d)\].* PASSED ([\w/]+)\.py", re.MULTILINE)
TEST = """
import time

import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    time.sleep(0.02)
"""


def test_the_plug_in_is_loaded(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("tests.sharing_out")


def test_each_of_these_folders_keeps_to_one_process(tmp_path: Path) -> None:
    for folder in (*TOGETHER, "unit"):
        (tmp_path / folder).mkdir()
        for file in ("one", "two"):
            (tmp_path / folder / f"test_{folder}_{file}.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    plugins = ("-p", "xdist", "-p", "tests.sharing_out", "-p", "no:cacheprovider")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-n", "2", "--dist", "loadgroup", "-v", str(tmp_path)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    processes = defaultdict(list)
    for process, file in RAN.findall(done.stdout):
        processes[Path(file).parent.name].append(process)
    assert {folder: len(ran) for folder, ran in processes.items()} == {"browser": 8, "workers": 8, "unit": 8}
    assert all(len(set(processes[folder])) == 1 for folder in TOGETHER), processes
    assert processes["browser"][0] != processes["workers"][0]
