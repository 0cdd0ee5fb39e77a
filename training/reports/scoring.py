"""One model's shapes and layouts on one set of examples, object by object: the ground of every table of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelzoo.conditioning import Normaliser, decode_layout
from modelzoo.registry import Models, load_models
from training.data.samples import Example
from training.metrics.intervals import Estimate, bootstrap_mean
from training.metrics.layout import NO_SURFACE, Layout, TrueLayout
from training.metrics.pose import rotation_error_deg, scale_error, translation_error
from training.metrics.sampling import SampledSurface, sampled_grid
from training.metrics.shape import NO_SHAPE, SURFACE_POINTS, TrueShape
from training.reports.held_out import (
    Drawn,
    SamplerPlan,
    condition_batch,
    draw,
    each_at_once,
    overlaps,
    truth_grids,
)

Floats = NDArray[np.float64]

LOWER_IS_BETTER = frozenset(
    {
        *("chamfer", "chamfer_squared", "emd", "rotation_deg", "translation", "log_scale", "icp_rot", "adds"),
    }
)
#: Nothing to be maximised or minimised; best-of-K is the one nearest to 1.
RATIOS = frozenset({"volume_ratio"})
SAMPLERS = SamplerPlan()
_IDENTITY = Normaliser(shift=np.zeros(3), scale=1.0)


@dataclass(frozen=True, kw_only=True)
class ShapeScores:
    """N objects x K candidates of every metric; what each means is in training/metrics/{shape,layout,overlap}.py."""

    f1_001: Floats  # [-1, 1], ICP; beside its floor
    f1_005: Floats
    viou: Floats  # solid, canonical frame, no alignment
    chamfer: Floats  # plain
    chamfer_squared: Floats
    emd: Floats  # 512 points
    volume_ratio: Floats  # candidate over truth: overlap forgives fullness
    rotation_deg: Floats
    translation: Floats  # share of the truth's longest side
    log_scale: Floats
    iou3d: Floats  # axis-aligned boxes
    iou3d_oriented: Floats
    icp_rot: Floats  # degrees
    adds: Floats  # both ways, share of the truth's diameter
    adds_01: Floats
    f1_001_floor: Floats  # N: two samplings of the truth

    def columns(self) -> dict[str, Floats]:
        """The N x K arrays by name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "f1_001_floor"}

    def mean_of_k(self) -> dict[str, Floats]:
        """N per metric: what a candidate picked blindly is worth."""
        return {name: values.mean(axis=1) for name, values in self.columns().items()}

    def best_of_k(self) -> dict[str, Floats]:
        """N per metric: the best candidate by that very metric, as somebody who knows the truth would pick."""
        return {name: best_candidate(name, values) for name, values in self.columns().items()}

    def estimates(self, *, seed: int = 0) -> dict[str, dict[str, Estimate]]:
        """Means over the objects of ``mean_of_k`` and ``best_of_k`` with their 95 % intervals, and the floor's."""
        return {
            "mean_of_k": {n: bootstrap_mean(v, seed=seed) for n, v in self.mean_of_k().items()},
            "best_of_k": {n: bootstrap_mean(v, seed=seed) for n, v in self.best_of_k().items()},
            "floor": {"f1_001": bootstrap_mean(self.f1_001_floor, seed=seed)},
        }


def score_geometry(
    models_or_checkpoint: Models | Path,
    examples: Sequence[Example],
    *,
    num_samples: int = 4,
    seed: int = 0,
    sampler: SamplerPlan = SAMPLERS,
) -> ShapeScores:
    """Draw K candidates for each example and score them; ``sampler`` gives steps and guidance.

    Candidate k of object i starts from the same noise, and its surface is sampled with the same numbers, whatever the
    model: scores of two models are pairs. Scoring takes about a third of a second per candidate on one core.
    """
    models = (
        load_models(models_or_checkpoint)[1]
        if isinstance(models_or_checkpoint, Path)
        else models_or_checkpoint
    )
    plan = replace(sampler, num_samples=num_samples, seed=seed)
    drawn = draw(models.geometry, models.ss_vae, condition_batch(list(examples)), plan)
    return GeometryScorer(examples, seed=seed).score(drawn)


