"""What a run shows: lines, a bar, an event file, and its curves as a picture."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training import cli
from training.loop.reporting import PrintedLines, ProgressBar, TensorBoardLog, both, shown_on
from training.reports.curves import read_log, running_mean


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_line_of_json_now_and_then_and_at_the_end() -> None:
    stream = io.StringIO()
    tell = shown_on(stream, every=2)
    assert isinstance(tell, PrintedLines)
    for step in range(1, 6):
        tell(step, 5, {"loss": 1.0 / step})
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert rows[0]["loss"] == 0.5 and rows[0]["cpu_s"] >= 0


def test_a_terminal_gets_a_bar_that_begins_where_a_resumed_run_does() -> None:
    stream = Terminal()
    tell = shown_on(stream, every=2)
    assert isinstance(tell, ProgressBar)
    for step in (8, 9, 10):
        tell(step, 10, {"loss": 0.25, "shape": 3.0})
    shown = stream.getvalue()
    assert "10/10" in shown and "loss=0.25" in shown and "shape" not in shown
    assert "1/10" not in shown.replace("10/10", "")


def test_an_event_file_holds_every_number_and_a_resumed_run_hides_what_it_does_again(tmp_path: Path) -> None:
    lines = io.StringIO()
    first = both(TensorBoardLog(tmp_path), PrintedLines(lines, every=1))
    for step in (1, 2, 3):
        first(step, 3, {"loss": float(step)})
    second = TensorBoardLog(tmp_path)
    for step in (3, 4):
        second(step, 4, {"loss": 10.0 * step})
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(row.step, row.value) for row in found] == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]
    assert len(lines.getvalue().splitlines()) == 3


def test_the_board_serves_what_runs_wrote_whatever_plugins_other_packages_bring(tmp_path: Path) -> None:
    TensorBoardLog(tmp_path / "12" / "events")(1, 1, {"loss": 0.5})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "training.board", "--logdir", str(tmp_path), "--port", str(port)]
    board = subprocess.Popen([*command, "--host", "127.0.0.1"])
    try:
        known = _asked(f"http://127.0.0.1:{port}/data/plugin/scalars/tags", board)
    finally:
        board.terminate()
        board.wait(30)
    assert list(known["12/events"]) == ["loss"]


def _asked(address: str, board: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the board answers as soon as it has read the runs."""
    until = time.monotonic() + 120
    while time.monotonic() < until and board.poll() is None:
        with suppress(OSError), urlopen(address) as answer:  # it does not listen yet
            if known := json.load(answer):
                return dict(known)
        time.sleep(0.5)
    raise AssertionError(f"the board said nothing; it ended with {board.poll()}")


def _write_log(file: Path, rows: list[dict[str, float]]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_curves_of_two_runs_become_a_picture(tmp_path: Path) -> None:
    for name in ("one", "two"):
        rows = [{"step": step, "loss": 1.0 / step, "shape": 0.5} for step in range(1, 40)]
        _write_log(tmp_path / name / "log.jsonl", rows)
    logs = [str(tmp_path / name / "log.jsonl") for name in ("one", "two")]
    out = tmp_path / "docs" / "curves.png"
    assert cli.main(["curves", "--log", *logs, "--label", "first", "second", "--out", str(out)]) == 0
    pixels = np.asarray(Image.open(out).convert("RGB"))
    assert pixels.shape[0] > 200 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_of_a_step_that_was_done_again_the_last_counts_and_gaps_are_kept(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": 4.0}, {"step": 2, "loss": 9.0}, {"step": 2, "loss": 3.0, "near": 1.0}]
    _write_log(tmp_path / "run" / "log.jsonl", rows)
    read = read_log(tmp_path / "run" / "log.jsonl")
    assert read["loss"].tolist() == [[1.0, 2.0], [4.0, 3.0]]
    assert read["near"].tolist() == [[2.0], [1.0]]


def test_a_log_without_steps_is_refused(tmp_path: Path) -> None:
    _write_log(tmp_path / "empty" / "log.jsonl", [])
    with pytest.raises(ValueError, match="holds no step"):
        read_log(tmp_path / "empty" / "log.jsonl")
    _write_log(tmp_path / "other" / "log.jsonl", [{"loss": 1.0}])
    with pytest.raises(ValueError, match="line 1 is no step"):
        read_log(tmp_path / "other" / "log.jsonl")


def test_a_running_mean_is_of_the_values_before_it() -> None:
    values = np.arange(100.0)
    means = running_mean(values)
    assert means[0] == 0.0 and means[2] == 1.0
    assert means[50] == np.mean(values[46:51])
