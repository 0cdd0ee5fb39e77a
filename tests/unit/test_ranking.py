"""Rankings against numbers worked out by hand, and against simulated judges whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.ranking.bradley_terry import BradleyTerry, fit_bradley_terry
from engine.ranking.intervals import bootstrap_over_tasks
from engine.ranking.plackett_luce import NOTHING, fit_top_one


def pairs(*judged: tuple[int, int, int], num_items: int) -> BradleyTerry:
    left, right, outcome = (np.array(column, dtype=np.int64) for column in zip(*judged, strict=True))
    return fit_bradley_terry(left=left, right=right, outcome=outcome, num_items=num_items)


def test_three_wins_to_one_are_log_odds_of_three() -> None:
    fitted = pairs((0, 1, 1), (0, 1, 1), (1, 0, -1), (0, 1, -1), num_items=2)
    assert fitted.strengths[0] - fitted.strengths[1] == pytest.approx(math.log(3), abs=1e-3)
    assert fitted.tie == -math.inf
    assert fitted.probabilities(0, 1) == pytest.approx((0.75, 0.25, 0.0), abs=1e-3)


def test_ten_to_one_are_four_hundred_points_of_elo() -> None:
    fitted = BradleyTerry(strengths=np.array([math.log(10) / 2, -math.log(10) / 2]), tie=-math.inf)
    first, second = fitted.elo()
    assert first - second == pytest.approx(400)


def test_one_win_each_and_two_ties_are_equal_with_ties_half_of_the_time() -> None:
    fitted = pairs((0, 1, 1), (0, 1, -1), (0, 1, 0), (1, 0, 0), num_items=2)
    assert fitted.strengths == pytest.approx([0, 0], abs=1e-4)
    # exp(0) : exp(0) : nu = 1 : 1 : 2
    assert fitted.tie == pytest.approx(math.log(2), abs=1e-3)
    assert fitted.probabilities(0, 1) == pytest.approx((0.25, 0.25, 0.5), abs=1e-3)


def test_an_item_that_always_wins_stays_finite_and_first() -> None:
    fitted = pairs((0, 1, 1), (0, 2, 1), (1, 2, 1), (2, 1, 1), num_items=3)
    assert np.isfinite(fitted.strengths).all()
    assert fitted.strengths.argmax() == 0
    assert fitted.strengths[1] == pytest.approx(fitted.strengths[2], abs=1e-2)


def test_swapping_left_and_right_changes_nothing() -> None:
    there = pairs((0, 1, 1), (1, 2, 0), (2, 0, -1), (1, 2, 1), num_items=3)
    back = pairs((1, 0, -1), (2, 1, 0), (0, 2, 1), (2, 1, -1), num_items=3)
    assert there.strengths == pytest.approx(back.strengths, abs=1e-6)


def test_shown_pairs_of_simulated_judges_give_their_truth_back() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.9, 0.1, -0.2, -0.8])
    left = rng.integers(4, size=6000)
    right = (left + rng.integers(1, 4, size=6000)) % 4
    gap = truth[left] - truth[right]
    logits = np.stack([gap / 2, -gap / 2, np.full_like(gap, -0.5)], axis=1)
    drawn = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    outcome = np.array([1, -1, 0])[drawn]
    fitted = fit_bradley_terry(left=left, right=right, outcome=outcome, num_items=4)
    assert fitted.strengths == pytest.approx(truth, abs=0.12)
    assert fitted.tie == pytest.approx(-0.5, abs=0.1)


def test_picks_of_two_against_one_are_log_odds_of_two() -> None:
    strengths = fit_top_one(shown=np.array([[0, 1], [0, 1], [1, 0]]), winner=np.array([0, 0, 1]), num_items=2)
    assert strengths[0] - strengths[1] == pytest.approx(math.log(2), abs=1e-3)


def test_a_model_that_fills_more_cells_is_not_better_for_that() -> None:
    # Item 0 fills three of four cells and is picked three times of four: as chance would have it.
    strengths = fit_top_one(shown=np.array([[0, 0, 0, 1]] * 4), winner=np.array([0, 0, 0, 1]), num_items=2)
    assert strengths == pytest.approx([0, 0], abs=1e-4)


def test_grids_may_differ_in_size() -> None:
    strengths = fit_top_one(
        shown=np.array([[0, 1, 2], [0, 1, NOTHING], [1, 2, NOTHING]]),
        winner=np.array([0, 0, 1]),
        num_items=3,
    )
    assert list(np.argsort(-strengths)) == [0, 1, 2]


def test_malformed_judgements_are_refused() -> None:
    with pytest.raises(ValueError, match="among the shown"):
        fit_top_one(shown=np.array([[0, 1]]), winner=np.array([2]), num_items=3)
    with pytest.raises(ValueError, match="two different items"):
        pairs((1, 1, 1), num_items=2)
    with pytest.raises(ValueError, match="an outcome is"):
        pairs((0, 1, 2), num_items=2)


def test_the_interval_holds_the_truth_and_narrows_with_more_tasks() -> None:
    def width(num_tasks: int) -> float:
        rng = np.random.default_rng(3)
        winner = (rng.random(num_tasks) > 2 / 3).astype(np.int64)
        shown = np.tile(np.array([0, 1]), (num_tasks, 1))

        def fit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return fit_top_one(shown=shown, winner=winner, num_items=2, weights=weights)

        found = bootstrap_over_tasks(fit, tasks=np.arange(num_tasks), rng=rng, num_samples=100)
        assert found.low[0] <= math.log(2) / 2 <= found.high[0]
        assert found.low[0] <= found.estimate[0] <= found.high[0]
        return float(found.high[0] - found.low[0])

    assert width(1600) < 0.6 * width(200)


def test_judgements_of_one_task_are_drawn_together() -> None:
    seen: list[NDArray[np.float64]] = []

    def fit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(weights)
        return np.zeros(1)

    bootstrap_over_tasks(fit, tasks=np.array([7, 7, 9]), rng=np.random.default_rng(0), num_samples=20)
    assert all(weights[0] == weights[1] and weights[0] + weights[2] == 2 for weights in seen)
