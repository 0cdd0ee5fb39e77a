"""Layouts, poses and point maps of the released SAM 3D weights, in their axes and in ours.

Theirs: the camera is PyTorch3D's (x left, y up, z forward) and points are rows, x_camera = (s * x_object) @ R + t.
Ours: the camera is OpenCV's (x right, y down, z forward) and points are columns, x_camera = R @ (s * x_object) + t.
With C = diag(-1, -1, 1) between the cameras, R_ours = C R_theirs^T and t_ours = C t_theirs. Both objects are Z-up.

A raw layout is 13 numbers (models.geometry.LAYOUT_SIZES) in the frame of the normalised point map, not standardised:
6D rotation (the first two columns of each side's own R), translation, log scale per axis, log translation scale.
Source: sam3d facts 1.2 and 2.4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzoo.contracts import Pose, Unit
from modelzoo.frames import pose_from_parts, rotation_from_wxyz

LAYOUT_DIM = 13
ROTATION, TRANSLATION, LOG_SCALE = slice(0, 6), slice(6, 9), slice(9, 12)

#: What the released weights' raw layouts are standardised with: only the 6D rotation is (facts 2.4).
RELEASED_LAYOUT_MEAN = (-0.06366, 0.00844, 0.00017, 0.00071, -0.00309, 0.51661, *[0.0] * 7)
RELEASED_LAYOUT_STD = (0.66570, 0.67870, 0.30345, 0.43945, 0.39818, 0.61763, *[1.0] * 7)

Floats = NDArray[np.float64]

_CAMERA = np.array([-1.0, -1.0, 1.0])  # the diagonal of C; it is its own inverse


def points_from_pytorch3d(points: ArrayLike) -> Floats:
    """PyTorch3D camera points (..., 3) as OpenCV camera points; NaN stays NaN. Raises ValueError for another shape."""
    values = np.asarray(points, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != 3:
        raise ValueError(f"points are (..., 3), not {values.shape}")
    return np.asarray(values * _CAMERA)


def pytorch3d_from_points(points: ArrayLike) -> Floats:
    """OpenCV camera points (..., 3) as PyTorch3D camera points: the same half turn about z."""
    return points_from_pytorch3d(points)


def layout_from_released(layout: ArrayLike) -> Floats:
    """Raw layouts (..., 13) of the released weights as ours: a proper rotation and one scale, the mean of their three.

    Raises ValueError for another shape or a rotation whose columns are parallel or zero.
    """
    values = _layout(layout)
    theirs = rotation_from_6d(values[..., ROTATION])
    ours = _CAMERA[:, None] * np.swapaxes(theirs, -1, -2)
    scale = np.exp(values[..., LOG_SCALE]).mean(axis=-1, keepdims=True)
    return np.concatenate(
        [
            ours[..., :, 0],
            ours[..., :, 1],
            values[..., TRANSLATION] * _CAMERA,
            np.repeat(np.log(scale), 3, axis=-1),
            values[..., 12:],
        ],
        axis=-1,
    )


def released_from_layout(layout: ArrayLike) -> Floats:
    """Our raw layouts (..., 13) as the released weights have them; the inverse of ``layout_from_released``."""
    values = _layout(layout)
    ours = rotation_from_6d(values[..., ROTATION])
    theirs = np.swapaxes(_CAMERA[:, None] * ours, -1, -2)
    return np.concatenate(
        [
            theirs[..., :, 0],
            theirs[..., :, 1],
            values[..., TRANSLATION] * _CAMERA,
            values[..., LOG_SCALE],
            values[..., 12:],
        ],
        axis=-1,
    )


def pose_from_released(
    *, rotation_wxyz: ArrayLike, translation: ArrayLike, scale: ArrayLike, unit: Unit
) -> Pose:
    """T_camera_object of the official pipeline's decoded pose (facts 8.4): R(q), t, and the mean of its scales."""
    theirs = rotation_from_wxyz(np.asarray(rotation_wxyz, dtype=np.float64).reshape(4))
    return pose_from_parts(
        rotation=_CAMERA[:, None] * theirs.T,
        translation=np.asarray(translation, dtype=np.float64).reshape(3) * _CAMERA,
        scale=float(np.mean(np.asarray(scale, dtype=np.float64))),
        unit=unit,
    )


def rotation_from_6d(values: ArrayLike) -> Floats:
    """Rotations (..., 3, 3) whose first two columns are the two halves of (..., 6), made orthonormal (Gram-Schmidt)."""
    six = np.asarray(values, dtype=np.float64)
    first, second = six[..., :3], six[..., 3:]
    first = _unit(first)
    second = _unit(second - first * (first * second).sum(axis=-1, keepdims=True))
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 1e-9).all()):
        raise ValueError("a 6D rotation needs two finite columns that are not parallel")
    return np.asarray(vectors / length)


def _layout(layout: ArrayLike) -> Floats:
    values = np.asarray(layout, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != LAYOUT_DIM:
        raise ValueError(f"a layout is {LAYOUT_DIM} numbers, not {values.shape}")
    return values
