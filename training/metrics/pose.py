"""Pose errors: rotation in degrees, translation relative to the object's size, scale as a log ratio, and ADD-S."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.distance import pdist

Floats = NDArray[np.floating]

ADD_S_BAR = 0.1  # of the truth's diameter, below which ADD-S@0.1 counts a pose as right
_CUBE = np.array(list(product((-0.5, 0.5), repeat=3)))


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


def pose_distance(first: Floats, second: Floats, *, size: float) -> float:
    """RMS way of the unit cube's corners from one 4 x 4 pose T_camera_object to another, as a share of ``size``."""
    assert first.shape == second.shape == (4, 4), (first.shape, second.shape)
    change = first - second
    moved = _CUBE @ change[:3, :3].T + change[:3, 3]
    return float(np.sqrt((moved**2).sum(axis=1).mean()) / size)


def diameter(points: Floats) -> float:
    """The largest distance between two of N x 3 points (a few thousand at most); ValueError for fewer than two."""
    if len(points) < 2:
        raise ValueError("a diameter needs at least two points")
    try:
        outermost = points[ConvexHull(points).vertices]
    except QhullError:  # few points, or all in one plane
        outermost = points
    return float(pdist(outermost).max())


def add(first: Floats, second: Floats) -> float:
    """ADD(A, B) of sam3d facts 7.1: the mean distance from N x 3 points to the nearest of M x 3 others. One way."""
    if len(first) == 0 or len(second) == 0:
        raise ValueError("both point sets need at least one point")
    return float(cKDTree(second).query(first)[0].mean())


def add_s(guess: Floats, truth: Floats) -> float:
    """ADD-S as SAM 3D has it: both ways, averaged, over the truth's diameter. Posed points, camera frame."""
    return (add(guess, truth) + add(truth, guess)) / (2.0 * diameter(truth))


def add_s_one_sided(guess: Floats, truth: Floats) -> float:
    """ADD-S as PoseCNN has it: from the truth to the guess only, over the truth's diameter.

    Kinder than ``add_s`` to a guess that covers the truth and much else.
    """
    return add(truth, guess) / diameter(truth)
