"""Signs of not looking: what they find early, and how rarely they accuse an honest person."""

from __future__ import annotations

import numpy as np

from engine.ranking.behaviour import (
    ENOUGH,
    FALSE_ALARM,
    Sign,
    never_looked,
    slot_bias,
    too_fast,
    untouched,
)


def test_always_the_first_cell_is_found_after_six_picks() -> None:
    assert slot_bias([5, 0, 0, 0, 0, 0, 0, 0]) is not None
    assert slot_bias([3, 0, 0, 0, 0, 0, 0, 0]) is None
    flag = slot_bias([0, 6, 0, 0, 0, 0, 0, 0])
    assert flag is not None and flag.sign == Sign.SLOT_BIAS and flag.detail == "cell 2: 6 of 6 picks"


def test_a_leaning_to_the_left_half_is_found_in_some_hundred_picks() -> None:
    rng = np.random.default_rng(0)
    leaning = np.array([0.19] * 4 + [0.06] * 4)
    found = [slot_bias(rng.multinomial(160, leaning)) is not None for _ in range(200)]
    assert np.mean(found) > 0.9


def test_people_without_a_favourite_cell_are_flagged_less_than_once_in_a_thousand() -> None:
    rng = np.random.default_rng(1)
    flags = [
        slot_bias(rng.multinomial(number, np.full(8, 1 / 8))) is not None
        for number in (8, 16, 24, 40, 80, 160)
        for _ in range(3000)
    ]
    assert np.mean(flags) <= FALSE_ALARM


def test_a_fast_but_ordinary_person_is_not_flagged_and_one_who_clicks_through_is() -> None:
    rng = np.random.default_rng(2)

    def times(median: float, number: int) -> list[float]:
        return list(median * np.exp(0.8 * rng.normal(size=number)))

    honest = [
        too_fast(times(80, number), norm_s=80) is not None for number in (10, 20, 40) for _ in range(1000)
    ]
    assert np.mean(honest) <= FALSE_ALARM
    quick = [too_fast(times(50, 20), norm_s=80) is not None for _ in range(500)]
    assert np.mean(quick) < 0.02, "a third faster than usual is no offence"
    clicking = [too_fast(times(8, ENOUGH), norm_s=80) is not None for _ in range(200)]
    assert np.mean(clicking) > 0.99
    assert too_fast([1.0] * (ENOUGH - 1), norm_s=80) is None


def test_never_opening_a_candidate_counts_only_where_others_do() -> None:
    assert never_looked(looked=0, answers=12, norm=0.6) is not None
    assert never_looked(looked=0, answers=12, norm=0.2) is None, "there most people do not look either"
    assert never_looked(looked=0, answers=ENOUGH - 1, norm=0.9) is None
    assert never_looked(looked=11, answers=12, norm=1.0) is None, "one time without is no sign where all look"


def test_honest_people_at_the_norm_are_flagged_less_than_once_in_a_thousand() -> None:
    rng = np.random.default_rng(3)
    for norm in (0.05, 0.3, 0.6):
        rates = [untouched(untouched=int(rng.binomial(30, norm)), answers=30, norm=norm) for _ in range(2000)]
        assert np.mean([each is not None for each in rates]) <= 1.5 * FALSE_ALARM
    flag = untouched(untouched=28, answers=30, norm=0.3)
    assert flag is not None and "as proposed" in flag.detail and flag.p_value < 1e-8
