"""Real PostgreSQL, Valkey and S3 for one test run: started in a throw-away home unless the environment names others."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workers.stack.addresses import read_addresses

PROJECT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 120


def provide_services() -> None:
    """Put the addresses of real services into the environment; they stop with this process, however it ends."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the controller has started them, and this process inherited their addresses
    if {"DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"} <= os.environ.keys():
        os.environ.setdefault("SECRET_KEY", "for tests alone, never for a server")
        return
    home = Path(tempfile.mkdtemp(prefix="candid8-test-"))
    addresses = home.with_suffix(".env")
    log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the servers)
    command = [
        sys.executable,
        "-m",
        "workers.stack",
        "services",
        "--home",
        str(home),
        "--env-file",
        str(addresses),
    ]
    process = subprocess.Popen(
        [*command, "--throwaway", "--die-with-parent"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    atexit.register(_stop, process)
    deadline = time.monotonic() + START_LIMIT_S
    while not addresses.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise RuntimeError("the test services did not start:\n" + log.read().decode(errors="replace"))
        time.sleep(0.02)
    os.environ.update(read_addresses(addresses))
    addresses.unlink()


def use_own_broker_number() -> None:
    """Give each parallel test process a Redis database of its own, as pytest-django does for PostgreSQL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    url = os.environ["REDIS_URL"]
    if worker is not None and url.startswith("unix:"):
        os.environ["REDIS_URL"] = f"{url.partition('?')[0]}?db={1 + int(worker.removeprefix('gw'))}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=30)
