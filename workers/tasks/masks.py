"""Assisted refinement of a mask, asked for in stage 1."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine import blobs
from engine.jobs import Hold
from workers import pixels, policy
from workers.grabcut import Guidance, refine


@policy.job("refine_mask", soft_time_limit=30, time_limit=60)
def refine_mask(hold: Hold) -> dict[str, Any]:
    """The refined mask, at the size of the masks that came with the request, else at the photograph's."""
    image = pixels.photograph(hold.payload["image_key"])
    height, width = image.shape[:2]
    drawn = _drawn(hold.payload)
    size = next((mask.shape for mask in drawn.values()), (height, width))
    box = hold.payload.get("box")
    across, down = size[1] / width, size[0] / height
    guidance = Guidance(
        box=None if box is None else (box[0] * across, box[1] * down, box[2] * across, box[3] * down),
        **{name: _resized(mask, size) for name, mask in drawn.items()},
    )
    at_size = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    png = pixels.mask_png(refine(np.ascontiguousarray(at_size), guidance))
    return {"mask_key": blobs.put(png, suffix=".png", content_type="image/png")}


def _drawn(payload: dict[str, Any]) -> dict[str, NDArray[np.bool_]]:
    names = ("mask", "foreground", "background")
    return {name: pixels.mask(payload[f"{name}_key"]) for name in names if payload.get(f"{name}_key")}


def _resized(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    resized = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)
