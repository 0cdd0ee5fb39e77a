"""Bootstrap intervals of a mean over objects, and paired differences with their standard error."""

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


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Child minus parent on the same objects: the mean, its standard error, and its 95 % bootstrap interval."""

    mean: float
    standard_error: float
    low: float
    high: float
    count: int

    def as_dict(self) -> dict[str, float]:
        """For reports, rounded to four digits."""
        return {
            "difference": round(self.mean, 4),
            "standard_error": round(self.standard_error, 4),
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


def paired_difference(
    child: ArrayLike, parent: ArrayLike, *, seed: int = 0, draws: int = 2000
) -> PairedDifference:
    """Object by object; ValueError unless both hold one number for each of at least two objects."""
    one, other = np.asarray(child, dtype=np.float64), np.asarray(parent, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(
            f"a paired difference needs two equally long lists, not {one.shape} and {other.shape}"
        )
    change = one - other
    estimate = bootstrap_mean(change, seed=seed, draws=draws)
    return PairedDifference(
        mean=estimate.mean,
        standard_error=float(change.std(ddof=1) / np.sqrt(len(change))),
        low=estimate.low,
        high=estimate.high,
        count=len(change),
    )
