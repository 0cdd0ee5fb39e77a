"""Shape metrics by the paper's protocol (sam3d facts 7.1): each shape in [-1, 1], ICP onto the truth, then points.

Choices where the paper says nothing, and where its million points would take too long: rigid ICP from where both lie;
plain means; F-scores of 30,000 points that look for their nearest among 100,000 of the other surface, Chamfer distances
of 5,000 among 30,000 (the density of the set that is looked into sets the floor, the number of points that look sets
only the noise); EMD of 512 with 512. The floor, two samplings of one surface, says what the sampling costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.metrics.alignment import icp, to_unit_range
from training.metrics.sampling import SampledSurface
from training.metrics.surface import NearestDistances
from training.metrics.transport import EMD_POINTS, earth_movers_distance

SURFACE_POINTS = 100_000  # to be sampled on each surface
F_POINTS = 30_000  # that look for their nearest among all, each way, up to COARSE away
CHAMFER_POINTS = 5_000  # that look for their nearest among F_POINTS, each way, however far
ICP_POINTS, ICP_TARGET, POLISH_ROUNDS = 800, 2_000, 4
FINE, COARSE = 0.01, 0.05  # F-score thresholds, where the longest side is 2

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ShapeMetrics:
    """One guess against its truth, lengths where the truth's longest side is 2."""

    f1_001: float
    f1_005: float
    chamfer: float
    chamfer_squared: float
    emd: float


#: What a guess without any surface gets: as if it lay as far away as a corner of the cube from its middle.
NO_SHAPE = ShapeMetrics(f1_001=0.0, f1_005=0.0, chamfer=3.0**0.5, chamfer_squared=3.0, emd=3.0**0.5)


class TrueShape:
    """A truth prepared once for many guesses. ``surface`` holds at least EMD_POINTS points, better SURFACE_POINTS."""

    def __init__(self, surface: SampledSurface, *, rng: Generator) -> None:
        if len(surface.points) < EMD_POINTS:
            raise ValueError(f"at least {EMD_POINTS} points are needed, not {len(surface.points)}")
        points = to_unit_range(surface, surface.points)
        self._cloud = _Cloud(points, rng)
        self._coarse = cKDTree(_some(points, ICP_TARGET, rng))

    def measure(self, guess: SampledSurface, *, rng: Generator) -> ShapeMetrics:
        """A guess's surface in any frame that is turned as the truth's is, up to what ICP finds again."""
        cloud = _Cloud(self.aligned(guess, rng=rng), rng)
        within, beyond = self._within(cloud), self._beyond(cloud)
        return ShapeMetrics(
            f1_001=within.f_score(threshold=FINE),
            f1_005=within.f_score(threshold=COARSE),
            chamfer=beyond.chamfer(),
            chamfer_squared=beyond.chamfer_squared(),
            emd=earth_movers_distance(cloud.for_emd, self._cloud.for_emd),
        )

    def aligned(self, guess: SampledSurface, *, rng: Generator) -> Floats:
        """The guess's points in [-1, 1] and then where ICP moves them: towards few points first, then towards more."""
        points = to_unit_range(guess, guess.points)
        few = _some(points, ICP_POINTS, rng)
        near = icp(few, self._coarse, kind="rigid")
        return icp(few, self._cloud.sparse, kind="rigid", start=near, rounds=POLISH_ROUNDS).apply(points)

    def floor(self, again: SampledSurface, *, rng: Generator) -> float:
        """F1@0.01 of the same surface sampled a second time: the best that a guess can hope for."""
        return self._within(_Cloud(to_unit_range(again, again.points), rng)).f_score(threshold=FINE)

    def _within(self, cloud: _Cloud) -> NearestDistances:
        """Distances up to COARSE, infinite beyond: all that F-scores need, and quick to find."""
        bound = float(np.nextafter(COARSE, 1.0))
        return NearestDistances(
            there=self._cloud.tree.query(cloud.for_f, distance_upper_bound=bound)[0],
            back=cloud.tree.query(self._cloud.for_f, distance_upper_bound=bound)[0],
        )

    def _beyond(self, cloud: _Cloud) -> NearestDistances:
        return NearestDistances(
            there=self._cloud.sparse.query(cloud.for_chamfer)[0],
            back=cloud.sparse.query(self._cloud.for_chamfer)[0],
        )


class _Cloud:
    """A surface's points as trees to look into, and those of them that look into another's."""

    def __init__(self, points: Floats, rng: Generator) -> None:
        looking = _some(points, F_POINTS, rng)
        self.tree, self.sparse = cKDTree(points, leafsize=64), cKDTree(looking, leafsize=64)
        self.for_f, self.for_chamfer = _sorted(looking), _sorted(looking[:CHAMFER_POINTS])
        self.for_emd = looking[:EMD_POINTS]


def _sorted(points: Floats) -> Floats:
    """The same points, neighbours together: a tree answers such a series sooner."""
    ordered: Floats = points[np.lexsort(np.floor(points * 20).T)]
    return ordered


def _some(points: Floats, count: int, rng: Generator) -> Floats:
    """Points drawn without replacement, in random order; all of them where there are no more."""
    return points[rng.choice(len(points), min(count, len(points)), replace=False)]
