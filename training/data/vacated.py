"""A photograph with one of its objects taken out: what was behind it, guessed, and the room that it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from modelzoo.contracts import Intrinsics
from training.data.photographs import Photograph, Photographs, framed
from training.data.primitives import Floats
from training.data.scenes import points_from_depth

MARGIN_PX = 3  # around a mask, whose edge is never exact
INPAINT_PX = 4.0
MIN_POINTS = 24  # of the object, known, to say where it is
TRIM = 0.03  # of the points at either end of each axis: masks and sensors err at edges
MIN_MASK_SHARE = 0.002
KEPT = 256  # vacated places, per process


@dataclass(frozen=True, kw_only=True)
class Vacated:
    """The empty place. ``depth`` is known everywhere (guessed where the sensor was blind); ``points`` keeps its holes,
    except in the place itself, where the guess stands for what an estimator would say of the inpainted picture."""

    image: NDArray[np.uint8]  # H x W x 3
    depth: NDArray[np.float32]  # H x W
    points: NDArray[np.float32]  # H x W x 3
    camera: Intrinsics
    centroid: Floats  # 3, of the object's visible points
    room: Floats  # 3, extent of its box along the camera's axes


@lru_cache(maxsize=KEPT)
def vacated(photographs: Photographs, number: int, mask: int, *, zoom: float, side: int) -> Vacated | str:
    """The place of object ``mask`` of photograph ``number``, seen from so near, or in one word why it is of no use."""
    photograph = photographs.photograph(number)
    if not photograph.masks[mask].any():
        return "small_place"
    near = framed(photograph, photograph.masks[mask], zoom=zoom, side=side)
    return emptied(near, near.masks[0])


def emptied(photograph: Photograph, mask: NDArray[np.bool_]) -> Vacated | str:
    """The photograph without the object under ``mask``, or in one word why its place cannot be used."""
    if photograph.points is None or photograph.camera is None:
        return "without_points"
    if mask.mean() < MIN_MASK_SHARE:
        return "small_place"
    inside = photograph.points[mask].astype(np.float64)
    inside = inside[np.isfinite(inside).all(axis=1)]
    if len(inside) < MIN_POINTS:
        return "unmeasured_place"
    low, high = np.quantile(inside, [TRIM, 1 - TRIM], axis=0)
    hole = binary_dilation(mask, iterations=MARGIN_PX)
    own = photograph.points[..., 2]
    guess = behind(own, hole)
    depth = np.where(
        mask & (own > guess), own, guess
    )  # nothing behind the object is nearer than its own surface
    return Vacated(
        image=np.asarray(cv2.inpaint(photograph.image, hole.astype(np.uint8), INPAINT_PX, cv2.INPAINT_TELEA)),
        depth=depth,
        points=np.where(hole[..., None], points_from_depth(depth, photograph.camera), photograph.points),
        camera=photograph.camera,
        centroid=np.median(inside, axis=0),
        room=high - low,
    )


def behind(depth: NDArray[np.floating], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """z-depth (H x W): unknown pixels as the nearest known one, the hole filled smoothly from its rim."""
    assert depth.shape == hole.shape, (depth.shape, hole.shape)
    unknown = ~np.isfinite(depth) | hole
    if unknown.all():
        raise ValueError("no depth is known outside the object")
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled = np.ascontiguousarray(depth[tuple(nearest)], dtype=np.float32)
    return np.asarray(
        cv2.inpaint(filled, hole.astype(np.uint8), INPAINT_PX, cv2.INPAINT_NS), dtype=np.float32
    )
