"""The loop in numbers: the brake holds the share, and human shapes keep what no photograph shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.self_feeding import main
from engine.ranking.self_feeding import World, arms, turn_rounds

SMALL = World(targets=120)


def test_the_brake_holds_the_share_of_others_in_every_round() -> None:
    free = turn_rounds(SMALL, rounds=4, least_foreign=0.0, rng=np.random.default_rng(1))
    held = turn_rounds(SMALL, rounds=4, least_foreign=0.5, rng=np.random.default_rng(1))
    assert [turn.own_share for turn in free] == sorted(turn.own_share for turn in free)
    assert free[-1].own_share > 0.75
    assert all(turn.own_share <= 0.5 for turn in held)


def test_people_accept_as_much_while_the_shapes_trained_on_crowd_without_a_brake() -> None:
    found = arms(SMALL, rounds=6, brakes=(0.0, 0.5), seeds=range(4))
    free, held = found[0.0].mean(axis=0)[-1], found[0.5].mean(axis=0)[-1]
    assert abs(free[1] - held[1]) < 0.1, "who only looks at photographs sees no difference"
    assert held[3] > 1.1 * free[3], "more different shapes are trained on"


def test_the_same_seed_gives_the_same_course() -> None:
    one, other = (
        turn_rounds(SMALL, rounds=2, least_foreign=0.25, rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert one == other


def test_the_command_writes_a_report_that_says_it_is_simulated(tmp_path: Path) -> None:
    out = tmp_path / "bias"
    assert main(["--rounds", "2", "--seeds", "2", "--targets", "40", "--out", str(out)]) == 0
    document = json.loads(out.with_suffix(".json").read_text())
    for part in ("part_hidden", "all_shown"):
        assert set(document[part]["last"]) == {
            "no brake",
            "brake at 25% of others",
            "brake at 50% of others",
            "2 of 8 from a library",
        }
    text = out.with_suffix(".md").read_text()
    assert "simulated" in text and "| brake at 50% of others |" in text
    with pytest.raises(SystemExit):
        main(["--seeds", "1", "--out", str(out)])
