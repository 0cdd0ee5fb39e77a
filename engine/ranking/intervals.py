"""How sure a ranking is: a bootstrap over tasks, since judgements of one task are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Per item: the estimate from all judgements, and where ``confidence`` of the resampled estimates lie."""

    estimate: Floats
    low: Floats
    high: Floats
    confidence: float


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
    low, high = np.quantile(np.stack(samples), [edge, 1 - edge], axis=0)
    return Intervals(estimate=fit(np.ones(tasks.size)), low=low, high=high, confidence=confidence)
