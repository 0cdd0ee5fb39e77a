"""A whole stack beside the usual one, in a home of its own on a free port, for as long as a program needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.stack.addresses import FILE_NAME, read_addresses
from workers.stack.processes import ENVIRONMENT_NAMES
from workers.stack.readiness import answers_http

PROJECT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 300
STOP_LIMIT_S = 60


@dataclass(frozen=True, kw_only=True)
class StackBeside:
    """Where a started stack is reached, where its data, logs and demo accounts lie, and who supervises it."""

    url: str
    home: Path
    supervisor: int

    def environment(self) -> dict[str, str]:
        """What a command such as `manage.py` needs to work on this stack's data."""
        return read_addresses(self.home / FILE_NAME)


@contextmanager
def stack_beside(home: Path, *, extra: Mapping[str, str], gpu_workers: int = 1) -> Iterator[StackBeside]:
    """Start everything, yield when the page answers, and stop it; raises RuntimeError with the log if it fails.

    The same home again has the same data.
    """
    port = _free_port()
    command = [sys.executable, "-m", "workers.stack", "up", "--home", str(home), "--port", str(port)]
    command += ["--gpu-workers", str(gpu_workers)]
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.log").open("w+b") as log:
        process = subprocess.Popen(
            [*command, "--die-with-parent"],
            cwd=PROJECT,
            env=_clean_environment() | dict(extra),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not answers_http("127.0.0.1", port, "/healthz"):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(
                        "the stack did not start:\n" + log.read().decode(errors="replace")[-6000:]
                    )
                time.sleep(0.2)
            yield StackBeside(url=f"http://127.0.0.1:{port}", home=home, supervisor=process.pid)
        finally:
            process.terminate()
            process.wait(timeout=STOP_LIMIT_S)


def _clean_environment() -> dict[str, str]:
    """The environment without services that the caller may have, so that the stack starts its own."""
    dropped = {*ENVIRONMENT_NAMES, "OMP_NUM_THREADS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
