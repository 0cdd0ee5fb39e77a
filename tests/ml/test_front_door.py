"""Simulated people see what a candidate is worth, blurred by what kind of person they are."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.depth_files import read_point_map
from modelzoo.exports.glb import glb_from_mesh
from training.data.objects import make_object
from training.data.procedural_meshes import object_mesh
from training.simulation.front_door.engineer import is_shown_worse
from training.simulation.front_door.eyes import shape_worth, texture_worth
from training.simulation.front_door.flywheel import FlywheelPlan
from training.simulation.front_door.hidden import HiddenTruth, hidden_truths, truth_behind
from training.simulation.front_door.profiles import CAREFUL, Profile, crew, with_noise


@pytest.fixture(scope="module")
def truth() -> HiddenTruth:
    return next(hidden_truths(seed=3, start=5, count=1))


def test_the_true_model_is_worth_nearly_all_and_another_object_less(truth: HiddenTruth) -> None:
    model = truth.model()
    best = shape_worth(model, truth)
    other = glb_from_mesh(object_mesh(make_object(np.random.default_rng(99), world="shifted")))
    assert best > 0.97 and shape_worth(other, truth) < 0.8 * best
    assert 0.0 <= texture_worth(other, truth) <= 1.0 and texture_worth(model, truth) > 0.5


def test_what_the_photograph_shows_lies_on_the_true_surface(truth: HiddenTruth) -> None:
    seen, colours = truth.seen
    to_surface = np.linalg.norm(seen[:, None] - truth.surface[None], axis=2).min(axis=1)
    assert len(seen) > 100 and np.quantile(to_surface, 0.95) < 0.04
    assert colours.min() >= 0 and colours.max() <= 1


def test_the_point_map_that_is_handed_in_is_read_as_what_the_simulation_knows(truth: HiddenTruth) -> None:
    height, width = truth.target.mask.shape
    read = read_point_map(
        truth.point_map(), filename="points.npz", form={"metric": "true"}, width=width, height=height
    )
    assert np.array_equal(read.points, truth.target.points.astype(np.float32), equal_nan=True)
    camera = truth.target.camera
    assert read.intrinsics == camera and read.metric and not read.approximate


def test_a_photograph_s_name_is_enough_to_find_its_truth_again(truth: HiddenTruth) -> None:
    again = truth_behind(truth.name)
    assert again.photograph() == truth.photograph() and again.mask() == truth.mask()
    with pytest.raises(ValueError, match="no photograph of a simulation"):
        truth_behind("holiday.png")


def test_a_crew_of_six_has_one_spammer_and_mostly_careful_people() -> None:
    kinds = [one.kind for one in crew(6)]
    assert kinds.count("spammer") == 1 and kinds.count("careful") >= 3
    assert all(one.kind != "spammer" for one in crew(4))
    with pytest.raises(ValueError, match="at least one"):
        crew(0)


def test_blunter_eyes_keep_the_order_of_people() -> None:
    lazy = crew(4)[3]
    assert with_noise(lazy, 0.1).noise == pytest.approx(2 * with_noise(CAREFUL, 0.1).noise)
    with pytest.raises(ValueError, match="noise"):
        Profile(kind="careful", noise=-1.0)


def test_the_bar_rises_with_the_rounds_and_stays_at_its_last() -> None:
    plan = FlywheelPlan(alphas=(0.25, 0.5))
    assert [plan.alpha(number) for number in (1, 2, 3, 9)] == [0.25, 0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="two targets"):
        FlywheelPlan(targets=1)


def test_rounds_of_the_same_passes_take_more_steps_as_data_grow() -> None:
    first = {"num_demonstrations": 200, "num_preference_pairs": 1000}
    later = {"num_demonstrations": 500, "num_preference_pairs": 4000}
    plan = FlywheelPlan(sft={"steps": 60, "optimizer": "muon"}, dpo={"steps": 30}, same_passes=True)
    assert plan.settings("sft", version=first, first=first) == plan.sft
    assert plan.settings("sft", version=later, first=first) == {"steps": 150, "optimizer": "muon"}
    assert plan.settings("dpo", version=later, first=first) == {"steps": 120}
    fixed = FlywheelPlan(sft={"steps": 60}, dpo={"steps": 30})
    assert fixed.settings("dpo", version=later, first=first) == {"steps": 30}
    with pytest.raises(ValueError, match="first round"):
        FlywheelPlan(sft={"steps": 60}, same_passes=True)


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "worse"),
    [
        (-0.03, -0.01, True, True),
        (-0.03, 0.02, True, False),
        (0.01, 0.03, False, True),
        (-0.01, 0.03, False, False),
    ],
)
def test_a_result_is_turned_down_only_when_it_is_shown_to_be_worse(
    low: float, high: float, higher_is_better: bool, worse: bool
) -> None:
    compared = {"low": low, "high": high, "higher_is_better": higher_is_better}
    assert is_shown_worse(compared) is worse
