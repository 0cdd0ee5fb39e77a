"""Annotators and artists at work: claim, look, answer. The truth is in their eyes only, and blurred."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.transform import Rotation

from modelzoo.frames import wxyz_from_rotation
from training.simulation.front_door.eyes import shape_worth, texture_worth
from training.simulation.front_door.hidden import HiddenTruth, png_of, truth_behind
from training.simulation.front_door.profiles import Profile
from training.simulation.front_door.visitor import SiteRefused, Visitor

Stage = Literal["object", "pick", "pose"]
STAGES: tuple[Stage, ...] = ("object", "pick", "pose")
#: Seconds that people took in the paper.
TYPICAL_S: Mapping[Stage, float] = {"object": 10.0, "pick": 80.0, "pose": 150.0}
#: Worth from which on a mark is 2, 3, 4, 5.
MARKS = (0.35, 0.5, 0.65, 0.8)
#: Refusals that mean "somebody was quicker": the next claim is asked for.
OVERTAKEN = frozenset({"lease_lost", "stale_transition"})


@dataclass(kw_only=True)
class Gallery:
    """The truths behind the photographs that were handed in, and what each candidate is worth, looked up once."""

    _truths: dict[str, HiddenTruth] = field(default_factory=dict)
    _known: dict[int, float] = field(default_factory=dict)

    def show(self, truth: HiddenTruth) -> None:
        """Keeps a truth that is known already."""
        self._truths[truth.name] = truth

    def truth_of(self, photo: str) -> HiddenTruth:
        """Behind the photograph of that name."""
        if photo not in self._truths:
            self.show(truth_behind(photo))
        return self._truths[photo]

    def shape_of(self, candidate: Mapping[str, Any], truth: HiddenTruth, visitor: Visitor) -> float:
        """What the mesh that the page would show is worth as a shape."""
        number = int(candidate["id"])
        if number not in self._known:
            self._known[number] = shape_worth(visitor.fetch(candidate["mesh_url"]), truth)
        return self._known[number]

    def texture_of(self, candidate: Mapping[str, Any], truth: HiddenTruth, visitor: Visitor) -> float:
        """What its colours are worth: only a winner's are marked, so nothing of it is kept."""
        return texture_worth(visitor.fetch(candidate["mesh_url"]), truth)


