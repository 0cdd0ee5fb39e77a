"""Strengths from pairs that were shown side by side, ties included (Bradley and Terry 1952; Davidson 1970)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.ranking.descent import minimise

#: 400 points of Elo are odds of ten to one.
ELO_PER_UNIT = 400.0 / math.log(10.0)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BradleyTerry:
    """``strengths`` (n) are log-odds with mean 0; ``tie`` is Davidson's log nu, -inf when nothing was ever equal.

    ``effects`` (covariates) is what a unit of each adds to the gap in favour of the left.
    """

    strengths: Floats
    tie: float
    effects: Floats = field(default_factory=lambda: np.zeros(0))

    def elo(self) -> Floats:
        """The strengths in points of Elo around 0."""
        return ELO_PER_UNIT * self.strengths

    def probabilities(self, left: int, right: int) -> tuple[float, float, float]:
        """That left wins, that right wins, that they are called equal."""
        gap = self.strengths[left] - self.strengths[right]
        won, lost, equal = np.exp(_log_probabilities(np.array([gap]), self.tie))[0]
        return float(won), float(lost), float(equal)


def fit_bradley_terry(
    *,
    left: Ints,
    right: Ints,
    outcome: Ints,
    num_items: int,
    weights: Floats | None = None,
    covariates: Floats | None = None,
    start: Floats | None = None,
    prior_precision: float = 1e-6,
) -> BradleyTerry:
    """The most likely strengths of ``num_items`` items, given M shown pairs.

    ``outcome`` (M) is 1 where left was better, -1 where right was, 0 where the two were called equal. ``weights`` (M)
    counts a pair more or less than once. The weak normal prior keeps items finite that always won or always lost.
    With d the gap of strengths: P(left), P(right), P(equal) are proportional to exp(d/2), exp(-d/2), nu.
    ``covariates`` (M, F) are of the pair, left less right (a column of ones is the advantage of being left); their
    effects add to d. ``start`` (num_items) is where the search begins.
    """
    if not left.shape == right.shape == outcome.shape or left.ndim != 1:
        raise ValueError("left, right and outcome must be arrays of one length")
    if left.size and (np.any(left == right) or max(left.max(), right.max()) >= num_items):
        raise ValueError("a pair names two different items below num_items")
    if not np.isin(outcome, (-1, 0, 1)).all():
        raise ValueError("an outcome is 1 (left), -1 (right) or 0 (equal)")
    beside = np.zeros((left.size, 0)) if covariates is None else covariates
    if beside.ndim != 2 or beside.shape[0] != left.size:
        raise ValueError("covariates must be (pairs, F)")
    weight = np.ones(left.size) if weights is None else weights
    counts = (
        weight > 0
    )  # a pair that does not count must not even have a likelihood: 0 times -inf is no number
    left, right, outcome = left[counts], right[counts], outcome[counts]
    beside, weight = beside[counts], weight[counts]
    column = np.where(outcome == 1, 0, np.where(outcome == -1, 1, 2))
    had_ties = bool((outcome == 0).any())

    ends = num_items + beside.shape[1]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        strengths, effects = parameters[:num_items], parameters[num_items:ends]
        tie = parameters[ends] if had_ties else -math.inf
        logs = _log_probabilities(strengths[left] - strengths[right] + beside @ effects, tie)
        chances = np.exp(logs)
        happened = np.zeros_like(chances)
        happened[np.arange(left.size), column] = 1.0
        surprise = (chances - happened) * weight[:, None]
        by_gap = 0.5 * (surprise[:, 0] - surprise[:, 1])
        slope = np.zeros_like(parameters)
        slope[:num_items] = np.bincount(left, by_gap, num_items) - np.bincount(right, by_gap, num_items)
        slope[num_items:ends] = by_gap @ beside
        if had_ties:
            slope[ends] = surprise[:, 2].sum()
        value = -float((weight * logs[np.arange(left.size), column]).sum())
        return value + 0.5 * prior_precision * float(
            parameters @ parameters
        ), slope + prior_precision * parameters

    guess = np.zeros(ends + had_ties)
    if start is not None:
        guess[:num_items] = start
    found = minimise(loss, guess)
    strengths = found[:num_items]
    return BradleyTerry(
        strengths=strengths - strengths.mean(),
        tie=float(found[ends]) if had_ties else -math.inf,
        effects=found[num_items:ends],
    )


def _log_probabilities(gap: Floats, tie: float) -> Floats:
    """(M, 3): left wins, right wins, equal."""
    logits = np.stack([gap / 2, -gap / 2, np.full_like(gap, tie)], axis=1)
    highest = logits.max(axis=1, keepdims=True)
    logs: Floats = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    return logs
