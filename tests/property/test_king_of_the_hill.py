"""King of the hill: every way a person can really go is accepted, and no chain that could not have happened."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.selectors.tasks import shown_order
from engine.services.stage2 import PairJudged, PickResult, check_pick, rating_of

OUTCOMES = ["left", "right", "equal"]


@st.composite
def played(draw: st.DrawFn) -> tuple[list[int], PickResult]:
    """Ids of a batch and a game over them, the king on either side each time."""
    ids = draw(st.lists(st.integers(1, 500), min_size=2, max_size=9, unique=True))
    order = draw(st.permutations(ids))
    king, pairs = order[0], []
    for challenger in order[1:]:
        left, right = (king, challenger) if draw(st.booleans()) else (challenger, king)
        outcome = draw(st.sampled_from(OUTCOMES))
        pairs.append(PairJudged(left=left, right=right, outcome=outcome))
        king = {"left": left, "right": right}.get(outcome) or draw(st.sampled_from([left, right]))
    result = PickResult(winner=king, mode="king", shape_rating=3, texture_rating=3, comparisons=pairs)
    return ids, result


@given(game=played())
def test_every_real_game_is_accepted(game: tuple[list[int], PickResult]) -> None:
    ids, result = game
    check_pick(result, ids=ids)


@given(game=played(), data=st.data())
def test_a_game_with_a_pair_missing_or_twice_is_refused(
    game: tuple[list[int], PickResult], data: st.DataObject
) -> None:
    ids, result = game
    pairs = list(result.comparisons)
    where = data.draw(st.integers(0, len(pairs) - 1))
    for spoiled in (pairs[:where] + pairs[where + 1 :], pairs[: where + 1] + pairs[where:]):
        with pytest.raises(BadInput):
            check_pick(replace(result, comparisons=spoiled), ids=ids)


@given(game=played(), data=st.data())
def test_a_loser_never_wins(game: tuple[list[int], PickResult], data: st.DataObject) -> None:
    ids, result = game
    last = result.comparisons[-1]
    kings = {"left": {last.left}, "right": {last.right}}.get(last.outcome, {last.left, last.right})
    losers = sorted(set(ids) - kings)
    if losers:
        with pytest.raises(BadInput, match="did not win"):
            check_pick(replace(result, winner=data.draw(st.sampled_from(losers))), ids=ids)


@given(ids=st.lists(st.integers(1, 500), unique=True), who=st.uuids())
def test_the_shown_order_is_a_permutation_that_depends_on_the_person_alone(
    ids: list[int], who: object
) -> None:
    assert sorted(shown_order(who, ids)) == sorted(ids)  # type: ignore[arg-type]
    assert shown_order(who, ids) == shown_order(who, reversed(ids))  # type: ignore[arg-type]


@given(shape=st.integers(1, 5), texture=st.integers(1, 5))
def test_a_rating_lies_in_0_to_1_and_grows_with_each_mark(shape: int, texture: int) -> None:
    rating = rating_of(shape_rating=shape, texture_rating=texture)
    assert 0 <= rating <= 1
    assert (
        rating_of(shape_rating=5, texture_rating=5) == 1 and rating_of(shape_rating=1, texture_rating=1) == 0
    )
    if shape < 5:
        assert rating_of(shape_rating=shape + 1, texture_rating=texture) > rating
