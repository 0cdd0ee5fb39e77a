"""Who is paused: spammers soon, honest people never, and nobody for being quick."""

from __future__ import annotations

import numpy as np

from engine.ranking.pausing import Case, reason_to_pause
from engine.ranking.reliability import Agreement, leave_one_out
from tests.unit.test_reliability import SPAMMERS, WORKERS, crowd

NOTHING_SHARED = Agreement(num_answers=0, share=None, chance=None)


def paused(*, seed: int, per_worker: int, honest: float) -> list[bool]:
    agreements = leave_one_out(crowd(seed=seed, per_worker=per_worker, honest=honest)[0])
    shares = [each.share.value for each in agreements if each.share is not None]
    found = []
    for worker, agreement in enumerate(agreements):
        others = float(np.mean(np.delete(np.array(shares), worker)))
        found.append(bool(reason_to_pause(Case(agreement=agreement, one_coin=None), crowd=others)))
    return found


def test_no_honest_person_of_ten_crowds_is_paused_by_agreement_and_most_spammers_are_by_sixty_answers() -> (
    None
):
    honest, spam = [], []
    for seed in range(10):
        verdicts = paused(seed=seed, per_worker=60, honest=0.75)
        spam += verdicts[:SPAMMERS]
        honest += verdicts[SPAMMERS:]
    assert len(honest) == 10 * (WORKERS - SPAMMERS)
    assert np.mean(honest) <= 0.003
    assert np.mean(spam) > 0.8


def test_with_few_shared_answers_nobody_is_paused() -> None:
    assert not any(paused(seed=1, per_worker=16, honest=0.75))


def test_gold_alone_catches_a_random_picker_in_a_few_answers_and_spares_an_honest_one() -> None:
    bad = Case(agreement=NOTHING_SHARED, one_coin=None, gold=[False] * 4)
    assert "0 of 4 gold tasks" in reason_to_pause(bad, crowd=None)
    good = Case(agreement=NOTHING_SHARED, one_coin=None, gold=[True, True, False, True, True, True])
    assert reason_to_pause(good, crowd=0.7) == ""
    assert reason_to_pause(Case(agreement=NOTHING_SHARED, one_coin=None), crowd=None) == ""


def test_where_the_crowd_itself_agrees_no_more_than_chance_nobody_is_accused() -> None:
    agreement = leave_one_out(crowd(seed=2, per_worker=60, honest=1 / 8)[0])[0]
    assert reason_to_pause(Case(agreement=agreement, one_coin=None), crowd=0.12) == ""
