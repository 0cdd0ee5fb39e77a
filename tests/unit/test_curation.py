"""What each kind of judgement becomes, by example."""

from __future__ import annotations

from typing import Any

import pytest

from engine.services.curation import (
    AcceptedModel,
    Decision,
    Evidence,
    Exclusion,
    JudgedCandidate,
    Judgements,
    Outcome,
    Pick,
    Reason,
    ShownPair,
    decide,
)

A, B, C, D = 1, 2, 3, 4
ARTISTS = 9


def ours(*ids: int, target: int = 1, source: str = "candid8") -> tuple[JudgedCandidate, ...]:
    return tuple(JudgedCandidate(id=i, target_id=target, batch_id=target, source=source) for i in ids)


def pick(number: int, winner: int | None, **changes: Any) -> Pick:
    fields: dict[str, Any] = {
        "target_id": 1,
        "batch_id": 1,
        "annotator_id": number,
        "round": 1,
        "rating": None if winner is None else 0.75,
        "none_because": "none_good" if winner is None else "",
        "shown": frozenset({A, B, C}),
    }
    return Pick(id=number, winner=winner, **(fields | changes))


def shown(*pairs: tuple[int, int, str]) -> tuple[ShownPair, ...]:
    return tuple(
        ShownPair(id=order, left=left, right=right, outcome=Outcome(outcome))
        for order, (left, right, outcome) in enumerate(pairs, start=1)
    )


def decided(*picks: Pick, alpha: float = 0.5, **changes: Any) -> Decision:
    fields: dict[str, Any] = {"candidates": ours(A, B, C), "picks": picks}
    return decide(Judgements(**(fields | changes)), alpha=alpha)


def pairs(decision: Decision) -> list[tuple[int, int]]:
    return [(pair.chosen, pair.rejected) for pair in decision.pairs]


def demonstrations(decision: Decision) -> list[int]:
    return [each.candidate_id for each in decision.demonstrations]


def test_a_grid_pick_prefers_the_winner_to_each_other_shown_candidate_and_says_no_more() -> None:
    decision = decided(pick(1, B))
    assert demonstrations(decision) == [B]
    assert pairs(decision) == [(B, A), (B, C)]
    assert not decision.exclusions


def test_a_candidate_that_was_not_shown_makes_no_pair() -> None:
    decision = decided(pick(1, B, shown=frozenset({A, B})))
    assert pairs(decision) == [(B, A)]
    assert decision.exclusions == (Exclusion(subject="pair 2>3", reason=Reason.NOT_SHOWN),)


def test_a_winner_below_alpha_is_no_demonstration_but_still_beats_the_rest() -> None:
    decision = decided(pick(1, B, rating=0.25))
    assert demonstrations(decision) == []
    assert pairs(decision) == [(B, A), (B, C)]
    assert decision.exclusions == (Exclusion(subject="selection 1", reason=Reason.BELOW_ALPHA),)


def test_a_winner_called_bad_in_everything_makes_no_pair() -> None:
    decision = decided(pick(1, B, rating=0.0))
    assert pairs(decision) == []
    assert Exclusion(subject="selection 1", reason=Reason.BELOW_PAIR_FLOOR) in decision.exclusions


def test_a_rating_exactly_at_alpha_passes() -> None:
    assert demonstrations(decided(pick(1, B, rating=0.5), alpha=0.5)) == [B]


@pytest.mark.parametrize(("outcome", "reason"), [("equal", Reason.EQUAL), ("right", Reason.LOST_TO_IT)])
def test_a_pair_called_equal_or_lost_by_the_winner_is_left_out(outcome: str, reason: Reason) -> None:
    decision = decided(pick(1, B, pairs=shown((B, A, outcome))))
    assert pairs(decision) == [(B, C)]
    assert Exclusion(subject="pair 2>1", reason=reason) in decision.exclusions


def test_in_a_king_of_the_hill_who_loses_later_is_rejected_only() -> None:
    chain = shown((A, B, "left"), (A, C, "right"))
    decision = decided(pick(1, C, pairs=chain))
    assert pairs(decision) == [(C, A), (C, B)]
    assert Exclusion(subject="pair 1>2", reason=Reason.CONTRADICTED) in decision.exclusions


