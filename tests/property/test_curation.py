"""What curation promises for every set of judgements, not only for those somebody thought of."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.services.curation import (
    NONE_GOOD,
    AcceptedModel,
    Decision,
    JudgedCandidate,
    Judgements,
    Outcome,
    Pick,
    ShownPair,
    decide,
)

Row = TypeVar("Row")
CELLS = 4
SOURCES = st.sampled_from(["candid8", "candid8", "candid8", "retrieval"])
RATINGS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])


@st.composite
def picks_of_a_batch(draw: st.DrawFn, *, target: int, first_id: int) -> list[Pick]:
    """Up to three people's picks of the candidates 10 * target + cell, with any comparisons whatever."""
    cells = [10 * target + cell for cell in range(CELLS)]
    picks = []
    for person in range(draw(st.integers(0, 3))):
        shown = draw(st.sets(st.sampled_from(cells), min_size=1))
        winner = draw(st.none() | st.sampled_from(sorted(shown)))
        pairs = draw(
            st.lists(
                st.tuples(
                    st.sampled_from(cells), st.sampled_from(cells), st.sampled_from(list(Outcome))
                ).filter(lambda pair: pair[0] != pair[1]),
                max_size=4,
            )
        )
        number = first_id + person
        picks.append(
            Pick(
                id=number,
                target_id=target,
                batch_id=target,
                annotator_id=person,
                round=1,
                winner=winner,
                rating=None if winner is None else draw(RATINGS),
                none_because="" if winner else draw(st.sampled_from([NONE_GOOD, "mask_wrong"])),
                shown=frozenset(shown),
                pairs=tuple(
                    ShownPair(id=100 * number + order, left=left, right=right, outcome=outcome)
                    for order, (left, right, outcome) in enumerate(pairs)
                ),
            )
        )
    return picks


@st.composite
def all_judgements(draw: st.DrawFn) -> Judgements:
    candidates, picks, accepted = [], [], []
    for target in range(1, draw(st.integers(1, 3)) + 1):
        candidates += [
            JudgedCandidate(id=10 * target + cell, target_id=target, batch_id=target, source=draw(SOURCES))
            for cell in range(CELLS)
        ]
        picks += draw(picks_of_a_batch(target=target, first_id=10 * target))
        if draw(st.booleans()):
            candidates.append(
                JudgedCandidate(id=10 * target + 9, target_id=target, batch_id=None, source="artist")
            )
            accepted.append(
                AcceptedModel(case_id=target, target_id=target, candidate_id=10 * target + 9, artist_id=99)
            )
    return Judgements(candidates=tuple(candidates), picks=tuple(picks), accepted=tuple(accepted))


ALPHAS = st.floats(0, 1)


@given(judgements=all_judgements(), alpha=ALPHAS)
@settings(max_examples=150, deadline=None)
def test_no_candidate_is_both_wanted_and_rejected(judgements: Judgements, alpha: float) -> None:
    decision = decide(judgements, alpha=alpha)
    wanted = {each.candidate_id for each in decision.demonstrations} | {p.chosen for p in decision.pairs}
    assert wanted.isdisjoint(pair.rejected for pair in decision.pairs)


@given(judgements=all_judgements(), alpha=ALPHAS)
@settings(max_examples=150, deadline=None)
def test_pairs_are_of_one_target_really_seen_and_reject_only_our_own(
    judgements: Judgements, alpha: float
) -> None:
    target = {candidate.id: candidate.target_id for candidate in judgements.candidates}
    source = {candidate.id: candidate.source for candidate in judgements.candidates}
    seen = {
        candidate
        for pick in judgements.picks
        for candidate in (*pick.shown, *(half for pair in pick.pairs for half in (pair.left, pair.right)))
    }
    for pair in decide(judgements, alpha=alpha).pairs:
        assert target[pair.chosen] == target[pair.rejected] == pair.target_id
        assert source[pair.rejected] == "candid8"
        assert pair.rejected in seen and (pair.chosen in seen or source[pair.chosen] == "artist")


@given(judgements=all_judgements(), alphas=st.tuples(ALPHAS, ALPHAS))
@settings(max_examples=150, deadline=None)
def test_a_higher_bar_never_adds_a_demonstration(judgements: Judgements, alphas: tuple[float, float]) -> None:
    low, high = (decide(judgements, alpha=alpha) for alpha in sorted(alphas))
    assert _candidates(high) <= _candidates(low)


@given(judgements=all_judgements(), alpha=ALPHAS, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_rows_does_not_matter(judgements: Judgements, alpha: float, seed: int) -> None:
    shuffled = Judgements(
        candidates=_shuffled(judgements.candidates, seed),
        picks=tuple(
            Pick(**{**vars(pick), "pairs": _shuffled(pick.pairs, seed)})
            for pick in _shuffled(judgements.picks, seed)
        ),
        accepted=_shuffled(judgements.accepted, seed),
    )
    assert decide(shuffled, alpha=alpha) == decide(judgements, alpha=alpha)


@given(judgements=all_judgements(), alpha=ALPHAS)
@settings(max_examples=100, deadline=None)
def test_every_pick_is_used_or_named_among_the_exclusions(judgements: Judgements, alpha: float) -> None:
    decision = decide(judgements, alpha=alpha)
    subjects = {exclusion.subject for exclusion in decision.exclusions}
    demonstrated = {(each.candidate_id, each.target_id) for each in decision.demonstrations}
    artists = {model.target_id for model in judgements.accepted}
    for pick in judgements.picks:
        used = (pick.winner, pick.target_id) in demonstrated or (
            pick.winner is None and pick.none_because == NONE_GOOD and pick.target_id in artists
        )
        assert used or f"selection {pick.id}" in subjects


def _candidates(decision: Decision) -> set[int]:
    return {each.candidate_id for each in decision.demonstrations}


def _shuffled(rows: tuple[Row, ...], seed: int) -> tuple[Row, ...]:
    mixed = list(rows)
    Random(seed).shuffle(mixed)
    return tuple(mixed)
