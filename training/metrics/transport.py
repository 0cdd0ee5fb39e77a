"""Earth mover's distance: the mean length of the best one-to-one pairing of two point sets, exact.

It falls as the sets grow (about .069, .052 and .036 at 512, 1024 and 2048 points of one same surface), so that figures
compare only at one fixed number of points: EMD_POINTS. Entropic approximations give other numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

EMD_POINTS = 512


def earth_movers_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Mean distance under the best bijection of N x 3 points with N x 3 points, in their unit (not squared).

    Cubic in N. Raises ValueError when the sets are empty or differ in number.
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) == 0:
        raise ValueError(f"both sets need the same number of points, not {first.shape} and {second.shape}")
    cost = cdist(first, second)
    return float(cost[linear_sum_assignment(cost)].mean())
