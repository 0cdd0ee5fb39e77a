"""How our own model's candidates are drawn: as many as wanted, or more of which a reward keeps the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.models.mix import Reward
from engine.services.mix import CandidateMix
from modelzoo.contracts import CandidateRequest, GeneratedCandidate
from modelzoo.encoders.preparation import decoded_layout
from modelzoo.pipeline import CandidatePipeline, Kept
from modelzoo.shape_stage import DrawnShape
from modelzoo.targets import Target
from training.reward.measurements import consensus, first_hits, fit_to_sight, window_on

NO_DEPTH = "prefilter_left_out(no_reliable_point_map)"

Floats = NDArray[np.float64]


def drawn(
    pipeline: CandidatePipeline, request: CandidateRequest, *, mix: CandidateMix, count: int
) -> Sequence[GeneratedCandidate]:
    """``count`` candidates from the request's first seed on. With a pre-filter the best of ``mix.num_draws``.

    A kept candidate's settings say of how many it was kept, by which reward, and its score. Where the reward needs a
    depth that nobody measured, candidates are drawn plainly and say so. Raises SamplingFailed.
    """
    first = request.seeds[0]
    if mix.num_draws is None or mix.num_draws <= count:
        return pipeline.generate(_seeded(request, first, count))
    if mix.reward == Reward.DEPTH_ERROR and (request.points is None or request.approximate):
        made = pipeline.generate(_seeded(request, first, count))
        return [replace(one, fallbacks=(*one.fallbacks, NO_DEPTH)) for one in made]
    kept = pipeline.generate_best(
        _seeded(request, first, mix.num_draws),
        keep=count,
        score=REWARDS[mix.reward],
    )
    return [_told(one, of=mix.num_draws, reward=mix.reward) for one in kept]


def depth_agreement(target: Target, shapes: Sequence[DrawnShape]) -> Floats:
    """How little each shape, posed as drawn, differs from the depth that was measured: the report's ``depth_error``."""
    request, normaliser = target.request, target.condition.normaliser
    assert request.points is not None, "without points there is no depth to agree with"
    sight = window_on(request.mask, request.points[..., 2], target.intrinsics, normaliser)
    scores = []
    for shape, grid in zip(shapes, _solids(shapes), strict=True):
        layout = shape.layout.cpu().numpy()
        rotation, translation, scale = decoded_layout(layout, normaliser, preset=target.preset)
        hits = first_hits(grid, rotation, translation, scale, sight.rays)
        scores.append(-fit_to_sight(hits, sight, size=scale)["depth_error"])
    return np.array(scores)


def agreement_with_others(target: Target, shapes: Sequence[DrawnShape]) -> Floats:
    """Each shape's mean overlap with the other draws: the report's ``consensus``."""
    grids = _solids(shapes)
    return consensus(np.packbits(grids.reshape(len(grids), -1), axis=1))


REWARDS: Mapping[str, Callable[[Target, Sequence[DrawnShape]], Floats]] = {
    Reward.DEPTH_ERROR: depth_agreement,
    Reward.CONSENSUS: agreement_with_others,
}


def _solids(shapes: Sequence[DrawnShape]) -> NDArray[np.bool_]:
    return np.stack([(shape.occupancy > 0.5).cpu().numpy() for shape in shapes])


def _seeded(request: CandidateRequest, first: int, count: int) -> CandidateRequest:
    return replace(request, seeds=tuple(first + number for number in range(count)))


def _told(kept: Kept, *, of: int, reward: str) -> GeneratedCandidate:
    settings = kept.candidate.settings
    told = {"kept_of": of, "reward": str(reward), "score": round(kept.score, 6), "rank": kept.rank}
    options = {**settings.source_options, "prefilter": told}
    return replace(kept.candidate, settings=replace(settings, source_options=options))
