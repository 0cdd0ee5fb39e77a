"""Agreement beyond chance, against published worked examples and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.ranking.agreement import alpha_with_interval, krippendorff_alpha, mask_iou, pick_agreement

_ = np.nan
#: Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", four observers and twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)


def test_the_published_example_gives_the_published_alphas() -> None:
    assert krippendorff_alpha(PUBLISHED, level="nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(PUBLISHED, level="ordinal") == pytest.approx(0.815, abs=5e-4)


def test_a_larger_table_with_holes_gives_what_the_reference_package_gives() -> None:
    # Values of the package krippendorff 0.9 on this very table.
    rng = np.random.default_rng(7)
    table = rng.integers(0, 9, size=(5, 40)).astype(float)
    table[rng.random(table.shape) < 0.4] = np.nan
    same = rng.random(table.shape) < 0.6
    table = np.where(same, rng.integers(0, 9, size=40)[None, :].repeat(5, 0), table)
    assert krippendorff_alpha(table, level="nominal") == pytest.approx(0.49172491192180934)
    assert krippendorff_alpha(table, level="ordinal") == pytest.approx(0.5643581156003461)


def test_chance_is_zero_perfect_is_one_and_nothing_shared_is_nothing() -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(1, 6, size=(2, 4000)).astype(float)
    assert krippendorff_alpha(noise, level="nominal") == pytest.approx(0, abs=0.03)
    assert krippendorff_alpha(np.array([[1.0, 2, 3], [1, 2, 3]]), level="ordinal") == 1
    assert np.isnan(krippendorff_alpha(np.array([[1.0, np.nan], [np.nan, 2]]), level="nominal"))
    assert alpha_with_interval(np.array([[1.0], [np.nan]]), level="nominal", rng=rng) is None


def test_a_near_miss_costs_less_on_an_ordinal_scale() -> None:
    near = np.array([[1.0, 2, 3, 4, 5, 1, 5], [1, 2, 3, 4, 4, 2, 5]])
    assert krippendorff_alpha(near, level="ordinal") > krippendorff_alpha(near, level="nominal") + 0.1


def test_the_interval_holds_the_estimate_and_narrows_with_more_units() -> None:
    rng = np.random.default_rng(3)

    def width(number: int) -> float:
        truth = rng.integers(1, 6, size=number)
        other = np.where(rng.random(number) < 0.7, truth, rng.integers(1, 6, size=number))
        found = alpha_with_interval(
            np.stack([truth, other]).astype(float), level="nominal", rng=rng, num_samples=100
        )
        assert found is not None and found.low <= found.value <= found.high
        return found.width

    assert width(1600) < 0.6 * width(100)


def test_picks_of_eight_agree_by_luck_one_time_in_eight() -> None:
    rng = np.random.default_rng(1)
    task = np.repeat(np.arange(3000), 2)
    luck = pick_agreement(task=task, label=rng.integers(8, size=6000), num_options=np.full(6000, 8), rng=rng)
    assert luck is not None
    assert luck.chance == pytest.approx(1 / 8) and luck.num_pairs == 3000
    assert luck.observed.low <= 1 / 8 <= luck.observed.high
    assert luck.beyond_chance.low <= 0 <= luck.beyond_chance.high


def test_pick_agreement_by_hand() -> None:
    rng = np.random.default_rng(0)
    # Task 0: three answers, two alike (1 of 3 pairs). Task 1: two alike, of four options. Task 2: alone.
    found = pick_agreement(
        task=np.array([0, 0, 0, 1, 1, 2]),
        label=np.array([1, 1, 0, 3, 3, 2]),
        num_options=np.array([8, 8, 8, 4, 4, 8]),
        rng=rng,
    )
    assert found is not None
    assert (found.num_tasks, found.num_pairs) == (2, 4)
    assert found.observed.value == pytest.approx(2 / 4)
    assert found.chance == pytest.approx((3 / 8 + 1 / 4) / 4)
    assert found.beyond_chance.value == pytest.approx((0.5 - 0.15625) / (1 - 0.15625))
    assert pick_agreement(task=np.array([2]), label=np.array([0]), num_options=np.array([8]), rng=rng) is None


def test_masks_overlap_by_hand() -> None:
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(one, two) == 1
    one[:2], two[1:3] = True, True
    assert mask_iou(one, two) == pytest.approx(4 / 12)
    with pytest.raises(ValueError, match="one size"):
        mask_iou(one, np.zeros((2, 2), bool))
