"""Starts a run as several processes by torchrun, follows its log, and ends it together with whoever started it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from training.configs import RunConfig
from training.loop.distributed import Strategy
from training.runs import FAILURE_FILE, SETTINGS_FILE, STATE_FOLDER, RunResult, RunStopped, run_training
from training.trainer import LOG_FILE, Progress

ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY_S = 0.5
GRACE_S = 60.0  # for saving, after being asked to stop


class RunFailed(ValueError):
    """A run of several processes that would end the same way if it were started again; the message is theirs."""


def run_on_processes(
    config: RunConfig,
    *,
    count: int,
    device: str,
    strategy: Strategy,
    workdir: Path,
    checkpoint_dir: Path,
    manifest_dir: Path | None,
    on_progress: Progress | None = None,
) -> RunResult:
    """``run_training`` by ``count`` processes on this machine; the same call goes on where an earlier one stopped.

    Raises RunFailed for what ``run_training`` refuses, RunStopped after a SIGTERM, RuntimeError when the processes
    ended otherwise, and whatever ``on_progress`` raises, once they have saved and ended.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / FAILURE_FILE).unlink(missing_ok=True)
    (workdir / SETTINGS_FILE).write_text(json.dumps(config.as_dict()))
    follow = _LogFollower(workdir / STATE_FOLDER / LOG_FILE, total=config.steps, on_progress=on_progress)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command += ["-m", "training.cli", "train", "--config", str(workdir / SETTINGS_FILE)]
    command += ["--checkpoint", str(checkpoint_dir), "--workdir", str(workdir)]
    command += ["--device", device, "--strategy", strategy]
    command += [] if manifest_dir is None else ["--dataset", str(manifest_dir)]
    child = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdin=subprocess.DEVNULL)
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        child.terminate()

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        while _running(child):
            follow.read()
        follow.read()
    finally:
        signal.signal(signal.SIGTERM, previous)
        _end(child)
    if asked:
        raise RunStopped("stopped; run again to go on")
    if (workdir / FAILURE_FILE).exists():
        raise RunFailed((workdir / FAILURE_FILE).read_text())
    if child.returncode:
        raise RuntimeError(f"the {count} processes of the run ended with status {child.returncode}")
    # Finished: this reads the result that they left.
    return run_training(config, workdir=workdir, checkpoint_dir=checkpoint_dir, manifest_dir=manifest_dir)


class _LogFollower:
    """Reports each line that is added to a log."""

    def __init__(self, log: Path, *, total: int, on_progress: Progress | None) -> None:
        self.log, self.total, self.on_progress = log, total, on_progress
        self.seen = log.stat().st_size if log.exists() else 0

    def read(self) -> None:
        if self.on_progress is None or not self.log.exists():
            return
        with self.log.open() as file:
            file.seek(self.seen)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self.seen += len(whole.encode())
        for line in whole.splitlines():
            metrics = json.loads(line)
            self.on_progress(metrics.pop("step"), self.total, metrics)


def _running(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(timeout=LOOK_EVERY_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """Lets it save, for a while."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
