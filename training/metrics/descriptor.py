"""A shape in 59 numbers that lie near one another for shapes alike: of distances, heights, radii and sides.

Osada et al. (2002), "Shape distributions": the histogram D2 of distances between random pairs of surface points tells
shapes apart whatever their triangles. With it stand where the surface lies along and about the upright axis, and the
box's sides. All but the sides are square roots of histograms, so that plain distances are Hellinger's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Raised when the numbers change: old rows are then made anew.
VERSION = 1
POINTS, PAIRS = 2048, 8192
D2_BINS, HEIGHT_BINS, RADIUS_BINS = 32, 16, 8
NUM_VALUES = D2_BINS + HEIGHT_BINS + RADIUS_BINS + 3
SEED = 20_211


def describe(vertices: Floats, faces: NDArray[np.int64]) -> Floats:
    """The numbers of a surface: ``vertices`` (V, 3) Z-up, ``faces`` (F, 3). The same surface gives the same numbers.

    Its box is put to the middle and its longest side to 1 first; a turn about the upright axis by a quarter changes
    nothing. Raises ValueError for a surface without extent, without faces or with numbers that are not finite.
    """
    if not len(faces) or not np.isfinite(vertices).all():
        raise ValueError("a surface needs faces and finite vertices")
    points = _on_surface(vertices[faces], rng=np.random.default_rng(SEED))
    low, high = points.min(axis=0), points.max(axis=0)
    longest = float((high - low).max())
    points = (points - (low + high) / 2) / longest
    rng = np.random.default_rng(SEED + 1)
    first, second = rng.integers(len(points), size=(2, PAIRS))
    distances = np.linalg.norm(points[first] - points[second], axis=1)
    sides = (high - low) / longest
    across = np.sort(sides[:2])
    return np.concatenate(
        [
            _histogram(distances, bins=D2_BINS, top=3**0.5),
            _histogram(points[:, 2] + 0.5, bins=HEIGHT_BINS, top=1.0),
            _histogram(np.linalg.norm(points[:, :2], axis=1), bins=RADIUS_BINS, top=0.5**0.5),
            [across[0], across[1], sides[2]],
        ]
    )


def _on_surface(corners: Floats, *, rng: np.random.Generator) -> Floats:
    """POINTS points on triangles (F, 3, 3), uniform by area."""
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    if not areas.sum() > 0:
        raise ValueError("the surface has no extent")
    chosen = rng.choice(len(corners), size=POINTS, p=areas / areas.sum())
    along = rng.random((POINTS, 2))
    along = np.where(along.sum(axis=1, keepdims=True) > 1, 1 - along, along)
    points: Floats = corners[chosen, 0] + np.einsum("pi,pij->pj", along, edges[chosen])
    return points


def _histogram(values: Floats, *, bins: int, top: float) -> Floats:
    """Square roots of the shares in ``bins`` equal bins of [0, top]."""
    counts, _ = np.histogram(np.clip(values, 0, top), bins=bins, range=(0, top))
    shares: Floats = np.sqrt(counts / counts.sum())
    return shares
