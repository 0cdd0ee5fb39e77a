"""The rails of a family: every checkpoint has a place of its own, and no line runs through another checkpoint."""

from __future__ import annotations

import random

from engine.admin.console.family_rails import rails
from engine.models import Checkpoint
from engine.selectors.family import Family, Relative, lanes


def test_a_chain_stands_in_one_lane() -> None:
    assert lanes({1: None, 2: 1, 3: 2}) == {1: 0, 2: 0, 3: 0}


def test_the_newest_branch_keeps_the_first_lane_and_an_older_one_steps_aside() -> None:
    assert lanes({1: None, 2: 1, 3: 1, 4: 3}) == {4: 0, 3: 0, 2: 1, 1: 0}


def test_a_lane_that_has_ended_is_used_again() -> None:
    assert lanes({1: None, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1})[3] == 3
    assert lanes({1: None, 2: 1, 3: 1, 4: 3, 5: 3}) == {5: 0, 4: 1, 3: 0, 2: 1, 1: 0}


def test_no_line_runs_through_a_checkpoint_that_is_not_its_end() -> None:
    rng = random.Random(0)  # shapes of trees, no secrets
    for size in range(1, 40):
        parents: dict[int, int | None] = {1: None}
        for pk in range(2, size + 1):
            parents[pk] = rng.randint(1, pk - 1)
        places = lanes(parents)
        for child, parent in parents.items():
            if parent is None:
                continue
            # A line stays in its child's lane until the row above its parent.
            between = [pk for pk in range(parent + 1, child) if places[pk] == places[child]]
            assert between == [], (parents, child)


def test_the_picture_draws_each_line_from_child_to_parent() -> None:
    relatives = tuple(
        Relative(
            checkpoint=Checkpoint(pk=pk),
            run=None,
            row=row,
            lane=0,
            parent_row=row + 1 if row < 2 else None,
            parent_lane=0 if row < 2 else None,
            is_self=row == 0,
            is_ancestor=True,
        )
        for row, pk in enumerate((3, 2, 1))
    )
    drawn = rails(Family(relatives=relatives, num_lanes=1, num_more=0))
    assert (drawn.width, drawn.height, len(drawn.dots), len(drawn.lines)) == (20, 120, 3, 2)
    assert drawn.lines[0].path == "M10 20V20C10 40 10 40 10 60"
