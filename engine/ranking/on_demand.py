"""What rankings need of scipy, loaded when it is first used: a web process that ranks nothing stays small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def minimize(*arguments: Any, **options: Any) -> Any:
    """scipy.optimize.minimize."""
    from scipy import optimize

    return optimize.minimize(*arguments, **options)


def betainc(*arguments: Any) -> Any:
    """scipy.special.betainc: the distribution function of Beta(a, b)."""
    from scipy import special

    return special.betainc(*arguments)


def betaincinv(*arguments: Any) -> Any:
    """scipy.special.betaincinv: the quantiles of Beta(a, b)."""
    from scipy import special

    return special.betaincinv(*arguments)


def bdtrc(*arguments: Any) -> Any:
    """scipy.special.bdtrc: P(a binomial count exceeds k)."""
    from scipy import special

    return special.bdtrc(*arguments)


def chdtrc(*arguments: Any) -> Any:
    """scipy.special.chdtrc: the upper tail of chi-square."""
    from scipy import special

    return special.chdtrc(*arguments)


def nearest_distances(points: Floats, queries: Floats, *, rank: int = 1) -> Floats:
    """From each query (Q, D) the distance to its ``rank``-th nearest of ``points`` (N, D)."""
    from scipy.spatial import KDTree

    distances: Floats = KDTree(points).query(queries, k=[rank])[0][:, 0]
    return distances
