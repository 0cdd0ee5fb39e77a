"""Strengths from picks out of a grid: who was preferred to all that were shown, and no more (Plackett-Luce, top 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Fills the rows of ``shown`` that hold fewer cells than the widest.
NOTHING = -1


def fit_top_one(
    *,
    shown: Ints,
    winner: Ints,
    num_items: int,
    weights: Floats | None = None,
    prior_precision: float = 1e-6,
) -> Floats:
    """The most likely strengths (num_items, log-odds with mean 0), given M picks.

    ``shown`` (M, K) names the item in each cell, NOTHING where there was no cell; the same item may fill several cells
    of a grid, as a model does that made all of them. ``winner`` (M) names the picked item.
    P(pick a cell of item i) = exp(s_i) / sum over the shown cells of exp(s). ``weights`` (M) counts picks.
    """
    if shown.ndim != 2 or winner.shape != shown.shape[:1]:
        raise ValueError("shown must be (picks, cells) and winner (picks)")
    if not (shown == winner[:, None]).any(axis=1).all():
        raise ValueError("every winner must be among the shown")
    weight = np.ones(winner.size) if weights is None else weights
    filled = shown != NOTHING
    items = np.where(filled, shown, 0)

    def loss(strengths: Floats) -> tuple[float, Floats]:
        logits = np.where(filled, strengths[items], -np.inf)
        highest = logits.max(axis=1, keepdims=True)
        shares = np.exp(logits - highest)
        total = shares.sum(axis=1, keepdims=True)
        value = float((weight * (highest[:, 0] + np.log(total[:, 0]) - strengths[winner])).sum())
        expected = np.bincount(items.ravel(), (weight[:, None] * shares / total).ravel(), num_items)
        slope = expected - np.bincount(winner, weight, num_items)
        return value + 0.5 * prior_precision * float(
            strengths @ strengths
        ), slope + prior_precision * strengths

    strengths: Floats = minimize(loss, np.zeros(num_items), jac=True, method="L-BFGS-B").x
    centred: Floats = strengths - strengths.mean()
    return centred
