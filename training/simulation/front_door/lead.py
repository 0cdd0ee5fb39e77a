"""The lead of a simulation: makes gold of finished tasks whose truth the simulation knows, as a script may."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from modelzoo.frames import rotation_from_wxyz
from training.simulation.front_door.hidden import HiddenTruth
from training.simulation.front_door.people import STAGES, Gallery, Stage
from training.simulation.front_door.visitor import Visitor

#: How true a judgement must be to become gold: overlap of masks, degrees, shift as a share of the size.
MASK_IOU = 0.9
ROTATION_DEG = 10.0
SHIFT = 0.1
#: Candidates worth nearly as much as the best are right too; a task where that is more than half of them is no gold.
NEARLY = 0.1
#: Whose right masks are thinner than a careful hand: others may be off by so much.
IOU_NEEDED = 0.75


class Lead:
    """Speaks for one account with the role lead in the project."""

    def __init__(self, visitor: Visitor, *, project_id: int, gallery: Gallery) -> None:
        self.visitor = visitor
        self._project, self._gallery = project_id, gallery
        self._made = dict.fromkeys(STAGES, 0)

    def makes_gold(self, *, most: int) -> dict[Stage, int]:
        """Of every stage up to ``most`` gold tasks in all, of judgements that are true; how many there are now."""
        for stage in STAGES:
            if self._made[stage] < most:
                self._made[stage] = self._of_stage(stage, most=most)
        return dict(self._made)

    def _of_stage(self, stage: Stage, *, most: int) -> int:
        path = f"/projects/{self._project}/gold/{stage}"
        known = self.visitor.get(path)
        made = len(known["items"])
        for source in known["sources"]:
            if made >= most:
                break
            wanted = self._gold_of(stage, source)
            if wanted is not None:
                self.visitor.post(path, {"source": source["id"], "why": "Known to be true.", **wanted})
                made += 1
        return made

    def _gold_of(self, stage: Stage, source: Mapping[str, Any]) -> dict[str, Any] | None:
        """What makes gold of the judgement, or None when it is not true or not clear."""
        truth, said = self._gallery.truth_of(source["photo"]), source["answer"]
        if stage == "object":
            drawn = _mask(self.visitor.fetch(said["mask_url"]))
            return {"iou_at_least": IOU_NEEDED} if _iou(drawn, truth) >= MASK_IOU else None
        if stage == "pose":
            return {} if _is_near(said["pose"], truth) else None
        worths = {
            each["id"]: self._gallery.shape_of(each, truth, self.visitor) for each in said["candidates"]
        }
        best = [number for number, each in worths.items() if each >= max(worths.values()) - NEARLY]
        if said["winner"] not in best or 2 * len(best) > len(worths):
            return None
        return {"also_best": best}


def _mask(png: bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as mask:
        return np.asarray(mask.convert("1"), dtype=bool)


def _iou(drawn: np.ndarray[Any, np.dtype[np.bool_]], truth: HiddenTruth) -> float:
    known = truth.target.mask
    return float((drawn & known).sum() / max(1, (drawn | known).sum()))


def _is_near(pose: Mapping[str, Any], truth: HiddenTruth) -> bool:
    scene = truth.target.scene
    turn = rotation_from_wxyz(np.asarray(pose["rotation_wxyz"])).T @ scene.rotation
    degrees = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    shift = np.linalg.norm(np.asarray(pose["translation"]) - scene.translation) / scene.scale
    return bool(degrees <= ROTATION_DEG and shift <= SHIFT)
