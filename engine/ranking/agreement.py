"""How far judgements of the same thing agree, beyond what chance would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.ranking.intervals import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["nominal", "ordinal"]


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """``observed`` share of agreeing pairs of people, ``chance`` of agreeing by luck, and what lies beyond it."""

    num_tasks: int
    num_pairs: int
    observed: Estimate
    chance: float
    beyond_chance: Estimate  # 0 as luck would have it, 1 always the same


def krippendorff_alpha(values: Floats, *, level: Level) -> float:
    """Krippendorff's alpha of ``values`` (raters, units), NaN where a rater said nothing.

    1 is perfect agreement, 0 what chance gives. NaN when no unit was judged twice, or all values are the same.
    """
    return _alpha(_counts(values)[1], level, weights=None)


def alpha_with_interval(
    values: Floats,
    *,
    level: Level,
    rng: np.random.Generator,
    num_samples: int = 200,
    confidence: float = 0.95,
) -> Estimate | None:
    """Alpha with the interval of a bootstrap over units; None where there is no alpha."""
    counts = _counts(values)[1]
    value = _alpha(counts, level, weights=None)
    if np.isnan(value):
        return None
    num_units = counts.shape[0]

    def resampled() -> float:
        drawn = np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)
        return _alpha(counts, level, weights=drawn.astype(np.float64))

    return _interval(value, resampled, num_samples, confidence)


def pick_agreement(
    *,
    task: Ints,
    label: Ints,
    num_options: Ints,
    rng: np.random.Generator,
    num_samples: int = 200,
    confidence: float = 0.95,
) -> Agreed | None:
    """How often two people pick the same, against 1/N; one entry per answer, ``num_options`` of its task.

    Every pair of answers to one task counts once; the interval is of a bootstrap over tasks. None when no task was
    answered twice.
    """
    names, row = np.unique(task, return_inverse=True)
    if names.size == 0:
        return None
    width = int(num_options.max())
    counts = np.bincount(row * width + label, minlength=names.size * width).reshape(names.size, width)
    number = counts.sum(axis=1)
    pairs = number * (number - 1) / 2.0
    same = (counts * (counts - 1)).sum(axis=1) / 2.0
    options = np.zeros(names.size)
    options[row] = num_options
    kept = pairs > 0
    if not kept.any():
        return None
    pairs, same, by_luck = pairs[kept], same[kept], pairs[kept] / options[kept]

    def shares(weights: Floats) -> tuple[float, float]:
        total = float(weights @ pairs)
        return float(weights @ same) / total, float(weights @ by_luck) / total

    def draw() -> tuple[float, float]:
        weights = np.bincount(rng.integers(pairs.size, size=pairs.size), minlength=pairs.size)
        observed, chance = shares(weights.astype(np.float64))
        return observed, (observed - chance) / (1 - chance)

    observed, chance = shares(np.ones(pairs.size))
    drawn = np.array([draw() for _ in range(num_samples)])
    edge = (1 - confidence) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge], axis=0)
    return Agreed(
        num_tasks=int(pairs.size),
        num_pairs=int(pairs.sum()),
        observed=Estimate(value=observed, low=float(low[0]), high=float(high[0])),
        chance=chance,
        beyond_chance=Estimate(
            value=(observed - chance) / (1 - chance), low=float(low[1]), high=float(high[1])
        ),
    )


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one size; 1 for two empty ones."""
    if first.shape != second.shape:
        raise ValueError(f"masks of one photograph have one size, not {first.shape} and {second.shape}")
    union = int(np.logical_or(first, second).sum())
    return int(np.logical_and(first, second).sum()) / union if union else 1.0


def _counts(values: Floats) -> tuple[Floats, Floats]:
    """The values that occur, and how often each was said of each unit (units, values), of units judged twice."""
    if values.ndim != 2:
        raise ValueError("values must be (raters, units)")
    said = np.unique(values[~np.isnan(values)])
    counts = (values[:, :, None] == said).sum(axis=0).astype(np.float64)
    return said, counts[counts.sum(axis=1) > 1]


def _alpha(counts: Floats, level: Level, *, weights: Floats | None) -> float:
    """By the matrix of coincidences; ``weights`` counts units."""
    if counts.shape[0] == 0:
        return float("nan")
    number = counts.sum(axis=1)
    scale = (np.ones(number.size) if weights is None else weights) / (number - 1)
    coincidences = (counts * scale[:, None]).T @ counts
    coincidences -= np.diag((counts * scale[:, None]).sum(axis=0))
    margin = coincidences.sum(axis=1)
    distance = _distances(margin, level)
    expected = float((np.outer(margin, margin) * distance).sum())
    if expected == 0:
        return float("nan")
    observed = float((coincidences * distance).sum())
    return 1 - float(margin.sum() - 1) * observed / expected


def _distances(margin: Floats, level: Level) -> Floats:
    """Squared distances of values; ordinal ones by how many were said in between."""
    if level == "nominal":
        return 1.0 - np.eye(margin.size)
    below = np.cumsum(margin) - margin / 2
    between: Floats = (below[:, None] - below[None, :]) ** 2
    return between


def _interval(value: float, draw: Callable[[], float], num_samples: int, confidence: float) -> Estimate:
    drawn = np.array([draw() for _ in range(num_samples)])
    drawn = drawn[~np.isnan(drawn)]
    edge = (1 - confidence) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge]) if drawn.size else (value, value)
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)))
