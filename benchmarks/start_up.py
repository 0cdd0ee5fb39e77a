"""`make up` on a clean clone: seconds to the first page, the first time and the second. Needs the package index."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.result import Result

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 900


def measure(*, seed: int) -> list[Result]:
    del seed
    with tempfile.TemporaryDirectory(prefix="candid8-clone-") as folder:
        clone = Path(folder) / "candid8"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        first, second = _up(clone), _up(clone)
    return [
        Result(name="first `make up` on a clean clone, to the first page", value=first, unit="s", budget=300),
        Result(name="second `make up`", value=second, unit="s", budget=20),
    ]


def _up(clone: Path) -> float:
    """Seconds until the page answers; everything is stopped again by Ctrl-C."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABASE_", "REDIS_", "S3_"))
    }
    environment |= {"PORT": str(port)}
    environment.pop("CANDID8_HOME", None)
    start = time.monotonic()
    process = subprocess.Popen(
        ["make", "up"],
        cwd=clone,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() - start > LIMIT_S:
                raise RuntimeError("`make up` did not come up on a clean clone")
            time.sleep(0.1)
        return time.monotonic() - start
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def _answers(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
