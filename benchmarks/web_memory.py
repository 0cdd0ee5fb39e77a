"""Resident memory of the web process after real requests, the console's measuring pages and a 12-megapixel upload, and
that it has no torch."""

import io
import os
import re
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from PIL import Image
from urllib3 import encode_multipart_formdata

import benchmarks.throwaway_site  # noqa: F401  (first: it sets Django up before a model is imported)
from benchmarks.judged_site import judged_site
from benchmarks.result import Result
from engine import blobs
from engine.models import Arena
from engine.services.projects import add_member
from engine.states import Role
from tests.factories import make_project
from workers.stack.processes import WEB

ROOT = Path(__file__).resolve().parents[1]
REQUESTS = 300


def measure(*, seed: int) -> list[Result]:
    cookie, project_id = _log_in()
    blobs.ensure_bucket(origins=["http://127.0.0.1"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, **WEB.environment, "DJANGO_SETTINGS_MODULE": "engine.settings.dev"}
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
        before = _resident_mib(server.pid)
        measured = []
        for name, path in _measuring_pages(seed).items():
            _get(port, path, cookie=cookie, wanted=200)
            measured.append((name, _resident_mib(server.pid)))
        _upload(port, cookie, project_id, _photograph(seed))
        after = _resident_mib(server.pid)
        maps = Path(f"/proc/{server.pid}/maps").read_text()
    finally:
        server.terminate()
        server.wait(timeout=20)
    return [
        Result(name=f"web process after {REQUESTS} requests", value=before, unit="MiB RSS", budget=150),
        *(
            Result(name=f"web process, then the page {name}", value=value, unit="MiB RSS", budget=150)
            for name, value in measured
        ),
        Result(name="web process after a 12-megapixel upload", value=after, unit="MiB RSS", budget=150),
        Result(name="shared objects of torch in it", value=maps.count("libtorch"), unit="count", budget=0),
    ]


def _log_in() -> tuple[str, int]:
    """A lead's cookies, and the project they may upload to."""
    project = make_project("bench-web")
    person = get_user_model().objects.create_user("lea-bench")
    add_member(project_id=project.pk, user_id=person.pk, role=Role.LEAD)
    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    return f"sessionid={client.cookies['sessionid'].value}; csrftoken={'c' * 32}", project.pk


def _measuring_pages(seed: int) -> dict[str, str]:
    """Twice each: a page that is opened again must not grow."""
    kitchen = judged_site(seed=seed)
    add_member(
        project_id=kitchen.pk, user_id=get_user_model().objects.get(username="lea-bench").pk, role=Role.LEAD
    )
    arena = Arena.objects.get(project=kitchen)
    project = {"project_id": kitchen.pk}
    pages = {
        "Bias": reverse("admin:console-bias", kwargs=project),
        "Quality": reverse("admin:console-quality", kwargs=project),
        "Arenas": reverse("admin:console-arenas", kwargs=project),
        "an arena": reverse("admin:console-arena", kwargs={"arena_id": arena.pk}),
    }
    return pages | {f"{name}, again": path for name, path in pages.items()}


def _photograph(seed: int) -> bytes:
    """4000 x 3000 pixels with some structure, as a JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 255, (75, 100, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


def _upload(port: int, cookie: str, project_id: int, photograph: bytes) -> None:
    body, content_type = encode_multipart_formdata({"file": ("large.jpg", photograph, "image/jpeg")})
    headers = {"Cookie": cookie, "X-CSRFToken": "c" * 32, "Content-Type": content_type}
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", f"/api/v1/projects/{project_id}/images", body=body, headers=headers)
    reply = connection.getresponse()
    if reply.status != 201:
        raise RuntimeError(f"the upload was refused: {reply.status} {reply.read()[:300]!r}")
    connection.close()


def _resident_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if _get(port, "/healthz") == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the web process did not answer within a minute")


def _get(port: int, path: str, *, cookie: str = "", wanted: int | None = None) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        status = connection.getresponse().status
        if wanted is not None and status != wanted:
            raise RuntimeError(f"{path} answered {status}, not {wanted}")
        return status
    finally:
        connection.close()
