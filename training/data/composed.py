"""A finished composition, picture and answer together, and the training example that it makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.conditioning import (
    CROP_FACTOR,
    TYPICAL_FOCAL,
    Normaliser,
    Square,
    box_values,
    crop_square,
    encode_layout,
    flat_points,
    full_square,
    normaliser_of,
    resample_colour,
    resample_mask,
    resample_points,
)
from modelzoo.contracts import Intrinsics
from training.data.placeable import Placeable
from training.data.samples import MIN_MASK_PIXELS, Example
from training.data.scenes import SceneKind
from training.data.solids import turn_matrix, turned, turns_to_nearest_face
from training.data.surfaces import Placement

NATURAL_MASK_SHARE = MIN_MASK_PIXELS / 64**2  # of the crop that the target's visible part must fill
CROP_JITTER = 0.05
FARTHEST = 60.0  # normalised coordinates beyond this are stored as this


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A picture with a target in it. ``points`` is None where a photograph would have none (the paper's FO)."""

    image: NDArray[np.uint8]  # H x W x 3
    mask: NDArray[np.bool_]  # H x W, the visible part of the target
    points: NDArray[np.float32] | None  # H x W x 3, camera frame, NaN unknown
    camera: Intrinsics
    item: Placeable
    at: Placement
    depth: NDArray[np.float32]  # H x W, of the target alone, infinite beside it


def example_of(
    composed: Composed, kind: SceneKind, rng: Generator, *, size: int, resolution: int
) -> Example | str:
    """The example as the model sees it, or in one word why its target shows too little.

    The crop's side varies a little; the object is turned by quarter turns until its nearest face is in front.
    """
    image, mask = composed.image, composed.mask
    if not mask.any():
        return "hidden"
    height, width = mask.shape
    crop = crop_square(mask, factor=CROP_FACTOR * float(np.exp(rng.normal(0.0, CROP_JITTER))))
    full = full_square(height, width)
    crop_mask = resample_mask(mask, crop, size)
    if crop_mask.mean() < NATURAL_MASK_SHARE:
        return "thin"
    known = composed.points is not None
    points = composed.points if composed.points is not None else flat_points(height, width)
    normaliser = normaliser_of(points, mask)
    at = faced(composed.at)
    told = at[0] if known else in_flat_frame(at[0], composed)
    return Example(
        kind=kind,
        family=composed.item.family,
        crop_rgb=resample_colour(image, crop, size),
        crop_mask=crop_mask,
        crop_points=_normalised(points, crop, size, normaliser, known=known),
        full_rgb=resample_colour(image, full, size),
        full_mask=resample_mask(mask, full, size),
        full_points=_normalised(points, full, size, normaliser, known=known),
        box=box_values(crop, full, known=known),
        layout=encode_layout(told.rotation, told.translation, told.scale, normaliser),
        normaliser=normaliser,
        occupancy=turned(composed.item.occupancy(resolution), quarter_turns=at[1]),
    )


def faced(at: Placement) -> tuple[Placement, int]:
    """The same object described with its nearest face in front, and the quarter turns that its shape then needs."""
    turns = turns_to_nearest_face(at.rotation, at.translation)
    rotation = at.rotation @ turn_matrix(turns).T
    return Placement(rotation=rotation, translation=at.translation, scale=at.scale), turns


def in_flat_frame(at: Placement, composed: Composed) -> Placement:
    """The placement as it is told where no point map is known: the target's visible middle at distance one, seen with
    a typical focal length, at its true size and place in the picture (weak perspective)."""
    middle = float(np.median(composed.depth[composed.mask]))
    camera = composed.camera
    shrink = camera.fx / (TYPICAL_FOCAL * max(camera.width, camera.height)) / middle
    told = at.translation * shrink
    return Placement(
        rotation=at.rotation,
        translation=np.array([told[0], told[1], 1.0 + told[2] - middle * shrink]),
        scale=at.scale * shrink,
    )


def _normalised(
    points: NDArray[np.float32], window: Square, size: int, normaliser: Normaliser, *, known: bool
) -> NDArray[np.float32]:
    if not known:
        return np.full((size, size, 3), np.nan, np.float32)
    told = (resample_points(points, window, size) - normaliser.shift) / normaliser.scale
    return np.clip(told, -FARTHEST, FARTHEST).astype(np.float32)
