"""The pre-filter: of N = 50 candidates the eight that a reward likes best go to people; and what that gains.

SAM 3D, appendix E.7: this recovers targets that eight plain candidates would have lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.intervals import bootstrap_mean

Floats = NDArray[np.float64]
SHOWN = 8


def best_by_reward(rewards: Floats, *, keep: int = SHOWN) -> NDArray[np.int64]:
    """T x keep candidate numbers, the highest rewards (T x N) first; ties go to the earlier candidate."""
    if rewards.ndim != 2 or not 1 <= keep <= rewards.shape[1]:
        raise ValueError(f"cannot keep {keep} of the candidates of {rewards.shape}")
    if not np.isfinite(rewards).all():
        raise ValueError("a reward is not finite")
    return np.argsort(-rewards, axis=1, kind="stable")[:, :keep]


def expected_best(quality: Floats, *, keep: int = SHOWN) -> Floats:
    """T expected maxima of ``keep`` candidates drawn without replacement from each row of T x N, exactly.

    The i-th smallest of N is the maximum with probability C(i - 1, keep - 1) / C(N, keep).
    """
    num = quality.shape[1]
    if not 1 <= keep <= num:
        raise ValueError(f"cannot draw {keep} of {num} candidates")
    rank = np.arange(num, dtype=np.float64)
    below = np.ones(num)
    for k in range(keep - 1):
        below *= np.maximum(rank - k, 0.0) / (num - 1 - k)
    weights = below * keep / num
    expected: Floats = np.sort(quality, axis=1) @ weights
    return expected


@dataclass(frozen=True, kw_only=True)
class Yield:
    """Means over T targets of the best true quality among what people are shown (T each)."""

    plain: Floats  # eight at random: the expectation
    filtered: Floats  # the eight of the highest rewards
    everything: Floats  # all N: what a perfect reward would keep

    @property
    def recovered(self) -> float:
        """The share of what everything has over plain that the filter keeps: 1 for a perfect reward, 0 for chance."""
        gap = float((self.everything - self.plain).mean())
        return float((self.filtered - self.plain).mean()) / gap if gap > 0 else float("nan")

    def as_dict(self, *, seed: int = 0, draws: int = 2000) -> dict[str, object]:
        """For reports: each mean, the gain, and the recovered share with its bootstrap interval over targets."""
        picks = np.random.default_rng(seed).integers(0, len(self.plain), (draws, len(self.plain)))
        gained, gap = self.filtered - self.plain, self.everything - self.plain
        shares = gained[picks].mean(axis=1) / np.maximum(gap[picks].mean(axis=1), 1e-12)
        low, high = np.percentile(shares, [2.5, 97.5])
        return {
            "plain": round(float(self.plain.mean()), 4),
            "filtered": round(float(self.filtered.mean()), 4),
            "everything": round(float(self.everything.mean()), 4),
            "gain": bootstrap_mean(gained, seed=seed, draws=draws).as_dict(),
            "recovered": {
                "mean": round(self.recovered, 4),
                "low": round(float(low), 4),
                "high": round(float(high), 4),
            },
        }


def recovered_yield(rewards: Floats, quality: Floats, *, keep: int = SHOWN) -> Yield:
    """What keeping ``keep`` of N candidates by reward does to the best that people can pick (T x N each)."""
    if rewards.shape != quality.shape:
        raise ValueError(f"rewards {rewards.shape} and qualities {quality.shape} are of other candidates")
    kept = np.take_along_axis(quality, best_by_reward(rewards, keep=keep), axis=1)
    return Yield(
        plain=expected_best(quality, keep=keep), filtered=kept.max(axis=1), everything=quality.max(axis=1)
    )
