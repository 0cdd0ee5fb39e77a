"""Decides about a person from gold as it comes: Wald's test, and how much gold to give whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.ranking.drift import Cusum
from engine.ranking.intervals import Posterior


class Verdict(StrEnum):
    HONEST = "honest"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class WaldTest:
    """Is a person right with ``honest`` or only with ``bad``? Errors at most about ``false_alarm`` and ``miss``."""

    honest: float
    bad: float
    false_alarm: float = 0.01  # an honest person called bad
    miss: float = 0.01  # a bad person called honest

    def __post_init__(self) -> None:
        if not 0 < self.bad < self.honest < 1:
            raise ValueError("honest people are right more often than bad ones, neither always nor never")

    def verdict(self, outcomes: Iterable[bool]) -> Verdict:
        """What the outcomes, in their order, decide; the first decision stands."""
        evidence = 0.0
        for right in outcomes:
            evidence += self._step(right)
            if evidence >= self._clears:
                return Verdict.HONEST
            if evidence <= self._catches:
                return Verdict.BAD
        return Verdict.OPEN

    def expected_answers(self, *, truth: float, at_most: int = 2000) -> tuple[float, int]:
        """Mean and 95th percentile of the answers until the test decides on one who is right with ``truth``. Exact."""
        still = {0: 1.0}  # hits so far > probability of getting there undecided
        mean, decided, percentile = 0.0, 0.0, 0
        for number in range(1, at_most + 1):
            after: dict[int, float] = {}
            ended = 0.0
            for hits, probability in still.items():
                for hit, share in ((1, truth), (0, 1 - truth)):
                    now = hits + hit
                    evidence = now * self._step(True) + (number - now) * self._step(False)
                    if self._catches < evidence < self._clears:
                        after[now] = after.get(now, 0.0) + probability * share
                    else:
                        ended += probability * share
            mean += number * ended
            decided += ended
            if not percentile and decided >= 0.95:
                percentile = number
            still = after
            if decided > 1 - 1e-9:
                break
        return mean + at_most * (1 - decided), percentile or at_most

    @property
    def _clears(self) -> float:
        return math.log((1 - self.miss) / self.false_alarm)

    @property
    def _catches(self) -> float:
        return math.log(self.miss / (1 - self.false_alarm))

    def _step(self, right: bool) -> float:
        return math.log(self.honest / self.bad) if right else math.log((1 - self.honest) / (1 - self.bad))


@dataclass(frozen=True, kw_only=True)
class GoldPolicy:
    """How much of a person's work is gold: much at first, then little, more again when in doubt."""

    first: int = 6  # so many come early
    early: float = 0.5
    base: float = 0.05
    doubt: float = 0.15
    wide: float = 0.35  # a 95 % interval wider than this is doubt
    drifting: float = 0.25

    def rate(self, *, posterior: Posterior, num_answered: int, is_drifting: bool) -> float:
        """The share of the next tasks that should be gold."""
        if num_answered < self.first:
            return self.early
        if is_drifting:
            return self.drifting
        return self.doubt if posterior.estimate().width > self.wide else self.base


def share_of_gold(
    outcomes: Sequence[bool],
    *,
    test: WaldTest,
    floor: float,
    ceiling: float,
    policy: GoldPolicy | None = None,
) -> float:
    """How much of a person's next work should be gold, in [floor, ceiling]; ``outcomes`` on gold, oldest first.

    The policy's rate, and while the test is open or has decided against the person never less than in doubt.
    """
    rules = policy or GoldPolicy()
    hits = sum(outcomes)
    rate = rules.rate(
        posterior=Posterior(a=1.0 + hits, b=1.0 + len(outcomes) - hits),
        num_answered=len(outcomes),
        is_drifting=Cusum().alarm(outcomes) is not None,
    )
    if test.verdict(outcomes) != Verdict.HONEST:
        rate = max(rate, rules.doubt)
    return min(max(rate, floor), ceiling)


def expected_gold(policy: GoldPolicy, *, num_tasks: int, truth: float, rng: np.random.Generator) -> int:
    """How many of ``num_tasks`` are gold for a steady person who is right with ``truth``, in one simulated run."""
    hits = misses = 0
    for _ in range(num_tasks):
        posterior = Posterior(a=1.0 + hits, b=1.0 + misses)
        rate = policy.rate(posterior=posterior, num_answered=hits + misses, is_drifting=False)
        if rng.random() < rate:
            right = bool(rng.random() < truth)
            hits, misses = hits + right, misses + (not right)
    return hits + misses
