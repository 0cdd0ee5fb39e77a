"""Resident memory of the web process after real requests, and that it has not loaded torch."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.result import Result
from tests.real_services import provide_services

ROOT = Path(__file__).resolve().parents[1]
REQUESTS = 300


def measure(*, seed: int) -> list[Result]:
    del seed  # nothing random here
    provide_services()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "engine.settings.dev"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True
    )
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "annotate.asgi:application",
            "--port",
            str(port),
            "--lifespan",
            "off",
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        for path in ("/login", "/healthz", "/api/v1/me", "/admin/login/"):
            for _ in range(REQUESTS // 4):
                _get(port, path)
        status = Path(f"/proc/{server.pid}/status").read_text()
        maps = Path(f"/proc/{server.pid}/maps").read_text()
    finally:
        server.terminate()
        server.wait(timeout=20)
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024
    return [
        Result(name=f"web process after {REQUESTS} requests", value=resident, unit="MiB RSS", budget=150),
        Result(name="shared objects of torch in it", value=maps.count("libtorch"), unit="count", budget=0),
    ]


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if _get(port, "/healthz") == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the web process did not answer within a minute")


def _get(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
