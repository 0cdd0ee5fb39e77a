"""How sure a number is: Beta posteriors, and a bootstrap over tasks, whose judgements are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ranking.distributions import betainc, betaincinv

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One number with where ``confidence`` of its uncertainty lies."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is known of a share after counting: Beta(a, b)."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """The mean with the central credible interval."""
        edge = (1 - confidence) / 2
        low, high = betaincinv(self.a, self.b, edge), betaincinv(self.a, self.b, 1 - edge)
        return Estimate(value=self.mean, low=low, high=high)

    def probability_above(self, share: float) -> float:
        return 1.0 - betainc(self.a, self.b, share)


def posterior_of(hits: float, misses: float, *, prior: tuple[float, float] = (1.0, 1.0)) -> Posterior:
    """Beta posterior after ``hits`` and ``misses`` (may be fractions of a count) under a Beta ``prior``."""
    if hits < 0 or misses < 0 or min(prior) <= 0:
        raise ValueError("counts are not negative and a prior is positive")
    return Posterior(a=prior[0] + hits, b=prior[1] + misses)


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Per item: the estimate from all judgements, and where ``confidence`` of the resampled estimates lie.

    ``samples`` (num_samples, items) are the resampled estimates themselves.
    """

    estimate: Floats
    low: Floats
    high: Floats
    confidence: float
    samples: Floats

    def of(self, item: int) -> Estimate:
        return Estimate(
            value=float(self.estimate[item]), low=float(self.low[item]), high=float(self.high[item])
        )


def bootstrap_over_tasks(
    fit: Callable[[Floats], Floats],
    *,
    tasks: Ints,
    rng: np.random.Generator,
    num_samples: int = 200,
    confidence: float = 0.95,
) -> Intervals:
    """``fit`` takes a weight per judgement (M) and gives strengths; whole tasks are drawn with replacement.

    ``tasks`` (M) names each judgement's task.
    """
    if tasks.ndim != 1 or tasks.size == 0:
        raise ValueError("tasks must name the task of at least one judgement")
    if not 0 < confidence < 1:
        raise ValueError("confidence lies between 0 and 1")
    names, place = np.unique(tasks, return_inverse=True)
    samples = []
    for _ in range(num_samples):
        drawn = np.bincount(rng.integers(names.size, size=names.size), minlength=names.size)
        samples.append(fit(drawn[place].astype(np.float64)))
    edge = (1 - confidence) / 2
    stacked = np.stack(samples)
    low, high = np.quantile(stacked, [edge, 1 - edge], axis=0)
    return Intervals(
        estimate=fit(np.ones(tasks.size)), low=low, high=high, confidence=confidence, samples=stacked
    )


@dataclass(frozen=True, kw_only=True)
class RankRange:
    """The ranks (1 is best) that an item may hold: one between ``best`` and ``worst``."""

    best: int
    worst: int


def rank_ranges(intervals: Intervals) -> tuple[RankRange, ...]:
    """Per item the ranks it may hold, from differences: another is above only if it is so in ``confidence`` of samples.

    An item's best rank counts those that are surely stronger, its worst rank all but those that are surely weaker;
    a difference is sure when its own bootstrap interval does not hold 0.
    """
    samples = intervals.samples
    num_items = samples.shape[1]
    edge = (1 - intervals.confidence) / 2
    gaps = samples[:, :, None] - samples[:, None, :]
    surely_above = np.quantile(gaps, edge, axis=0) > 0  # [i, j]: i above j
    return tuple(
        RankRange(best=1 + int(surely_above[:, item].sum()), worst=num_items - int(surely_above[item].sum()))
        for item in range(num_items)
    )
