"""Intersection over union of boxes in space: axis-aligned as the paper has it, and oriented."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float64]

ROUNDING = 1e-9  # of half a side: faces of both boxes that lie on one another count as inside

_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))


@dataclass(frozen=True, kw_only=True)
class OrientedBox:
    """``centre + rotation @ (half * u)`` for u in [-1, 1]^3; ``half`` are half its sides, all positive."""

    centre: Floats  # 3
    rotation: Floats  # 3 x 3
    half: Floats  # 3

    def __post_init__(self) -> None:
        if not (self.half > 0).all():
            raise ValueError(f"a box needs three positive sides, not {2 * self.half}")

    def corners(self) -> Floats:
        """Its eight corners (8 x 3)."""
        corners: Floats = self.centre + (_CORNERS * self.half) @ self.rotation.T
        return corners

    @property
    def volume(self) -> float:
        return float(8.0 * np.prod(self.half))


def aligned_box_iou(
    first: tuple[NDArray[np.floating], NDArray[np.floating]],
    second: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> float:
    """IoU of two axis-aligned boxes, each given as its lowest and its highest corner; 0 where both have no volume."""
    sides = np.minimum(first[1], second[1]) - np.maximum(first[0], second[0])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    union = float(np.prod(first[1] - first[0]) + np.prod(second[1] - second[0])) - shared
    return shared / union if union > 0 else 0.0


def oriented_box_iou(first: OrientedBox, second: OrientedBox) -> float:
    """IoU of two boxes in any orientation: the hull of the faces of each, clipped by the other."""
    points = np.concatenate([_clipped_faces(first, second), _clipped_faces(second, first)])
    shared = _hull_volume(points, scale=min(float(first.half.min()), float(second.half.min())))
    return shared / (first.volume + second.volume - shared)


def _clipped_faces(box: OrientedBox, by: OrientedBox) -> Floats:
    """The corners (N x 3) of the faces of ``box`` after everything outside ``by`` is cut away."""
    local = ((box.corners() - by.centre) @ by.rotation) / by.half  # ``by`` is [-1, 1]^3 here
    kept = [_clipped(local[list(face)]) for face in _FACES]
    points = np.concatenate(kept)
    world: Floats = by.centre + (points * by.half) @ by.rotation.T
    return world


def _clipped(polygon: Floats) -> Floats:
    """A convex polygon (N x 3) within the cube [-1, 1]^3, one plane after another (Sutherland and Hodgman 1974)."""
    for axis, sign in product(range(3), (-1.0, 1.0)):
        if len(polygon) == 0:
            break
        inside = 1.0 + ROUNDING - sign * polygon[:, axis]
        following = np.roll(polygon, -1, axis=0)
        then = np.roll(inside, -1)
        corners = []
        for here, there, now, after in zip(polygon, following, inside, then, strict=True):
            if now >= 0:
                corners.append(here)
            if (now > 0 > after) or (now < 0 < after):
                corners.append(here + (there - here) * (now / (now - after)))
        polygon = np.array(corners).reshape(-1, 3)
    return polygon


def _hull_volume(points: Floats, *, scale: float) -> float:
    """Volume of the convex hull; 0 for what is flat, however it came to be."""
    if len(points) < 4 or np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-9 * scale) < 3:
        return 0.0
    try:
        return float(ConvexHull(points).volume)
    except QhullError:  # flat within its own rounding, though not within ours
        return 0.0
