"""Rankings against numbers worked out by hand, and against simulated judges whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.ranking.bradley_terry import BradleyTerry, fit_bradley_terry
from engine.ranking.intervals import bootstrap_over_tasks, posterior_of, rank_ranges
from engine.ranking.plackett_luce import NOTHING, Picks, fit_top_one, fit_top_one_beside


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


def test_a_resample_that_draws_no_tie_is_fitted_as_if_none_had_been_judged() -> None:
    left, right = np.zeros(3, dtype=np.int64), np.ones(3, dtype=np.int64)
    all_pairs = fit_bradley_terry(
        left=left,
        right=right,
        outcome=np.array([1, -1, 0]),
        num_items=2,
        weights=np.array([3.0, 1.0, 0.0]),
    )
    assert all_pairs.tie == -math.inf
    assert np.ptp(all_pairs.strengths) == pytest.approx(math.log(3), abs=1e-3)


def test_a_resample_that_draws_ties_alone_calls_the_two_equal() -> None:
    pair = {"left": np.zeros(2, dtype=np.int64), "right": np.ones(2, dtype=np.int64), "num_items": 2}
    fitted = fit_bradley_terry(**pair, outcome=np.array([1, 0]), weights=np.array([0.0, 2.0]))
    assert fitted.strengths.tolist() == [0.0, 0.0]


def test_picks_counted_by_pattern_are_fitted_as_picks_counted_one_by_one() -> None:
    rng = np.random.default_rng(8)
    shown = rng.integers(4, size=(300, 5))
    winner = shown[np.arange(300), rng.integers(5, size=300)]
    weights = rng.integers(0, 3, size=300).astype(np.float64)
    picks = Picks(shown=shown, winner=winner, num_items=4)
    repeated = np.repeat(np.arange(300), weights.astype(np.int64))
    plain = fit_top_one(shown=shown[repeated], winner=winner[repeated], num_items=4)
    assert picks.winner.size < 300
    assert picks.fit(weights) == pytest.approx(plain, abs=1e-4)
    assert picks.fit(weights, start=plain) == pytest.approx(plain, abs=1e-4)


def test_what_the_first_cell_and_splats_add_is_told_apart_from_what_the_models_are_worth() -> None:
    rng = np.random.default_rng(4)
    truth, slot_effect, splat_effect = np.array([0.4, 0.0, -0.4]), 0.6, 0.5
    shown = rng.integers(3, size=(6000, 4))
    covariates = np.zeros((6000, 4, 2))
    covariates[:, 0, 0] = 1.0
    covariates[:, :, 1] = (shown == 2) & (
        rng.random((6000, 4)) < 0.8
    )  # the weakest model mostly shows splats
    logits = truth[shown] + covariates @ np.array([slot_effect, splat_effect])
    cell = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    beside = fit_top_one_beside(shown=shown, picked_cell=cell, covariates=covariates, num_items=3)
    assert beside.strengths == pytest.approx(truth, abs=0.12)
    assert beside.effects == pytest.approx([slot_effect, splat_effect], abs=0.12)
    blind = fit_top_one(shown=shown, winner=shown[np.arange(6000), cell], num_items=3)
    assert abs(blind[2] - truth[2]) > 0.2, "without the covariate the splats make the weakest look better"


def test_an_advantage_of_the_left_side_is_not_credited_to_who_stood_there() -> None:
    rng = np.random.default_rng(6)
    left = (rng.random(5000) < 0.2).astype(np.int64)  # item 0 mostly stands on the left
    right = 1 - left
    gap = 0.8
    outcome = np.where(rng.random(5000) < 1 / (1 + math.exp(-gap)), 1, -1)  # left wins, whoever it is
    fitted = fit_bradley_terry(
        left=left, right=right, outcome=outcome, num_items=2, covariates=np.ones((5000, 1))
    )
    assert fitted.strengths == pytest.approx([0, 0], abs=0.1)
    assert fitted.effects == pytest.approx([gap], abs=0.1)


def test_ranks_are_ranges_where_the_judgements_cannot_tell() -> None:
    rng = np.random.default_rng(11)
    truth = np.array([1.0, 0.02, 0.0, -1.0])
    shown = np.tile(np.arange(4), (400, 1))
    winner = (truth[shown] + rng.gumbel(size=shown.shape)).argmax(axis=1)
    picks = Picks(shown=shown, winner=winner, num_items=4)
    ranges = rank_ranges(bootstrap_over_tasks(picks.fit, tasks=np.arange(400), rng=rng, num_samples=100))
    assert (ranges[0].best, ranges[0].worst) == (1, 1)
    assert (ranges[3].best, ranges[3].worst) == (4, 4)
    assert ranges[1] == ranges[2] and (ranges[1].best, ranges[1].worst) == (2, 3)


def test_twenty_thousand_picks_are_fitted_as_some_hundred_patterns() -> None:
    # A count, not a clock: this is what makes 200 bootstraps cheap; benchmarks/ranking.py has the seconds.
    rng = np.random.default_rng(2)
    truth = np.linspace(-0.5, 0.5, 4)
    shown = rng.integers(4, size=(20_000, 8))
    winner = shown[np.arange(20_000), (truth[shown] + rng.gumbel(size=shown.shape)).argmax(axis=1)]
    picks = Picks(shown=shown, winner=winner, num_items=4)
    assert picks.winner.size < 1000
    assert picks.fit() == pytest.approx(truth, abs=0.06)


def test_a_share_of_nine_of_ten_is_known_to_lie_between_six_and_ten_tenths() -> None:
    found = posterior_of(9, 1).estimate()
    # Beta(10, 2): mean 10/12; its 2.5 % and 97.5 % points from tables.
    assert found.value == pytest.approx(10 / 12)
    assert (found.low, found.high) == pytest.approx((0.5872, 0.9772), abs=1e-3)
    assert posterior_of(0, 0).probability_above(0.3) == pytest.approx(0.7)