def test_shown_pairs_of_a_pick_whose_winner_is_bad_still_count() -> None:
    decision = decided(pick(1, C, rating=0.0, pairs=shown((A, B, "left"), (A, C, "right"))))
    assert pairs(decision) == [(C, A)]
    assert decision.pairs[0].evidence == Evidence.SHOWN


def test_only_our_own_models_candidates_are_rejected() -> None:
    mixed = (*ours(A, B), *ours(C, source="retrieval"))
    decision = decided(pick(1, A), candidates=mixed)
    assert pairs(decision) == [(A, B)]
    assert decision.exclusions == (Exclusion(subject="pair 1>3", reason=Reason.NOT_OURS),)


def test_a_foreign_winner_is_a_demonstration_and_may_be_chosen() -> None:
    mixed = (*ours(A, B), *ours(C, source="retrieval"))
    decision = decided(pick(1, C), candidates=mixed)
    assert decision.demonstrations[0].source == "retrieval"
    assert pairs(decision) == [(C, A), (C, B)]


def test_the_latest_judgement_of_a_target_makes_the_demonstration() -> None:
    decision = decided(pick(2, B), pick(1, A))
    assert demonstrations(decision) == [B]
    assert Exclusion(subject="selection 1", reason=Reason.SUPERSEDED) in decision.exclusions


def test_where_annotators_disagree_nothing_rejects_what_either_chose() -> None:
    decision = decided(pick(1, A), pick(2, B))
    assert pairs(decision) == [(A, C), (B, C)]
    contradicted = {each.subject for each in decision.exclusions if each.reason == Reason.CONTRADICTED}
    assert contradicted == {"pair 1>2", "pair 2>1"}


def test_none_good_rejects_the_shown_candidates_once_an_artists_model_is_accepted() -> None:
    artist = JudgedCandidate(id=ARTISTS, target_id=1, batch_id=None, source="artist")
    waiting = decided(pick(1, None))
    assert (waiting.demonstrations, waiting.pairs) == ((), ())
    assert waiting.exclusions == (Exclusion(subject="selection 1", reason=Reason.NONE_GOOD),)

    accepted = AcceptedModel(case_id=5, target_id=1, candidate_id=ARTISTS, artist_id=7)
    solved = decided(pick(1, None), candidates=(*ours(A, B, C), artist), accepted=(accepted,))
    assert [(each.source, each.rating, each.annotator_id) for each in solved.demonstrations] == [
        ("artist", None, 7)
    ]
    assert pairs(solved) == [(ARTISTS, A), (ARTISTS, B), (ARTISTS, C)]


def test_none_good_says_nothing_about_candidates_that_did_not_come_up() -> None:
    artist = JudgedCandidate(id=ARTISTS, target_id=1, batch_id=None, source="artist")
    accepted = AcceptedModel(case_id=5, target_id=1, candidate_id=ARTISTS, artist_id=7)
    decision = decided(
        pick(1, None, shown=frozenset({A})), candidates=(*ours(A, B), artist), accepted=(accepted,)
    )
    assert pairs(decision) == [(ARTISTS, A)]
    assert decision.exclusions == (Exclusion(subject="pair 9>2", reason=Reason.NOT_SHOWN),)


def test_an_escalation_for_a_wrong_mask_says_nothing_about_the_candidates() -> None:
    decision = decided(pick(1, None, none_because="mask_wrong"))
    assert decision.exclusions == (Exclusion(subject="selection 1", reason=Reason.TASK_AT_FAULT),)


def test_an_artists_model_is_in_whatever_alpha_is() -> None:
    artist = JudgedCandidate(id=ARTISTS, target_id=1, batch_id=None, source="artist")
    accepted = AcceptedModel(case_id=5, target_id=1, candidate_id=ARTISTS, artist_id=None)
    decision = decided(candidates=(artist,), accepted=(accepted,), alpha=1.0)
    assert demonstrations(decision) == [ARTISTS]
