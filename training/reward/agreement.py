"""How often a reward agrees with judgements it was not trained on: pair accuracy, with intervals over targets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.metrics.intervals import Estimate
from training.reward.candidates import JudgedPairs

Floats = NDArray[np.float64]


def pair_agreement(rewards: Floats, pairs: JudgedPairs, *, seed: int = 0, draws: int = 2000) -> Estimate:
    """Share of judged pairs whose preferred half has the higher reward (T x N); equal rewards count half.

    The interval resamples targets, whose pairs are not independent. Raises ValueError without pairs.
    """
    if len(pairs) == 0:
        raise ValueError("agreement needs at least one judged pair")
    gap = rewards[pairs.target, pairs.chosen] - rewards[pairs.target, pairs.rejected]
    return _over_targets((gap > 0) + 0.5 * (gap == 0), pairs.target, seed=seed, draws=draws)


def true_pairs(quality: Floats) -> JudgedPairs:
    """Every pair of candidates of one target (T x N), the truly better one preferred; equal ones are left out."""
    target, chosen, rejected = np.nonzero(quality[:, :, None] > quality[:, None, :])
    return JudgedPairs(target=target, chosen=chosen, rejected=rejected)


def agreement_table(
    rewards: Mapping[str, Floats], judged: JudgedPairs, quality: Floats, *, seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Of each reward by name: agreement with the judgements, and with the truth that only a simulation knows."""
    truth = true_pairs(quality)
    return {
        name: {
            "judgements": pair_agreement(values, judged, seed=seed).as_dict(),
            "truth": pair_agreement(values, truth, seed=seed).as_dict(),
        }
        for name, values in rewards.items()
    }


def _over_targets(right: Floats, target: NDArray[np.int64], *, seed: int, draws: int) -> Estimate:
    """Mean over pairs with a percentile bootstrap over targets; ``count`` is the number of pairs."""
    _, owner = np.unique(target, return_inverse=True)
    sums, counts = np.bincount(owner, weights=right), np.bincount(owner)
    picks = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(mean=float(right.mean()), low=float(low), high=float(high), count=len(right))
