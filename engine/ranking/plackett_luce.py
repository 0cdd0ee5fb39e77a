"""Strengths from picks out of a grid: who was preferred to all that were shown, and no more (Plackett-Luce, top 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ranking.descent import minimise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Fills the rows of ``shown`` that hold fewer cells than the widest.
NOTHING = -1


@dataclass(frozen=True, kw_only=True)
class TopOne:
    """``strengths`` (items) are log-odds with mean 0; ``effects`` (covariates) are what a unit of each adds."""

    strengths: Floats
    effects: Floats


class Picks:
    """Picks that are ready to be fitted again and again, as a bootstrap does.

    ``shown`` (M, K) names the item in each cell, NOTHING where there was no cell; the same item may fill several cells
    of a grid, as a model does that made all of them. ``winner`` (M) names the picked item.
    """

    def __init__(self, *, shown: Ints, winner: Ints, num_items: int) -> None:
        if shown.ndim != 2 or winner.shape != shown.shape[:1]:
            raise ValueError("shown must be (picks, cells) and winner (picks)")
        if not (shown == winner[:, None]).any(axis=1).all():
            raise ValueError("every winner must be among the shown")
        self.num_items = num_items
        # Picks with the same items on show and the same winner say the same: counted once, with a weight. Only how
        # often each item was shown matters, not where.
        counts = np.zeros((winner.size, num_items), dtype=np.float64)
        for column in shown.T:
            filled = np.flatnonzero(column != NOTHING)
            counts[filled, column[filled]] += 1.0
        keys = np.column_stack([counts, winner])
        order = np.lexsort(keys.T)
        new = np.ones(order.size, dtype=np.bool_)
        new[1:] = np.any(keys[order[1:]] != keys[order[:-1]], axis=1)
        self.group = np.empty(order.size, dtype=np.int64)
        self.group[order] = np.cumsum(new) - 1
        first = order[new]
        self.counts, self.winner = counts[first], winner[first]

    def fit(
        self, weights: Floats | None = None, *, start: Floats | None = None, prior_precision: float = 1e-6
    ) -> Floats:
        """The most likely strengths (num_items, log-odds with mean 0); ``weights`` (M) counts picks.

        P(pick a cell of item i) = exp(s_i) / sum over the shown cells of exp(s).
        """
        per_pick = np.ones(self.group.size) if weights is None else weights
        weight = np.bincount(self.group, per_pick, self.winner.size)
        won = np.bincount(self.winner, weight, self.num_items)

        def loss(strengths: Floats) -> tuple[float, Floats]:
            highest = strengths.max()
            parts = self.counts * np.exp(strengths - highest)
            total = parts.sum(axis=1)
            value = float(weight @ (highest + np.log(total)) - won @ strengths)
            slope = (weight / total) @ parts - won
            return value + 0.5 * prior_precision * float(
                strengths @ strengths
            ), slope + prior_precision * strengths

        guess = np.zeros(self.num_items) if start is None else start
        strengths = minimise(loss, guess)
        centred: Floats = strengths - strengths.mean()
        return centred


def fit_top_one(
    *,
    shown: Ints,
    winner: Ints,
    num_items: int,
    weights: Floats | None = None,
    prior_precision: float = 1e-6,
) -> Floats:
    """The most likely strengths of Picks, once."""
    picks = Picks(shown=shown, winner=winner, num_items=num_items)
    return picks.fit(weights, prior_precision=prior_precision)


def fit_top_one_beside(
    *,
    shown: Ints,
    picked_cell: Ints,
    covariates: Floats,
    num_items: int,
    weights: Floats | None = None,
    prior_precision: float = 1e-6,
) -> TopOne:
    """Strengths beside what presentation adds: a cell's log-odds are its item's strength + covariates . effects.

    ``shown`` (M, K) as in Picks, ``picked_cell`` (M) the column that was picked, ``covariates`` (M, K, F) of each cell:
    its slot, its format, how much it weighs. Without them a model whose shapes came first, or as splats, would be
    called better for that.
    """
    if covariates.shape[:2] != shown.shape or covariates.ndim != 3 or picked_cell.shape != shown.shape[:1]:
        raise ValueError("covariates must be (picks, cells, F) and picked_cell (picks)")
    rows = np.arange(picked_cell.size)
    if not (shown[rows, picked_cell] != NOTHING).all():
        raise ValueError("every picked cell must hold something")
    weight = np.ones(picked_cell.size) if weights is None else weights
    filled = shown != NOTHING
    items = np.where(filled, shown, 0)
    seen = np.where(filled[:, :, None], covariates, 0.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        strengths, effects = parameters[:num_items], parameters[num_items:]
        logits = np.where(filled, strengths[items] + seen @ effects, -np.inf)
        highest = logits.max(axis=1, keepdims=True)
        shares = np.exp(logits - highest)
        total = shares.sum(axis=1, keepdims=True)
        value = float((weight * (highest[:, 0] + np.log(total[:, 0]) - logits[rows, picked_cell])).sum())
        expected = weight[:, None] * shares / total
        expected[rows, picked_cell] -= weight
        slope = np.concatenate(
            [
                np.bincount(items.ravel(), expected.ravel(), num_items),
                np.tensordot(expected, seen, axes=([0, 1], [0, 1])),
            ]
        )
        return value + 0.5 * prior_precision * float(
            parameters @ parameters
        ), slope + prior_precision * parameters

    start = np.zeros(num_items + covariates.shape[2])
    found = minimise(loss, start)
    strengths = found[:num_items]
    return TopOne(strengths=strengths - strengths.mean(), effects=found[num_items:])
