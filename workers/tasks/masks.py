"""Masks that a machine makes: the refinement asked for in stage 1, and proposals for a new photograph."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from engine import blobs
from engine.errors import BadInput
from engine.jobs import Hold
from engine.selectors.images import unmarked_image
from engine.services.images import propose_target
from workers import pixels, policy
from workers.grabcut import GrabCut
from workers.mask_proposer import Guidance, MaskProposer
from workers.onnx_segmenter import OnnxSegmenter


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
        points=tuple((x * across, y * down, is_object) for x, y, is_object in hold.payload.get("points", [])),
        **{name: _resized(mask, size) for name, mask in drawn.items()},
    )
    at_size = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    proposer = mask_proposer()
    mask = proposer.refine(np.ascontiguousarray(at_size), guidance, key=hold.payload["image_key"])
    key = blobs.put(pixels.mask_png(mask), suffix=".png", content_type="image/png")
    return {"mask_key": key, "by": proposer.name}


@policy.job("propose_masks")
def propose_masks(hold: Hold) -> dict[str, Any]:
    """Proposed targets in a photograph in which nobody has marked anything yet."""
    image = unmarked_image(hold.payload["image_id"])
    if image is None:
        return {"proposals": 0}
    proposer = mask_proposer()
    made = 0
    for proposed in proposer.propose(pixels.photograph(image.key), key=image.key):
        try:
            propose_target(image_id=image.pk, mask_png=pixels.mask_png(proposed.mask), source=proposer.name)
        except BadInput:  # a few pixels, or all of them: nothing to propose
            continue
        made += 1
    return {"proposals": made, "by": proposer.name}


@cache
def mask_proposer() -> MaskProposer:
    """The operator's segmenter, else GrabCut. A segmenter that cannot be used is refused, never passed over."""
    if not settings.SEGMENTER_ENCODER:
        return GrabCut()
    return OnnxSegmenter(encoder=Path(settings.SEGMENTER_ENCODER), decoder=Path(settings.SEGMENTER_DECODER))


def _drawn(payload: dict[str, Any]) -> dict[str, NDArray[np.bool_]]:
    names = ("mask", "foreground", "background")
    return {name: pixels.mask(payload[f"{name}_key"]) for name in names if payload.get(f"{name}_key")}


def _resized(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    resized = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)
