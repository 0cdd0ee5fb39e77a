"""Pose errors: rotation in degrees, translation relative to the object's size, scale as a log ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def rotation_error_deg(first: Floats, second: Floats) -> float:
    """Angle between two 3 x 3 rotations, in degrees."""
    cosine = (float(np.trace(first.T @ second)) - 1.0) / 2.0
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def translation_error(first: Floats, second: Floats, *, size: float) -> float:
    """Distance between two translations as a share of the object's size."""
    return float(np.linalg.norm(first - second) / size)


def scale_error(first: float, second: float) -> float:
    """Absolute log ratio of two scales."""
    return float(abs(np.log(first / second)))
