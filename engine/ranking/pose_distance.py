"""How far two poses of one shape lie apart, with its declared symmetries taken as equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engine.ranking.nearest import nearest_distances

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """T_camera_object: x_camera = R (scale x_object) + translation, in any one unit."""

    rotation_wxyz: tuple[float, float, float, float]
    translation: tuple[float, float, float]
    scale: float

    def matrix(self) -> Floats:
        """R (3, 3)."""
        return _matrix(self.rotation_wxyz)

    def apply(self, points: Floats) -> Floats:
        """Object points (P, 3) in the camera's frame."""
        moved: Floats = self.scale * points @ self.matrix().T + np.array(self.translation)
        return moved


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """Turns that leave the shape as it is: ``turns_wxyz``, and any turn about ``axis`` when there is one."""

    turns_wxyz: tuple[tuple[float, float, float, float], ...] = field(default=())
    axis: tuple[float, float, float] | None = None


NONE = Symmetry()
#: A vase: any turn about the upright axis.
UPRIGHT = Symmetry(axis=(0.0, 0.0, 1.0))


def rotation_distance(first: Placed, second: Placed, *, symmetry: Symmetry = NONE) -> float:
    """The smallest angle (radians, 0 to pi) that turns the first into the second or a twin of it."""
    turns = [
        np.eye(3),
        *(_matrix(turn) for turn in symmetry.turns_wxyz),
    ]
    a, b = first.matrix(), second.matrix()
    if (
        symmetry.axis is not None
    ):  # what is left of a rotation modulo all turns about an axis: where the axis points
        axis = np.array(symmetry.axis) / np.linalg.norm(symmetry.axis)
        return min(_angle_between(a @ axis, b @ turn @ axis) for turn in turns)
    return min(_angle_of(a.T @ b @ turn) for turn in turns)


def symmetric_add(first: Placed, second: Placed, *, points: Floats) -> float:
    """ADD-S over the diameter: mean distance to the nearest point of the other, both ways, of ``points`` (P, 3).

    Nearest, not corresponding, points: shapes that look the same count as placed the same. The diameter is of the
    second.
    """
    if points.ndim != 2 or points.shape[1] != 3 or points.shape[0] < 2:
        raise ValueError("points must be (P, 3) with at least two points")
    a, b = first.apply(points), second.apply(points)
    there, back = nearest_distances(b, a).mean(), nearest_distances(a, b).mean()
    return float((there + back) / (2 * _diameter(b)))


def box_displacement(first: Placed, second: Placed) -> float:
    """Mean distance of the unit cube's corresponding corners over the mean of the two diameters.

    For poses whose mesh is not at hand: it knows no symmetry.
    """
    corners = np.array(list(product((-0.5, 0.5), repeat=3)))
    moved = np.linalg.norm(first.apply(corners) - second.apply(corners), axis=1).mean()
    return float(moved / (math.sqrt(3) * (first.scale + second.scale) / 2))


def medoid(distances: Floats) -> int:
    """Which of N has the smallest sum of ``distances`` (N, N) to the others: a centre that outliers do not move."""
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or not distances.size:
        raise ValueError("distances must be square")
    return int(distances.sum(axis=1).argmin())


def pairwise(poses: Sequence[Placed]) -> Floats:
    """Box displacements (N, N)."""
    size = len(poses)
    found = np.zeros((size, size))
    for i in range(size):
        for j in range(i + 1, size):
            found[i, j] = found[j, i] = box_displacement(poses[i], poses[j])
    return found


def _angle_of(rotation: Floats) -> float:
    twice_sine = np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    return math.atan2(float(np.linalg.norm(twice_sine)), float(np.trace(rotation)) - 1)


def _matrix(rotation_wxyz: Sequence[float]) -> Floats:
    """The rotation of a quaternion of any length."""
    w, x, y, z = np.array(rotation_wxyz) / np.linalg.norm(rotation_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _angle_between(first: Floats, second: Floats) -> float:
    return math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second))


def _diameter(points: Floats) -> float:
    """The largest distance of two points, in blocks so that memory stays small."""
    return max(
        float(np.linalg.norm(points[start : start + 256, None] - points[None], axis=2).max())
        for start in range(0, len(points), 256)
    )
