"""What a version holds back: an audit set nobody trains on, and the brake on the model's own demonstrations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.services.curation import (
    AcceptedModel,
    Demonstration,
    JudgedCandidate,
    Judgements,
    Pick,
    Reason,
    decide,
)
from engine.services.holding_back import REFUSE, HoldingBack, audited_targets, hold_back

OURS, ART = "candid8", "artist"


def judged(*, solved: int, hard: int, also_solved: int = 0) -> Judgements:
    """``solved`` targets whose winner is ours, rated ever better; ``hard`` ones that an artist modelled.

    Of the hard ones ``also_solved`` had a rated winner by somebody else.
    """
    candidates, picks, accepted = [], [], []
    for target in range(1, solved + hard + 1):
        ids = [10 * target + 1, 10 * target + 2]
        candidates += [JudgedCandidate(id=pk, target_id=target, batch_id=target, source=OURS) for pk in ids]
        is_hard = target > solved
        common = {"target_id": target, "batch_id": target, "annotator_id": 1, "round": 1}
        picks.append(
            Pick(
                id=target,
                winner=None if is_hard else ids[0],
                rating=None if is_hard else min(1.0, 0.5 + target / 1000),
                none_because="none_good" if is_hard else "",
                shown=frozenset(ids),
                **common,  # type: ignore[arg-type]
            )
        )
        if is_hard:
            model = 10 * target + 9
            candidates.append(JudgedCandidate(id=model, target_id=target, batch_id=None, source=ART))
            accepted.append(AcceptedModel(case_id=target, target_id=target, candidate_id=model, artist_id=2))
        if solved < target <= solved + also_solved:
            picks.append(
                Pick(
                    id=1000 + target, winner=ids[1], rating=0.9, none_because="", shown=frozenset(ids),
                    **common,  # type: ignore[arg-type]
                )
            )  # fmt: skip
    return Judgements(candidates=tuple(candidates), picks=tuple(picks), accepted=tuple(accepted))


def own(demonstrations: tuple[Demonstration, ...]) -> list[int]:
    return [each.candidate_id for each in demonstrations if each.source == OURS]


def test_without_rules_nothing_is_held_back() -> None:
    judgements = judged(solved=5, hard=3)
    decision = decide(judgements, alpha=0.5)
    kept = hold_back(decision, judgements, HoldingBack())
    assert kept.decision == decision and kept.audit == ()


def test_the_brake_leaves_the_least_rated_of_our_own_out_with_the_reason() -> None:
    judgements = judged(solved=20, hard=2)
    decision = decide(judgements, alpha=0.5)
    kept = hold_back(decision, judgements, HoldingBack(least_foreign=0.25))
    assert (kept.num_own_offered, kept.num_own_kept, kept.num_foreign) == (20, 6, 2)
    assert own(kept.decision.demonstrations) == [10 * target + 1 for target in range(15, 21)]
    braked = [each.subject for each in kept.decision.exclusions if each.reason == Reason.BRAKE]
    assert len(braked) == 14 and "demonstration 11" in braked
    assert kept.decision.pairs == decision.pairs, (
        "preferences say what was rejected, and that is our own always"
    )


def test_enough_of_others_is_left_alone() -> None:
    judgements = judged(solved=3, hard=1)
    decision = decide(judgements, alpha=0.5)
    assert hold_back(decision, judgements, HoldingBack(least_foreign=0.25)).decision == decision


@pytest.mark.parametrize(
    ("rules", "hard"),
    [(HoldingBack(least_foreign=0.5, brake=REFUSE), 1), (HoldingBack(least_foreign=0.1), 0)],
)
def test_the_brake_refuses_where_it_is_told_to_and_where_nothing_else_is_there(
    rules: HoldingBack, hard: int
) -> None:
    judgements = judged(solved=5, hard=hard)
    with pytest.raises(BadInput, match="not our own model's") as refused:
        hold_back(decide(judgements, alpha=0.5), judgements, rules)
    assert refused.value.code == "too_much_our_own"


def test_audited_targets_leave_no_trace_in_what_is_trained_on() -> None:
    judgements = judged(solved=5, hard=200)
    decision = decide(judgements, alpha=0.5)
    rules = HoldingBack(audit_share=0.3, salt="project 7")
    kept = hold_back(decision, judgements, rules)
    audited = audited_targets(judgements, rules)
    assert {each.target_id for each in kept.audit} == audited and 40 <= len(audited) <= 80
    assert not audited & {each.target_id for each in kept.decision.demonstrations}
    assert not audited & {pair.target_id for pair in kept.decision.pairs}
    assert {each.source for each in kept.audit} == {ART}
    reasons = {each.reason for each in kept.decision.exclusions}
    assert Reason.AUDIT in reasons and Reason.BRAKE not in reasons
    other = audited_targets(judgements, HoldingBack(audit_share=0.3, salt="project 8"))
    assert other != audited


def test_what_somebody_solved_may_have_been_trained_on_and_is_not_audited() -> None:
    judgements = judged(solved=0, hard=50, also_solved=20)
    audited = audited_targets(judgements, HoldingBack(audit_share=0.5))
    assert audited and min(audited) > 20


def test_a_target_is_audited_before_its_model_is_there() -> None:
    whole = judged(solved=2, hard=40)
    before = Judgements(candidates=whole.candidates, picks=whole.picks)
    rules = HoldingBack(audit_share=0.4, salt="x")
    assert audited_targets(before, rules) == audited_targets(whole, rules)


@given(
    solved=st.integers(0, 30), hard=st.integers(1, 20), least=st.floats(0.01, 0.9), share=st.floats(0, 0.5)
)
def test_the_share_holds_and_nothing_is_lost_without_a_reason(
    solved: int, hard: int, least: float, share: float
) -> None:
    judgements = judged(solved=solved, hard=hard)
    decision = decide(judgements, alpha=0.5)
    rules = HoldingBack(least_foreign=least, audit_share=share, salt="p")
    try:
        kept = hold_back(decision, judgements, rules)
    except BadInput:
        return
    left = kept.decision.demonstrations
    if own(left):
        assert 1 - len(own(left)) / len(left) >= least - 1e-9
    named = {each.subject for each in kept.decision.exclusions}
    gone = {each.candidate_id for each in decision.demonstrations} - {each.candidate_id for each in left}
    assert {f"demonstration {number}" for number in gone} <= named
