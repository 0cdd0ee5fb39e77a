"""People who judge by the interface alone, so that a walk that is about something else need not wait for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from PIL import Image, ImageDraw

from tests.browser.person import password_of
from tests.running_site import RunningSite
from training.simulation.front_door.visitor import Visitor

Marks = tuple[int, int]  # of shape and texture


class QuickPerson:
    """A demo account that has read its guidelines and answers tasks of the demo project."""

    def __init__(self, site: RunningSite, name: str) -> None:
        self.visitor = Visitor(site.url, name=name, password=password_of(site, name))
        self.project = next(
            int(each["id"]) for each in self.visitor.get("/me")["projects"] if each["slug"] == "demo"
        )
        for guide in self.visitor.get(f"/projects/{self.project}/guidelines")["stages"]:
            if guide["version"] and not guide["is_acknowledged"]:
                self.visitor.post(f"/guideline-versions/{guide['version']['id']}/acknowledge")

    def waiting(self, stage: str) -> int:
        """How many tasks of the stage wait for somebody."""
        return int(self.visitor.get(f"/projects/{self.project}")["queues"][stage]["open"])

    def marks(self, label: str) -> None:
        """Names one object of the next photograph: its first suggested mask, or an oval in the middle."""
        claim = self._claims("object")
        assert claim is not None, "a photograph waits to be marked"
        photo, proposals = claim["task"]["photo"], claim["task"]["proposals"]
        mask = (
            self.visitor.fetch(proposals[0]["mask_url"])
            if proposals
            else _oval(photo["width"], photo["height"])
        )
        target = {
            "mask_png": base64.b64encode(mask).decode("ascii"),
            "label": label,
            "proposal_id": proposals[0]["id"] if proposals else None,
        }
        self._submits(claim, {"targets": [target]})

    def picks(self, marks: Sequence[Marks], *, first: int = 0) -> int:
        """Picks as many tasks as there are marks, each time another candidate; how many tasks there were."""
        for number, (shape, texture) in enumerate(marks):
            claim = self._claims("pick")
            if claim is None:
                return number
            shown = claim["task"]["candidates"]
            winner = shown[(first + number) % len(shown)]["id"]
            result = {
                "winner": winner,
                "mode": "grid",
                "shape_rating": shape,
                "texture_rating": texture,
                "comparisons": [],
                "inspected": {str(winner): 2000},
            }
            self._submits(claim, result)
        return len(marks)

    def judges_pairs(self, outcomes: Sequence[str]) -> int:
        """Answers as many of an arena's blind pairs as there are outcomes; how many there were."""
        for number, outcome in enumerate(outcomes):
            pair = self.visitor.post(f"/projects/{self.project}/arena-claims", {})
            if pair is None:
                return number
            body = {"outcome": outcome, "seconds": 9.0}
            self.visitor.post(f"/arena-matches/{pair['match']}/answer", body, Idempotency_Key=str(uuid4()))
        return len(outcomes)

    def _claims(self, stage: str) -> Any:
        return self.visitor.post(f"/projects/{self.project}/claims", {"stage": stage})

    def _submits(self, claim: Any, result: dict[str, Any]) -> None:
        body = {"lease_token": claim["lease_token"], "seconds": 12.5, "result": result}
        self.visitor.post(f"/assignments/{claim['assignment']}/submit", body, Idempotency_Key=str(uuid4()))


def _oval(width: int, height: int) -> bytes:
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).ellipse((0.35 * width, 0.3 * height, 0.65 * width, 0.7 * height), fill=255)
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()
