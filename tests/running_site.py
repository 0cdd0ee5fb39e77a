"""The whole product as `make up` runs it, in a throw-away home on a free port, for tests that act as a person would."""

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

PROJECT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class RunningSite:
    """Where a started stack is reached and where its data, logs and demo accounts lie."""

    url: str
    home: Path
    supervisor: int

    def environment(self) -> dict[str, str]:
        """What a command such as `manage.py` needs to work on this site's data."""
        return read_addresses(self.home / FILE_NAME)

    def shell(self, code: str) -> str:
        """What ``code`` prints last in Django's shell on this site's data."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **self.environment()},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip().rpartition("\n")[2]


@contextmanager
def running_site(home: Path, *, extra: Mapping[str, str]) -> Iterator[RunningSite]:
    """Start everything, yield when the page answers, and stop it; raises RuntimeError with the log if it fails."""
    port = _free_port()
    with (home.parent / f"{home.name}.log").open("w+b") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "workers.stack",
                "up",
                "--home",
                str(home),
                "--port",
                str(port),
                "--die-with-parent",
            ],
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
                        "the site did not start:\n" + log.read().decode(errors="replace")[-6000:]
                    )
                time.sleep(0.2)
            yield RunningSite(url=f"http://127.0.0.1:{port}", home=home, supervisor=process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _clean_environment() -> dict[str, str]:
    """The environment without this test run's own services, so that the site starts its own."""
    dropped = {*ENVIRONMENT_NAMES, "OMP_NUM_THREADS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