class GeometryScorer:
    """The truths of a set of examples, prepared once for all the models that are to be compared on it."""

    def __init__(self, examples: Sequence[Example], *, seed: int = 0) -> None:
        if not examples:
            raise ValueError("there is no example to score")
        self._examples, self._seed = list(examples), seed
        self._truths = [_Truth(example, seed=(seed, index)) for index, example in enumerate(examples)]

    def score(self, drawn: Drawn) -> ShapeScores:
        """Scores of N x K grids and raw layouts, in the order of the examples."""
        objects, candidates = drawn.grids.shape[:2]
        if objects != len(self._truths):
            raise ValueError(f"{objects} objects were drawn for {len(self._truths)} examples")
        grids, layouts = drawn.grids.numpy(), drawn.layouts.numpy()

        def of_object(i: int) -> list[dict[str, float]]:
            return [
                self._truths[i].measure(grids[i, k], decoded(layouts[i, k]), seed=(self._seed, i, k))
                for k in range(candidates)
            ]

        rows = each_at_once(of_object, objects)
        solid = truth_grids(self._examples)
        volumes = drawn.grids.flatten(2).sum(2).double() / solid.flatten(1).sum(1).double()[:, None]
        table = {name: np.array([[one[name] for one in row] for row in rows]) for name in rows[0][0]}
        return ShapeScores(
            **table,
            viou=overlaps(drawn, solid).double().numpy(),
            volume_ratio=volumes.numpy(),
            f1_001_floor=np.array([truth.floor for truth in self._truths]),
        )


def decoded(raw: NDArray[np.floating]) -> Layout:
    """A raw layout (13) in its own normalised frame: no metric here depends on which similar frame that is."""
    rotation, translation, scale = decode_layout(raw, _IDENTITY)
    return Layout(rotation=rotation, translation=translation, scale=scale)


def best_candidate(name: str, values: Floats) -> Floats:
    """N of N x K: each object's best by that metric, of these scores or of those of real cases."""
    if name in RATIOS:
        nearest = np.abs(np.log(np.maximum(values, 1e-9))).argmin(axis=1)
        chosen: Floats = np.take_along_axis(values, nearest[:, None], axis=1)[:, 0]
        return chosen
    best: Floats = values.min(axis=1) if name in LOWER_IS_BETTER else values.max(axis=1)
    return best


class _Truth:
    """One example's shape and layout, ready to be compared with."""

    def __init__(self, example: Example, *, seed: tuple[int, int]) -> None:
        surface, again = (_sampled(example.occupancy, (*seed, 0, side)) for side in range(2))
        rng = np.random.default_rng([*seed, 1])
        self.shape = TrueShape(surface, rng=rng)
        self.layout = TrueLayout(surface, decoded(example.layout), rng=rng)
        self.floor = self.shape.floor(again, rng=rng)

    def measure(
        self, grid: NDArray[np.bool_], layout: Layout, *, seed: tuple[int, int, int]
    ) -> dict[str, float]:
        if not grid.any():
            truth = self.layout.layout
            return {
                **asdict(NO_SHAPE),
                **NO_SURFACE,
                "rotation_deg": rotation_error_deg(layout.rotation, truth.rotation),
                "translation": translation_error(
                    layout.translation, truth.translation, size=self.layout.size
                ),
                "log_scale": scale_error(layout.scale, truth.scale),
            }
        rng = np.random.default_rng([*seed, 2])
        surface = sampled_grid(grid, count=SURFACE_POINTS, rng=rng)
        return {
            **asdict(self.shape.measure(surface, rng=rng)),
            **asdict(self.layout.measure(surface, layout, rng=rng)),
        }


def _sampled(grid: NDArray[np.bool_], seed: tuple[int, ...]) -> SampledSurface:
    return sampled_grid(grid, count=SURFACE_POINTS, rng=np.random.default_rng(seed))
