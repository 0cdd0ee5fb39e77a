"""The bias monitor: its measures by hand, its alarm and brake, and a loop that collapses without them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.ranking.bias import (
    BiasPolicy,
    RoundBias,
    acceptance_odds,
    alarm,
    brake,
    coverage,
    effective_number,
    own_share,
)


def test_the_share_of_our_own_model_comes_with_its_interval() -> None:
    found = own_share({"candid8": 80, "artist": 15, "retrieval": 5}, own="candid8")
    assert found is not None and found.value == 0.8 and 0.7 < found.low < 0.8 < found.high < 0.9
    assert own_share({}, own="candid8") is None


def test_coverage_falls_when_the_accepted_crowd_in_one_part_though_far_outliers_are_there() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(400, 3))
    assert coverage(rng.normal(size=(400, 3)), reference) > 0.9
    crowded = np.vstack([rng.normal(size=(380, 3)) * 0.15, rng.normal(size=(20, 3)) * 20])
    assert coverage(crowded, reference) < 0.4
    assert coverage(np.zeros((0, 3)), reference) == 0
    with pytest.raises(ValueError, match="more than 5"):
        coverage(reference, reference[:5])


def test_the_effective_number_counts_kinds_not_copies() -> None:
    kinds = np.eye(4) * 100
    assert effective_number(kinds, bandwidth=1.0) == pytest.approx(4)
    assert effective_number(np.repeat(kinds, 5, axis=0), bandwidth=1.0) == pytest.approx(4)
    assert effective_number(np.ones((7, 3)), bandwidth=1.0) == pytest.approx(1)


def judged(favour: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """3000 candidates; our own are better by one unit, and favoured by ``favour`` log-odds beyond that."""
    rng = np.random.default_rng(seed)
    own = rng.random(3000) < 0.5
    quality = rng.normal(size=3000) + own
    logits = 1.2 * quality + favour * own - 1
    return rng.random(3000) < 1 / (1 + np.exp(-logits)), own, quality


def test_favour_for_our_own_is_told_apart_from_our_own_being_better() -> None:
    rng = np.random.default_rng(2)
    for favour in (0.0, 0.7):
        accepted, own, quality = judged(favour, seed=5)
        found = acceptance_odds(accepted=accepted, own=own, quality=quality, rng=rng, num_samples=60)
        assert found.low <= favour <= found.high
        assert found.width < 0.5
    raw = float(accepted[own].mean() - accepted[~own].mean())
    assert raw > 0.2, "the plain acceptance rates differ though nothing need be wrong"


def test_the_alarm_says_what_is_wrong_and_is_silent_when_all_is_well() -> None:
    well = [
        RoundBias(number=1, own_share=0.6, coverage=0.8),
        RoundBias(number=2, own_share=0.7, coverage=0.78),
    ]
    assert not alarm(well).is_raised and not alarm([]).is_raised
    bad = [*well, RoundBias(number=3, own_share=0.95, coverage=0.45)]
    assert alarm(bad).reasons == (
        "95 % of the demonstrations are our own model's.",
        "Accepted shapes cover only 45 % of the targets' shapes.",
        "Coverage fell from 80 % to 45 %.",
    )
    assert not alarm([RoundBias(number=1, own_share=None, coverage=None)]).is_raised


def test_the_brake_holds_a_least_share_for_others_and_changes_nothing_else() -> None:
    asked = {"candid8": 0.98, "retrieval": 0.015, "trellis": 0.005}
    braked = brake(asked, own="candid8", is_alarmed=True)
    assert braked == pytest.approx({"candid8": 0.75, "retrieval": 0.1875, "trellis": 0.0625})
    assert brake(braked, own="candid8", is_alarmed=True) == braked
    assert brake({"candid8": 1.0, "retrieval": 0.0}, own="candid8", is_alarmed=False) == pytest.approx(
        {"candid8": 0.95, "retrieval": 0.05}
    )
    with pytest.raises(ValueError, match="another source"):
        brake({"candid8": 1.0}, own="candid8", is_alarmed=True)
    with pytest.raises(ValueError, match="sum to 1"):
        brake({"candid8": 0.7}, own="candid8", is_alarmed=True)


def loop(*, is_braked: bool, seed: int, rounds: int = 10) -> tuple[list[float], int]:
    """A toy flywheel: coverage by round, and in how many rounds the alarm was on.

    The model is a Gaussian fitted to what was accepted. People accept what looks sharp, which is what lies near the
    model's own mean, so that each fit is narrower. The other source draws from the targets' real distribution.
    """
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(400, 2))
    mean, spread = np.zeros(2), np.ones(2)
    shares = {"candid8": 0.98, "retrieval": 0.02}
    history: list[RoundBias] = []
    alarms = 0
    for number in range(rounds):
        is_alarmed = alarm(history).is_raised
        alarms += is_alarmed
        mix = brake(shares, own="candid8", is_alarmed=True) if is_braked and is_alarmed else shares
        num_own = int(400 * mix["candid8"])
        own = mean + spread * rng.normal(size=(num_own, 2))
        own = own[np.linalg.norm((own - mean) / spread, axis=1) < 1.5]
        other = rng.normal(size=(400 - num_own, 2))
        accepted = np.vstack([own, other])
        covered = coverage(accepted, reference)
        history.append(RoundBias(number=number, own_share=len(own) / len(accepted), coverage=covered))
        mean, spread = accepted.mean(axis=0), accepted.std(axis=0)
    return [each.coverage or 0.0 for each in history], alarms


def test_a_loop_that_feeds_on_itself_collapses_and_the_brake_keeps_it_open() -> None:
    free, alarms = zip(*(loop(is_braked=False, seed=seed) for seed in range(5)), strict=True)
    held, _ = zip(*(loop(is_braked=True, seed=seed) for seed in range(5)), strict=True)
    without, with_brake = np.mean([each[-1] for each in free]), np.mean([each[-1] for each in held])
    assert min(alarms) >= 5, "the alarm notices"
    assert without < 0.55
    assert with_brake > without + 0.2
    assert BiasPolicy().least_foreign == 0.25
