"""What a pre-filter keeps: scored as the report measured it, left out where no depth was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.models.mix import Reward
from engine.services.mix import CandidateMix
from modelzoo.contracts import CandidateRequest
from modelzoo.pipeline import CandidatePipeline
from modelzoo.registry import build, fill
from modelzoo.serving import golden_request
from modelzoo.shape_stage import DrawnShape, draw_shapes
from modelzoo.stages import Resident
from modelzoo.targets import Target, target_of
from training.reward.measurements import NAMES, measured, window_on
from training.reward.prefilter import best_by_reward
from workers.drawing import NO_DEPTH, REWARDS, drawn

SEEDS = tuple(range(20, 26))
COLUMN = {Reward.DEPTH_ERROR: ("depth_error", -1.0), Reward.CONSENSUS: ("consensus", 1.0)}


@pytest.fixture(scope="module")
def pipeline() -> Iterator[CandidatePipeline]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in models.modules().values():
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    yield CandidatePipeline(Resident(fill(models, models.components())), export_threads=1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shapes(pipeline: CandidatePipeline) -> tuple[Target, list[DrawnShape]]:
    target = target_of(golden_request(SEEDS), pipeline.stages.preset)
    with torch.inference_mode():
        return target, draw_shapes(pipeline.stages, target, lambda _: None)


def reported(target: Target, drawn: list[DrawnShape], reward: Reward) -> np.ndarray:
    """The measurement of the reward report."""
    request = target.request
    assert request.points is not None
    sight = window_on(request.mask, request.points[..., 2], target.intrinsics, target.condition.normaliser)
    grids = np.stack([(one.occupancy > 0.5).numpy() for one in drawn])
    layouts = np.stack([one.layout.numpy() for one in drawn])
    name, sign = COLUMN[reward]
    values: np.ndarray = sign * measured(sight, grids, layouts)[:, NAMES.index(name)]
    return values


@pytest.mark.parametrize("reward", list(Reward))
def test_each_reward_is_the_measurement_of_the_report(
    shapes: tuple[Target, list[DrawnShape]], reward: Reward
) -> None:
    target, made = shapes
    np.testing.assert_allclose(REWARDS[reward](target, made), reported(target, made, reward), rtol=1e-12)


@pytest.mark.parametrize("reward", list(Reward))
def test_the_kept_are_the_best_by_the_reward_and_say_so(
    pipeline: CandidatePipeline, shapes: tuple[Target, list[DrawnShape]], reward: Reward
) -> None:
    values = reported(*shapes, reward)
    best = best_by_reward(values[None], keep=2)[0]
    mix = CandidateMix(counts={"candid8": 2}, num_draws=len(SEEDS), reward=reward)
    made = drawn(pipeline, golden_request(SEEDS[:2]), mix=mix, count=2)
    assert [one.seed for one in made] == [SEEDS[index] for index in best]
    for rank, (one, index) in enumerate(zip(made, best, strict=True), start=1):
        assert one.settings.source_options["prefilter"] == {
            "kept_of": len(SEEDS),
            "reward": str(reward),
            "score": round(float(values[index]), 6),
            "rank": rank,
        }


@pytest.mark.parametrize("changes", [{"points": None}, {"approximate": True}])
def test_without_a_depth_that_was_measured_nothing_is_filtered_by_depth_and_the_candidates_say_so(
    pipeline: CandidatePipeline, changes: dict[str, object]
) -> None:
    request: CandidateRequest = replace(golden_request(SEEDS[:2]), **changes)  # type: ignore[arg-type]
    mix = CandidateMix(counts={"candid8": 2}, num_draws=6, reward=Reward.DEPTH_ERROR)
    made = drawn(pipeline, request, mix=mix, count=2)
    assert [one.seed for one in made] == list(SEEDS[:2])
    assert all(NO_DEPTH in one.fallbacks and not one.settings.source_options for one in made)
    by_company = drawn(pipeline, request, mix=replace(mix, reward=Reward.CONSENSUS), count=2)
    assert all(one.settings.source_options["prefilter"]["kept_of"] == 6 for one in by_company)
