"""The gate a checkpoint must pass: what lets it through, what holds it, and how rarely luck gets by."""

from __future__ import annotations

import numpy as np
import pytest

from engine.ranking.gate import (
    GatePolicy,
    GateVerdict,
    Measure,
    Votes,
    evidence_for_better,
    judge,
)
from engine.ranking.intervals import Estimate

FINE = (
    Measure(name="volume IoU", difference=Estimate(value=0.01, low=-0.01, high=0.03), higher_is_better=True),
)
CLEAR = Votes(wins=140, losses=70, ties=20)


def verdict(votes: Votes, **changes: object) -> GateVerdict:
    arguments = {"num_annotators": 12, "slices": {}, "measures": FINE, **changes}
    return judge(votes, **arguments).verdict  # type: ignore[arg-type]


def test_clear_votes_of_enough_people_with_nothing_worse_pass() -> None:
    gate = judge(CLEAR, num_annotators=12, slices={"mug": Votes(wins=30, losses=12)}, measures=FINE)
    assert gate.verdict == GateVerdict.PASS
    assert gate.certainty > 0.999 and gate.win.low > 0.5
    assert gate.reasons == ("It is preferred, and nothing got worse.",)


def test_too_few_votes_too_few_people_or_no_geometry_make_it_wait_and_each_is_said() -> None:
    gate = judge(Votes(wins=30, losses=5), num_annotators=3, slices={}, measures=None)
    assert gate.verdict == GateVerdict.WAIT
    assert gate.reasons[0] == "35 of at least 200 votes are in."
    assert gate.reasons[1] == "3 of at least 10 people have voted."
    assert "not evaluated" in gate.reasons[2]
    assert verdict(Votes(wins=104, losses=96)) == GateVerdict.WAIT


def test_one_slice_that_surely_loses_refuses_whatever_the_votes_say() -> None:
    worse = {"mug": Votes(wins=60, losses=10), "chair": Votes(wins=4, losses=20)}
    gate = judge(CLEAR, num_annotators=12, slices=worse, measures=FINE)
    assert gate.verdict == GateVerdict.REFUSE
    assert gate.reasons == ("It is worse on chair: 4 won, 20 lost, 0 equal.",)
    assert verdict(CLEAR, slices={"chair": Votes(wins=1, losses=5)}) == GateVerdict.PASS, "six votes are luck"


def test_a_geometry_metric_that_is_surely_worse_refuses() -> None:
    longer = Measure(
        name="chamfer", difference=Estimate(value=0.02, low=0.01, high=0.03), higher_is_better=False
    )
    gate = judge(CLEAR, num_annotators=12, slices={}, measures=(*FINE, longer))
    assert gate.verdict == GateVerdict.REFUSE and "chamfer is worse" in gate.reasons[0]


def test_votes_that_say_worse_refuse() -> None:
    assert verdict(Votes(wins=60, losses=140)) == GateVerdict.REFUSE


def test_the_evidence_is_a_fair_bet() -> None:
    assert evidence_for_better(Votes()) == pytest.approx(1)
    # Uniform on (1/2, 1): the chance of one win is 3/4, against 1/2.
    assert evidence_for_better(Votes(wins=1)) == pytest.approx(1.5)
    assert evidence_for_better(Votes(losses=1)) == pytest.approx(0.5)
    assert evidence_for_better(Votes(wins=1, ties=9)) == pytest.approx(1.5)


def first_pass(win: float, *, rng: np.random.Generator, most: int = 1500) -> int | None:
    """Looks after every vote; the number of votes when it first passes."""
    policy = GatePolicy(min_votes=50)
    wins = np.cumsum(rng.random(most) < win)
    for number in range(50, most + 1, 1):
        votes = Votes(wins=int(wins[number - 1]), losses=number - int(wins[number - 1]))
        if evidence_for_better(votes) < 1 / policy.error:
            continue
        if (
            judge(votes, num_annotators=12, slices={}, measures=FINE, policy=policy).verdict
            == GateVerdict.PASS
        ):
            return number
    return None


def test_a_checkpoint_that_is_no_better_seldom_passes_though_one_looks_after_every_vote() -> None:
    rng = np.random.default_rng(17)
    passed = [first_pass(0.5, rng=rng, most=600) is not None for _ in range(150)]
    assert np.mean(passed) <= GatePolicy().error


def test_one_that_wins_six_of_ten_passes_within_some_hundred_votes() -> None:
    rng = np.random.default_rng(18)
    needed = [first_pass(0.62, rng=rng) for _ in range(40)]
    assert all(each is not None for each in needed)
    assert np.median([each or 0 for each in needed]) < 350
