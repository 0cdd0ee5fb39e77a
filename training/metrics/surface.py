"""Point-set distances between surfaces: Chamfer (plain and squared) and F-score, with the floor that sampling sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class NearestDistances:
    """From each point of one set to the nearest of the other: ``there`` (N) and ``back`` (M), in the points' unit."""

    there: Points
    back: Points

    def f_score(self, *, threshold: float) -> float:
        """Harmonic mean of the shares of points within ``threshold`` of the other set; few points set it a floor."""
        precision = float((self.there <= threshold).mean())
        recall = float((self.back <= threshold).mean())
        return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)

    def chamfer(self) -> float:
        """Mean of the two mean distances, not squared."""
        return float((self.there.mean() + self.back.mean()) / 2)

    def chamfer_squared(self) -> float:
        """Mean of the two mean squared distances."""
        return float(((self.there**2).mean() + (self.back**2).mean()) / 2)


def nearest_distances(first: Points, second: Points) -> NearestDistances:
    """Both ways between N x 3 and M x 3 points; ValueError when a set is empty."""
    assert first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1] == 3, (
        first.shape,
        second.shape,
    )
    if len(first) == 0 or len(second) == 0:
        raise ValueError("both point sets need at least one point")
    return NearestDistances(there=cKDTree(second).query(first)[0], back=cKDTree(first).query(second)[0])


def chamfer_distance(first: Points, second: Points) -> float:
    """Mean of the two mean nearest-neighbour distances (not squared), in the points' unit."""
    return nearest_distances(first, second).chamfer()


def squared_chamfer_distance(first: Points, second: Points) -> float:
    """Mean of the two mean squared nearest-neighbour distances, in the points' unit squared."""
    return nearest_distances(first, second).chamfer_squared()


def f_score(first: Points, second: Points, *, threshold: float) -> float:
    """Harmonic mean of the shares of points within ``threshold`` of the other set; few points set it a floor."""
    return f_score_to(cKDTree(second), first, threshold=threshold)


def f_score_to(tree: cKDTree, points: Points, *, threshold: float) -> float:
    """``f_score`` of N x 3 points and those of a tree, for one shape that many are held against.

    Only what lies within the threshold is looked for, which is found sooner. ValueError when a set is empty.
    """
    if len(points) == 0 or tree.n == 0:
        raise ValueError("both point sets need at least one point")
    bound = float(np.nextafter(threshold, np.inf))  # the tree's own bound is exclusive
    found = NearestDistances(
        there=tree.query(points, distance_upper_bound=bound)[0],
        back=cKDTree(points).query(tree.data, distance_upper_bound=bound)[0],
    )
    return found.f_score(threshold=threshold)


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
