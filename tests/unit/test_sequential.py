"""Wald's test on gold answers, against its known expected numbers; the gold policy; the drift alarm."""

from __future__ import annotations

import numpy as np
import pytest

from engine.ranking.drift import Cusum
from engine.ranking.intervals import posterior_of
from engine.ranking.sequential import GoldPolicy, Verdict, WaldTest, expected_gold


@pytest.mark.parametrize(
    ("honest", "bad", "to_clear", "to_catch"),
    [(0.90, 1 / 8, 3.7, 3.8), (0.90, 0.60, 21.0, 16.3), (0.60, 1 / 8, 7.8, 9.5)],
)
def test_the_expected_number_of_gold_answers_is_as_published(
    honest: float, bad: float, to_clear: float, to_catch: float
) -> None:
    test = WaldTest(honest=honest, bad=bad)
    assert test.expected_answers(truth=honest)[0] == pytest.approx(to_clear, abs=0.06)
    assert test.expected_answers(truth=bad)[0] == pytest.approx(to_catch, abs=0.06)


def test_the_exact_expectation_is_what_simulated_people_need() -> None:
    test, rng = WaldTest(honest=0.9, bad=0.6), np.random.default_rng(12)
    needed, wrong = [], 0
    for _ in range(800):
        outcomes = rng.random(400) < 0.9
        first = next(n for n in range(1, 400) if test.verdict(outcomes[:n]) != Verdict.OPEN)
        needed.append(first)
        wrong += test.verdict(outcomes) == Verdict.BAD
    mean, late = test.expected_answers(truth=0.9)
    assert np.mean(needed) == pytest.approx(mean, rel=0.08)
    assert np.mean(np.array(needed) <= late) >= 0.95 > np.mean(np.array(needed) <= late - 8)
    assert wrong / 800 < 0.02, "an honest person is called bad in about one of a hundred cases"


def test_the_first_decision_stands() -> None:
    test = WaldTest(honest=0.9, bad=1 / 8)
    assert test.verdict([]) == test.verdict([True]) == Verdict.OPEN
    assert test.verdict([True, True, True]) == Verdict.HONEST
    assert test.verdict([False, False, False]) == Verdict.BAD
    assert test.verdict([True, True, True, *[False] * 10]) == Verdict.HONEST


def test_gold_is_frequent_at_first_then_rare_and_again_frequent_in_doubt() -> None:
    policy = GoldPolicy()
    sure, unsure = posterior_of(40, 2), posterior_of(3, 3)
    assert policy.rate(posterior=sure, num_answered=2, is_drifting=False) == 0.5
    assert policy.rate(posterior=sure, num_answered=42, is_drifting=False) == 0.05
    assert policy.rate(posterior=unsure, num_answered=6, is_drifting=False) == 0.15
    assert policy.rate(posterior=sure, num_answered=42, is_drifting=True) == 0.25


def test_five_hundred_tasks_of_a_good_person_hold_about_seven_percent_gold() -> None:
    rng = np.random.default_rng(5)
    numbers = [expected_gold(GoldPolicy(), num_tasks=500, truth=0.95, rng=rng) for _ in range(10)]
    assert 20 < np.mean(numbers) < 40


def test_a_fall_from_nine_to_six_tenths_is_noticed_in_fifteen_answers_and_false_alarms_are_a_thousand_apart() -> (
    None
):
    watch = Cusum()
    assert watch.answers_until_alarm(truth=0.6) == pytest.approx(15.2, abs=0.3)
    assert watch.answers_until_alarm(truth=0.9) > 1000
    assert watch.answers_until_alarm(truth=0.95) > 20_000
    assert watch.answers_until_alarm(truth=1 / 8) < 5


def test_simulated_people_alarm_as_often_as_the_markov_chain_says() -> None:
    watch, rng = Cusum(), np.random.default_rng(9)
    late = [watch.alarm(rng.random(400) < 0.6) or 400 for _ in range(400)]
    assert np.mean(late) == pytest.approx(watch.answers_until_alarm(truth=0.6), rel=0.1)
    steady = [watch.alarm(rng.random(100) < 0.9) for _ in range(400)]
    assert sum(each is not None for each in steady) / 400 < 0.12


def test_long_good_work_earns_no_credit_against_a_fall() -> None:
    watch = Cusum()
    fallen = [True] * 300 + [False] * 4
    assert watch.path(fallen)[299] == 0.0
    assert watch.alarm(fallen) == 304
