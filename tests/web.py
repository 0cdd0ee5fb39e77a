"""A person at a browser: sends what the pages send and checks every answer against what the interface promises."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from tests import factories


def as_person(user: User) -> Client:
    """The session of ``user`` for pages that Django draws."""
    client = Client()
    client.force_login(user)
    return client


def said(reply: HttpResponse) -> list[str]:
    """What the console told the person after an action."""
    return [str(message) for message in get_messages(reply.wsgi_request)]  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The stable code of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.body)
        assert self.body["status"] == self.status and self.body["title"] and self.body["detail"]
        return str(self.body["code"])


class Browser:
    """The session of ``user``, or of nobody."""

    def __init__(self, user: User | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        if user is not None:
            self.client.force_login(user)

    def get(self, path: str) -> Reply:
        return self._reply(self.client.get(f"/api/v1{path}"))

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("POST", path, json.dumps({} if body is None else body), **headers)

    def put(self, path: str, body: Any, **headers: str) -> Reply:
        return self.send("PUT", path, json.dumps(body), **headers)

    def send(
        self, method: str, path: str, text: str | bytes, *, kind: str = "application/json", **headers: str
    ) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._reply(
            self.client.generic(method, f"/api/v1{path}", text, content_type=kind, headers=names)
        )

    def upload(self, path: str, *, file: bytes, name: str = "photo.png", **form: Any) -> Reply:
        data = {"file": SimpleUploadedFile(name, file), **form}
        return self._reply(self.client.post(f"/api/v1{path}", data))

    def claim(self, project_id: int, stage: str) -> Any:
        """The claim's body; fails when there is nothing to claim."""
        reply = self.post(f"/projects/{project_id}/claims", {"stage": stage})
        assert reply.status == 200, reply
        return reply.body

    def submit(self, claim: Any, result: Any, *, key: str | None = None, **changes: Any) -> Reply:
        body = {"lease_token": claim["lease_token"], "seconds": 12.5, "result": result, **changes}
        return self.post(
            f"/assignments/{claim['assignment']}/submit", body, Idempotency_Key=key or str(uuid4())
        )

    def _reply(self, response: Any) -> Reply:
        text = b"".join(response) if response.streaming else response.content
        is_json = "json" in response.headers.get("Content-Type", "")
        return Reply(
            status=response.status_code,
            body=json.loads(text) if is_json else text,
            headers=dict(response.headers),
        )


def mask_base64(**how: Any) -> str:
    return base64.b64encode(factories.mask_bytes(**how)).decode("ascii")


def object_result(**changes: Any) -> dict[str, Any]:
    target = {
        "mask_png": mask_base64(),
        "label": "blue mug",
        "taxonomy_key": "mug",
        "flags": [],
        "proposal_id": None,
    }
    return {"targets": [{**target, **changes}]}


def pick_result(claim: Any, **changes: Any) -> dict[str, Any]:
    winner = claim["task"]["candidates"][0]["id"]
    return {
        "winner": winner,
        "mode": "grid",
        "shape_rating": 5,
        "texture_rating": 4,
        "comparisons": [],
        "inspected": {str(winner): 1500},
        **changes,
    }


def pose_result(**changes: Any) -> dict[str, Any]:
    return {
        "rotation_wxyz": [1, 0, 0, 0],
        "translation": [0.1, 0, 2],
        "scale": 0.5,
        "mask_iou": 0.8,
        "depth_residual": None,
        "actions": {"move": 3},
        **changes,
    }
