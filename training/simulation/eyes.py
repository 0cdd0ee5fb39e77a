"""What a simulated person looks at in a candidate: how much of its solid is right, or also where its surface lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.metrics.alignment import icp, to_unit_range
from training.metrics.sampling import sampled_grid
from training.metrics.surface import f_score_to
from training.simulation.proposals import Proposals
from training.simulation.targets import SimulatedTarget

Eyes = Literal["volume", "surface"]
LOOKED_AT = 2_000  # points of each surface
TURNED_BY = 400  # of them, to find how a candidate lies
CLOSE = 0.07  # where the longest side is 2: nearer is the same place to the eye

Floats = NDArray[np.float64]


def as_seen(eyes: Eyes, proposals: Proposals, targets: Sequence[SimulatedTarget]) -> Proposals:
    """The same candidates with their quality as these eyes have it.

    ``volume`` leaves the overlap that proposals come with. ``surface`` is its geometric mean with how alike the
    surfaces are: overlap alone prefers the fuller candidate, likeness alone the thinner one.
    """
    if eyes == "volume":
        return proposals
    return replace(proposals, quality=np.sqrt(proposals.quality * likeness(proposals, targets)))


def likeness(proposals: Proposals, targets: Sequence[SimulatedTarget]) -> Floats:
    """T x N F-scores of points within ``CLOSE`` of the other surface, each shape at its own size; 0 when empty.

    Who looks turns the shape, so a candidate that lies a little askew in its frame is turned back first (rigid ICP).
    """
    rows = []
    for row, target in enumerate(targets):
        rng = np.random.default_rng([*target.name.encode(), 5])
        truth = cKDTree(_points(target.truth, rng))
        rows.append([_f_score(grid, truth, rng) for grid in proposals.grids(row)])
    return np.array(rows, dtype=np.float64)


def _f_score(grid: NDArray[np.bool_], truth: cKDTree, rng: np.random.Generator) -> float:
    if not grid.any():
        return 0.0
    points = _points(grid, rng)
    turned = icp(points[:TURNED_BY], truth, kind="rigid").apply(points)
    return f_score_to(truth, turned, threshold=CLOSE)


def _points(grid: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    surface = sampled_grid(grid, count=LOOKED_AT, rng=rng)
    return to_unit_range(surface, surface.points)
