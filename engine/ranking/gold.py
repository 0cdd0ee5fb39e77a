"""Marks answers against known ones: overlap of masks, error of poses modulo symmetry, picks among good and bad."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]

#: Stands for a turn by any angle about the object's upward axis, as of a plate.
ANY_ANGLE = 0


@dataclass(frozen=True, kw_only=True)
class PoseError:
    """How far a pose is from the known one; lengths as shares of the object: its scale, its diameter."""

    rotation_deg: float
    translation_share: float
    scale_ratio: float  # the larger over the smaller scale, 1 when equal
    add_s_share: float


def mask_iou(one: Bits, other: Bits) -> float:
    """Intersection over union of two masks [H, W] of one size; 0 when both are empty."""
    assert one.shape == other.shape, (one.shape, other.shape)
    union = int(np.logical_or(one, other).sum())
    return int(np.logical_and(one, other).sum()) / union if union else 0.0


def is_right_pick(
    winner: int | None, *, best: Collection[int], avoid: Collection[int], shown: Collection[int]
) -> bool:
    """Whether the pick is one of ``best``, or, where nothing is best, none of ``avoid``.

    No winner ("none good enough") is right only when everything shown is to be avoided.
    """
    if winner is None:
        return bool(shown) and set(shown) <= set(avoid)
    return winner in best if best else winner not in avoid


def pose_error(
    *,
    known: tuple[Sequence[float], Sequence[float], float],
    given: tuple[Sequence[float], Sequence[float], float],
    points: Floats,
    symmetry_order: int = 1,
) -> PoseError:
    """The error of a pose (rotation_wxyz, translation, scale) of an object with surface ``points`` [N, 3] (Z-up).

    A turn of 360 / ``symmetry_order`` degrees about Z changes nothing; 0: any turn about Z. ADD-S is the mean distance
    from each known point to the nearest given one (Hinterstoisser et al. 2012, eq. 4), over the known diameter.
    """
    assert points.ndim == 2 and points.shape[1] == 3 and len(points) > 1, points.shape
    known_rotation, given_rotation = rotation_matrix(known[0]), rotation_matrix(given[0])
    known_at, given_at = np.asarray(known[1], dtype=float), np.asarray(given[1], dtype=float)
    known_points = known[2] * points @ known_rotation.T + known_at
    given_points = given[2] * points @ given_rotation.T + given_at
    return PoseError(
        rotation_deg=_angle_deg(known_rotation, given_rotation, symmetry_order=symmetry_order),
        translation_share=float(np.linalg.norm(given_at - known_at)) / known[2],
        scale_ratio=max(given[2] / known[2], known[2] / given[2]),
        add_s_share=_add_s(known_points, given_points) / _diameter(known_points),
    )


def rotation_matrix(wxyz: Sequence[float]) -> Floats:
    """The matrix [3, 3] of a quaternion of any length but 0."""
    w, x, y, z = np.asarray(wxyz, dtype=float) / np.linalg.norm(wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def cube_points() -> Floats:
    """Corners, middles of edges and of faces of the unit cube: [26, 3]; stands in for a shape that cannot be read."""
    return np.array([point for point in product((-0.5, 0.0, 0.5), repeat=3) if any(point)])


def _angle_deg(one: Floats, other: Floats, *, symmetry_order: int) -> float:
    if symmetry_order == ANY_ANGLE:  # only where the axis points is seen
        return float(np.degrees(np.arccos(np.clip(one[:, 2] @ other[:, 2], -1, 1))))
    turns = 2 * np.pi * np.arange(symmetry_order) / symmetry_order
    cosines = [(np.trace((one @ _about_z(turn)).T @ other) - 1) / 2 for turn in turns]
    return float(np.degrees(np.arccos(np.clip(max(cosines), -1, 1))))


def _about_z(angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _add_s(known: Floats, given: Floats) -> float:
    return float(_distances(known, given).min(axis=1).mean())


def _diameter(points: Floats) -> float:
    return float(_distances(points, points).max())


def _distances(one: Floats, other: Floats) -> Floats:
    distances: Floats = np.linalg.norm(one[:, None, :] - other[None, :, :], axis=2)
    return distances
