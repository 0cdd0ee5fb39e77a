"""Distances between points, all against all, in pieces that leave a web process small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: So many differences are held at once: 4 MB.
AT_ONCE = 2**19


def squared_distances(queries: Floats, points: Floats) -> Floats:
    """(Q, N) from each of ``queries`` (Q, D) to each of ``points`` (N, D); exactly 0 for equal ones."""
    found = np.empty((len(queries), len(points)))
    piece = max(1, AT_ONCE // max(1, points.size))
    for begin in range(0, len(queries), piece):
        apart = queries[begin : begin + piece, None] - points[None]
        found[begin : begin + piece] = np.einsum("qnd,qnd->qn", apart, apart)
    return found


def nearest_distances(points: Floats, queries: Floats, *, rank: int = 1) -> Floats:
    """From each query (Q, D) the distance to its ``rank``-th nearest of ``points`` (N, D), infinite where N < rank."""
    if len(points) < rank:
        return np.full(len(queries), np.inf)
    found = np.empty(len(queries))
    piece = max(1, AT_ONCE // len(points))
    for begin in range(0, len(queries), piece):
        squares = squared_distances(queries[begin : begin + piece], points)
        found[begin : begin + piece] = np.sqrt(np.partition(squares, rank - 1, axis=1)[:, rank - 1])
    return found
