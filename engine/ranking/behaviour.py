"""Signs of not looking: early, cheap and never enough alone. Each flag states how often an honest person raises it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.ranking.distributions import binomial_above, chi_square_above

#: How often a flag is raised on an honest person, each time it is looked at.
FALSE_ALARM = 0.001
#: Answers below which nothing is said.
ENOUGH = 10
#: A third of the stage's median is too fast for looking.
FAST = 1 / 3
#: Even where all others look, some honest person does not: no norm is taken as below this.
FLOOR = 0.05


class Sign(StrEnum):
    SLOT_BIAS = "slot_bias"
    TOO_FAST = "too_fast"
    NEVER_LOOKED = "never_looked"
    UNTOUCHED = "untouched"


SENTENCES = {
    Sign.SLOT_BIAS: "Picks some cells of the grid far more often than its random order can explain.",
    Sign.TOO_FAST: "Takes less than a third of the stage's usual time.",
    Sign.NEVER_LOOKED: "Looks at candidates far more seldom than the others do.",
    Sign.UNTOUCHED: "Leaves the proposed pose as it is far more often than the others do.",
}


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A sign that was raised; ``p_value`` is how likely an honest person shows as much or more."""

    sign: Sign
    p_value: float
    detail: str

    @property
    def sentence(self) -> str:
        return SENTENCES[self.sign]


def slot_bias(counts: Sequence[int], *, false_alarm: float = FALSE_ALARM) -> Flag | None:
    """``counts`` picks by cell. The order is random for each person, so every cell is as good as another.

    Two tests share the rate: the most used cell by its exact tail (finds "always the first" in a few picks), and
    chi-square over all cells, once each may expect five picks (finds subtler habits).
    """
    total, cells = sum(counts), len(counts)
    if cells < 2 or total == 0:
        return None
    largest = max(counts)
    p_value = min(1.0, cells * _at_least(largest, total, 1 / cells))
    if total >= 5 * cells:
        p_value = min(p_value, _uneven(counts))
    p_value = min(1.0, 2 * p_value)
    if p_value > false_alarm:
        return None
    place = list(counts).index(largest) + 1
    return Flag(sign=Sign.SLOT_BIAS, p_value=p_value, detail=f"cell {place}: {largest} of {total} picks")


def too_fast(seconds: Sequence[float], *, norm_s: float) -> Flag | None:
    """Raised when the median of at least ENOUGH answers is below a third of the stage's median ``norm_s``.

    With times that scatter by a factor of 2.2 (log-normal, sigma 0.8), an honest person of the norm's speed is below
    a third with p = 0.085 an answer, and raises it in less than one of a thousand cases; see the test.
    """
    if len(seconds) < ENOUGH or norm_s <= 0:
        return None
    median = float(np.median(seconds))
    if median >= FAST * norm_s:
        return None
    fast = sum(each < FAST * norm_s for each in seconds)
    p_value = _at_least(fast, len(seconds), 0.1)
    return Flag(
        sign=Sign.TOO_FAST, p_value=p_value, detail=f"median {median:.0f} s where {norm_s:.0f} s is usual"
    )


def never_looked(*, looked: int, answers: int, norm: float) -> Flag | None:
    """``looked`` of ``answers`` with a candidate opened large or turned, where others do so with the share ``norm``."""
    return _too_often(
        Sign.NEVER_LOOKED, answers - looked, answers, 1 - norm, f"looked at {looked} of {answers}"
    )


def untouched(*, untouched: int, answers: int, norm: float) -> Flag | None:
    """``untouched`` of ``answers`` poses sent as proposed, where others do so with the share ``norm``."""
    return _too_often(Sign.UNTOUCHED, untouched, answers, norm, f"{untouched} of {answers} as proposed")


def _too_often(sign: Sign, number: int, answers: int, norm: float, detail: str) -> Flag | None:
    """By the exact upper tail of the binomial at the norm."""
    if answers < ENOUGH:
        return None
    p_value = _at_least(number, answers, min(max(norm, FLOOR), 1.0))
    return Flag(sign=sign, p_value=p_value, detail=detail) if p_value <= FALSE_ALARM else None


def _at_least(number: int, answers: int, share: float) -> float:
    """P(a binomial count reaches ``number``)."""
    return binomial_above(number - 1, answers, share) if number > 0 else 1.0


def _uneven(counts: Sequence[int]) -> float:
    """The p-value of chi-square against all cells alike."""
    expected = sum(counts) / len(counts)
    return chi_square_above(len(counts) - 1, sum((count - expected) ** 2 for count in counts) / expected)