class Annotator:
    """One simulated person: same profile, seed and tasks, same answers."""

    def __init__(
        self, visitor: Visitor, profile: Profile, *, project_id: int, gallery: Gallery, seed: int
    ) -> None:
        self.visitor, self.profile = visitor, profile
        self._project, self._gallery = project_id, gallery
        self._rng = np.random.default_rng([seed, *visitor.name.encode()])

    def works(self, stage: Stage, *, most: int) -> list[dict[str, Any]]:
        """Answers up to ``most`` tasks of the stage; the site's answers, fewer when there is no more work."""
        answers: list[dict[str, Any]] = []
        while len(answers) < most:
            claim = self.visitor.post(f"/projects/{self._project}/claims", {"stage": stage})
            if claim is None:
                break
            try:
                answers.append(self._answer(stage, claim))
            except SiteRefused as refused:
                if refused.code not in OVERTAKEN:
                    raise
        return answers

    def _answer(self, stage: Stage, claim: dict[str, Any]) -> dict[str, Any]:
        truth = self._gallery.truth_of(claim["task"]["photo"]["name"])
        if stage == "object":
            result: dict[str, Any] | None = self._marks(truth)
        elif stage == "pick":
            result = self._picks(claim["task"], truth)
        else:
            result = self._places(truth)
        token = claim["lease_token"]
        if result is None:
            note = {
                "lease_token": token,
                "reason": "none_good",
                "note": "None has the shape of the photograph.",
            }
            escalated = self.visitor.post(f"/assignments/{claim['assignment']}/escalate", note)
            return {**escalated, "escalated": True}
        body = {"lease_token": token, "seconds": self._seconds(stage), "result": result}
        key = str(UUID(bytes=self._rng.bytes(16), version=4))
        answer: dict[str, Any] = self.visitor.post(
            f"/assignments/{claim['assignment']}/submit", body, Idempotency_Key=key
        )
        return answer

    def _marks(self, truth: HiddenTruth) -> dict[str, Any]:
        """The object's mask, its edge a little off."""
        off = int(self._rng.integers(-self.profile.mask_px, self.profile.mask_px + 1))
        mask = truth.target.mask
        if off > 0:
            mask = binary_dilation(mask, iterations=off)
        elif off < 0:
            thinner = binary_erosion(mask, iterations=-off)
            mask = thinner if thinner.sum() > mask.sum() / 2 else mask
        png = base64.b64encode(png_of(mask.astype(np.uint8) * 255)).decode()
        return {"targets": [{"mask_png": png, "label": truth.label}]}

    def _picks(self, task: dict[str, Any], truth: HiddenTruth) -> dict[str, Any] | None:
        """The winner with its marks, or None when none is good enough."""
        shown = task["candidates"]
        is_blind = self._rng.random() < self.profile.careless
        shapes = [] if is_blind else [self._gallery.shape_of(one, truth, self.visitor) for one in shown]
        pairs: list[dict[str, Any]] = []
        if is_blind:
            winner, best = 0, 1.0
            if task["mode"] == "king":
                pairs, winner = self._climbs(shown, lambda cell: 1.0 if cell == 0 else 0.0, indifference=0.0)
        elif task["mode"] == "king":
            pairs, winner = self._climbs(
                shown, lambda cell: self._looks(shapes[cell], cell), indifference=1.0
            )
            best = self._looks(shapes[winner])
        else:
            looks = [self._looks(one, cell) for cell, one in enumerate(shapes)]
            winner = int(np.argmax(looks))
            best = looks[winner]
        if best < self.profile.none_below:
            return None
        marks = [5, 5]
        if not is_blind:
            texture = self._gallery.texture_of(shown[winner], truth, self.visitor)
            marks = [self._mark(shapes[winner]), self._mark(texture)]
        inspected = {} if is_blind else {str(shown[winner]["id"]): int(self._seconds("pick") * 250)}
        return {
            "winner": shown[winner]["id"],
            "mode": task["mode"],
            "shape_rating": marks[0],
            "texture_rating": marks[1],
            "comparisons": pairs,
            "inspected": inspected,
        }

    def _climbs(
        self, shown: list[dict[str, Any]], look: Callable[[int], float], *, indifference: float
    ) -> tuple[list[dict[str, Any]], int]:
        """King of the hill in the order shown: two looks a pair, the winner stays, of equals the one that stood."""
        pairs, king = [], 0
        width = indifference * self.profile.indifference * self.profile.noise
        for rival in range(1, len(shown)):
            gap = look(king) - look(rival)
            outcome = "equal" if abs(gap) < width else "left" if gap > 0 else "right"
            both = {"left": shown[king]["id"], "right": shown[rival]["id"]}
            pairs.append({**both, "outcome": outcome, "milliseconds": int(self._seconds("pick") * 100)})
            king = rival if outcome == "right" else king
        return pairs, king

    def _places(self, truth: HiddenTruth) -> dict[str, Any]:
        """The true pose, a little off."""
        scene, profile = truth.target.scene, self.profile
        turn = self._rng.normal(size=3) * np.deg2rad(profile.rotation_deg) / np.sqrt(3)
        shift = self._rng.normal(size=3) * profile.translation / np.sqrt(3) * scene.scale
        rotation = Rotation.from_rotvec(turn).as_matrix() @ scene.rotation
        return {
            "rotation_wxyz": [float(part) for part in wxyz_from_rotation(rotation)],
            "translation": [float(part) for part in scene.translation + shift],
            "scale": float(scene.scale * np.exp(self._rng.normal() * profile.log_scale)),
            "mask_iou": None,
            "depth_residual": None,
            "actions": {"rotate": 3, "translate": 3},
        }

    def _looks(self, true: float, cell: int = -1) -> float:
        bias = self.profile.first_cell if cell == 0 else 0.0
        return true + bias + float(self._rng.normal()) * self.profile.noise

    def _mark(self, true: float) -> int:
        seen = self._looks(true) + self.profile.generosity
        return 1 + sum(seen >= bar for bar in MARKS)

    def _seconds(self, stage: Stage) -> float:
        spread = float(np.exp(self._rng.normal() * 0.3))
        return round(TYPICAL_S[stage] * spread / self.profile.hurry, 2)


class Artist:
    """Models the true shape of every case that is open and hands it in."""

    def __init__(self, visitor: Visitor, *, project_id: int, gallery: Gallery) -> None:
        self.visitor = visitor
        self._project, self._gallery = project_id, gallery

    def models_all(self, *, most: int) -> int:
        """How many were handed in; a worker then looks at each."""
        cases = self.visitor.get(f"/projects/{self._project}/artist-cases?status=OPEN")["results"][:most]
        for case in cases:
            truth = self._gallery.truth_of(case["photo"]["name"])
            self.visitor.post(f"/artist-cases/{case['id']}/claim")
            model = ("model.glb", truth.model(), "model/gltf-binary")
            self.visitor.upload(f"/artist-cases/{case['id']}/upload", file=model)
        return len(cases)
