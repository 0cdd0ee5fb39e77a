"""The order of new work: classes in turn, towards the rare and the poorly solved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ranking.sampling import (
    BAND_SIZES,
    TOP_BAND,
    ClassRecord,
    Waiting,
    bands,
    class_shares,
    difficulty,
    order,
    total_variation,
)


def tasks(**how_many: int) -> list[Waiting]:
    """So many of each class, the classes one after another."""
    names = [name for name, count in how_many.items() for _ in range(count)]
    return [Waiting(id=number, class_name=name, level=1) for number, name in enumerate(names)]


def test_classes_come_in_turn_whatever_their_numbers() -> None:
    waiting = tasks(mug=50, toy=5, vase=5)
    names = {task.id: task.class_name for task in waiting}
    first = Counter(names[number] for number in order(waiting, {})[:15])
    assert first == {"mug": 5, "toy": 5, "vase": 5}


def test_a_class_that_was_judged_much_waits_until_the_others_have_caught_up() -> None:
    waiting = tasks(mug=10, toy=10)
    names = {task.id: task.class_name for task in waiting}
    done = {"mug": ClassRecord(num_judged=4)}
    assert [names[number] for number in order(waiting, done)[:6]] == ["toy"] * 4 + ["mug", "toy"]


def test_what_is_poorly_solved_gets_up_to_twice_as_much() -> None:
    solved = ClassRecord(num_tried=1000, num_passing=1000)
    failing = ClassRecord(num_tried=1000, num_passing=0)
    shares = class_shares({"mug": solved, "toy": failing}, present=["mug", "toy", "vase"])
    assert shares["toy"] / shares["mug"] == pytest.approx(2, rel=0.01)
    assert shares["vase"] == pytest.approx(1.5 / 4.5, rel=0.01), "nobody has tried it: half solved"


def test_unsettled_come_first_then_uncertain_then_easy_ones_of_a_class() -> None:
    waiting = [
        Waiting(id=1, class_name="mug", level=3),
        Waiting(id=2, class_name="mug", level=1),
        Waiting(id=3, class_name="mug", level=2, is_uncertain=True),
        Waiting(id=4, class_name="mug", level=2, is_unsettled=True),
    ]
    assert order(waiting, {}) == [4, 3, 1, 2]
    assert order(waiting, {}, easy_first=True) == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("share", "flags", "level"),
    [(0.2, (), 1), (0.02, (), 2), (0.001, (), 3), (0.2, ("occluded",), 2), (0.001, ("truncated",), 3)],
)
def test_small_and_hidden_targets_are_hard(share: float, flags: tuple[str, ...], level: int) -> None:
    assert difficulty(area_share=share, flags=flags) == level


def test_bands_are_small_at_the_head_and_end() -> None:
    banded = bands(range(sum(BAND_SIZES) + 10))
    assert [len(banded[TOP_BAND - step]) for step in range(TOP_BAND)] == list(BAND_SIZES)
    assert banded[TOP_BAND][0] == 0 and min(banded) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans(), st.booleans()), max_size=40),
    st.booleans(),
)
def test_every_task_is_ordered_once_whatever_they_are(
    rows: list[tuple[str, int, bool, bool]], easy_first: bool
) -> None:
    waiting = [
        Waiting(id=number, class_name=name, level=level, is_unsettled=unsettled, is_uncertain=uncertain)
        for number, (name, level, unsettled, uncertain) in enumerate(rows)
    ]
    found = order(waiting, {"a": ClassRecord(num_judged=7)}, easy_first=easy_first)
    assert sorted(found) == list(range(len(rows)))
    assert found == order(list(reversed(waiting)), {"a": ClassRecord(num_judged=7)}, easy_first=easy_first)


def test_drift_is_nothing_for_the_same_mix_and_one_for_another() -> None:
    assert total_variation({"a": 2, "b": 4}, {"a": 1, "b": 2}) == 0
    assert total_variation({"a": 2}, {"b": 5}) == 1
    assert total_variation({"a": 3, "b": 1}, {"a": 1, "b": 1}) == pytest.approx(0.25)
    assert total_variation({}, {"a": 1}) is None
