"""Beta, binomial and chi-square probabilities of single numbers: scipy's would cost a web process 26 MB.

Continued fractions and series as in Press et al., Numerical Recipes, 3rd ed., sections 6.2 and 6.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable

TINY, PRECISION, MOST_TERMS = 1e-300, 1e-16, 100_000
BISECTIONS = 200


def betainc(a: float, b: float, x: float) -> float:
    """P(Beta(a, b) <= x). Raises ValueError unless a and b are positive and x is in [0, 1]."""
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"Beta({a}, {b}) at {x}: a and b are positive, x is in [0, 1]")
    if x in (0, 1):
        return float(x)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_tail(b, a, 1 - x)
    return _beta_tail(a, b, x)


def betaincinv(a: float, b: float, share: float) -> float:
    """The quantile of Beta(a, b) below which ``share`` lies: Newton steps, halved outside the bracket."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share is in [0, 1], not {share}")
    low, high, x = 0.0, 1.0, a / (a + b)
    if share in (0, 1):
        return float(share)
    for _ in range(BISECTIONS):
        above = betainc(a, b, x) - share
        low, high = (low, x) if above > 0 else (x, high)
        slope = math.exp(_log_beta_density(a, b, x))
        step = x - above / slope if slope > 0 else low
        new = step if low < step < high else (low + high) / 2
        if abs(new - x) <= 1e-14 * x or new in (low, high):
            return new
        x = new
    return x


def binomial_above(k: int, count: int, share: float) -> float:
    """P(a binomial number of ``count`` exceeds ``k``), for 0 <= k < count."""
    return betainc(k + 1, count - k, share)


def chi_square_above(freedom: float, x: float) -> float:
    """P(chi-square with ``freedom`` degrees exceeds ``x``). Raises ValueError unless freedom > 0 and x >= 0."""
    if not (freedom > 0 and x >= 0):
        raise ValueError(
            f"chi-square of {freedom} degrees at {x}: the degrees are positive, x is not negative"
        )
    if x == 0:
        return 1.0
    a, half = freedom / 2, x / 2
    scale = math.exp(a * math.log(half) - half - math.lgamma(a))
    if half < a + 1:
        term = total = 1 / a
        for n in range(1, MOST_TERMS):
            term *= half / (a + n)
            total += term
            if term < total * PRECISION:
                break
        return 1.0 - scale * total
    return scale / _fraction(half + 1 - a, lambda n: -n * (n - a), lambda n: half + 2 * n + 1 - a)


def _log_beta_density(a: float, b: float, x: float) -> float:
    return (a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_tail(a: float, b: float, x: float) -> float:
    """The same as betainc where its fraction converges fast: x below the mean, about."""

    def above(n: int) -> float:
        m = n // 2
        if n % 2:
            return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))

    front = math.exp(a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)) / a
    return front / _fraction(1.0, above, lambda n: 1.0)


def _fraction(first: float, above: Callable[[int], float], beside: Callable[[int], float]) -> float:
    """first + above(1) / (beside(1) + above(2) / (beside(2) + …)), by Lentz's method."""
    value = first or TINY
    c, d = value, 0.0
    for n in range(1, MOST_TERMS):
        d = 1 / ((beside(n) + above(n) * d) or TINY)
        c = (beside(n) + above(n) / c) or TINY
        value *= c * d
        if abs(c * d - 1) < PRECISION * 4:
            break
    return value
