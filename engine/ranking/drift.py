"""Notices when somebody who was good gets worse: a cumulative sum over right and wrong answers (Page 1954)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Cusum:
    """Watches for a fall from ``good`` to ``bad``; alarms when the evidence since the best restart passes ``bar``."""

    good: float = 0.9
    bad: float = 0.6
    bar: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.bad < self.good < 1 or self.bar <= 0:
            raise ValueError("good is above bad, both are shares, and the bar is positive")

    def path(self, outcomes: Iterable[bool]) -> list[float]:
        """The sum after each outcome, oldest first; 0 is no evidence of a fall."""
        sums, now = [], 0.0
        for right in outcomes:
            now = max(0.0, now + self._step(right))
            sums.append(now)
        return sums

    def alarm(self, outcomes: Iterable[bool]) -> int | None:
        """After how many answers it first alarms, or None."""
        return next((n for n, now in enumerate(self.path(outcomes), start=1) if now >= self.bar), None)

    def answers_until_alarm(self, *, truth: float, cells: int = 400) -> float:
        """The mean number of answers until an alarm for one who stays right with ``truth``: a Markov chain's.

        For ``good`` it is how long it stays quiet, for ``bad`` how late it comes; starts at zero evidence.
        """
        width = self.bar / cells
        centres = np.arange(cells) * width
        moves = np.zeros((cells, cells))
        for right, share in ((True, truth), (False, 1 - truth)):
            to = np.rint(np.maximum(0.0, centres + self._step(right)) / width).astype(np.int64)
            stays = to < cells
            moves[np.flatnonzero(stays), to[stays]] += share
        return float(np.linalg.solve(np.eye(cells) - moves, np.ones(cells))[0])

    def _step(self, right: bool) -> float:
        return math.log(self.bad / self.good) if right else math.log((1 - self.bad) / (1 - self.good))
