"""Point-set distances between surfaces: Chamfer and F-score, with the floor that sampling sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.floating]


def chamfer_distance(first: Points, second: Points) -> float:
    """Mean of the two mean nearest-neighbour distances (not squared), in the points' unit."""
    there, back = _nearest(first, second)
    return float((there.mean() + back.mean()) / 2)


def f_score(first: Points, second: Points, *, threshold: float) -> float:
    """Harmonic mean of the shares of points within ``threshold`` of the other set; few points set it a floor."""
    there, back = _nearest(first, second)
    precision, recall = float((there <= threshold).mean()), float((back <= threshold).mean())
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def surface_points(grid: NDArray[np.bool_], *, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``count`` points on the exposed voxel faces of a unit cube's grid, uniform by area; ValueError when empty."""
    if not grid.any():
        raise ValueError("an empty grid has no surface")
    padded = np.pad(grid, 1)
    cells, axes, signs = [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            exposed = np.argwhere(padded & ~np.roll(padded, -sign, axis=axis)) - 1
            cells.append(exposed)
            axes.append(np.full(len(exposed), axis))
            signs.append(np.full(len(exposed), sign))
    cell, axis_of, sign_of = np.concatenate(cells), np.concatenate(axes), np.concatenate(signs)
    chosen = rng.integers(0, len(cell), count)
    points = cell[chosen] + rng.random((count, 3))
    rows = np.arange(count)
    points[rows, axis_of[chosen]] = cell[chosen][rows, axis_of[chosen]] + (sign_of[chosen] > 0)
    placed: NDArray[np.float64] = points / grid.shape[0] - 0.5
    return placed


def _nearest(first: Points, second: Points) -> tuple[Points, Points]:
    if len(first) == 0 or len(second) == 0:
        raise ValueError("both point sets need at least one point")
    return cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
