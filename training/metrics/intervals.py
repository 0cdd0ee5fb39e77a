"""Bootstrap intervals of a mean over objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95 % percentile-bootstrap interval over ``count`` objects."""

    mean: float
    low: float
    high: float
    count: int

    def as_dict(self) -> dict[str, float]:
        """For reports, rounded to four digits."""
        return {
            "mean": round(self.mean, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "n": self.count,
        }


def bootstrap_mean(values: ArrayLike, *, seed: int = 0, draws: int = 2000) -> Estimate:
    """Resample the objects with replacement; ValueError when there is none."""
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or len(data) == 0:
        raise ValueError("a bootstrap needs a list of numbers, one per object")
    picks = np.random.default_rng(seed).integers(0, len(data), (draws, len(data)))
    low, high = np.percentile(data[picks].mean(axis=1), [2.5, 97.5])
    return Estimate(mean=float(data.mean()), low=float(low), high=float(high), count=len(data))
