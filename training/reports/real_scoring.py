"""Candidates for real photographs against scans of the very objects, posed: a second table beside the synthetic one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import Pose, SamplerSettings
from modelzoo.encoders.preparation import decoded_layout
from modelzoo.frames import rotation_from_wxyz
from modelzoo.registry import Models, load_models
from modelzoo.shape_stage import DrawnShape, draw_shapes
from modelzoo.stages import Resident, Stages
from modelzoo.targets import Target, target_of
from training.evaluation_sets.cases import EvaluationCase
from training.metrics.intervals import Estimate, bootstrap_mean
from training.metrics.layout import NO_SURFACE, Layout, TrueLayout
from training.metrics.sampling import SampledSurface, TriangleMesh, sampled_grid, sampled_mesh
from training.metrics.shape import NO_SHAPE, SURFACE_POINTS, TrueShape
from training.reports.scoring import best_candidate

#: Metrics of a layout that do not ask how a scan's own axes lie.
AXIS_FREE = ("iou3d", "icp_rot", "adds", "adds_01")
SETTINGS = SamplerSettings()

Floats = NDArray[np.float64]
Table = Mapping[str, Floats]
_Row = tuple[dict[str, float], ...]  # one case: the metrics of each of its candidates


@dataclass(frozen=True, kw_only=True)
class RealScores:
    """N cases x K candidates of every metric: of the shape, of the layout as drawn, and as the product refines it."""

    cases: tuple[str, ...]
    shape: (
        Table  # f1_001, f1_005, chamfer, chamfer_squared, emd: the guess turned as its layout says, then ICP
    )
    drawn: Table  # iou3d, icp_rot, adds (both ways), adds_01
    refined: Table

    def estimates(self, *, seed: int = 0) -> dict[str, dict[str, Estimate]]:
        """Means over the cases with 95 % intervals: of each case's mean and of its best candidate."""
        found: dict[str, dict[str, Estimate]] = {"mean_of_k": {}, "best_of_k": {}}
        for part, table in (("shape", self.shape), ("drawn", self.drawn), ("refined", self.refined)):
            for name, values in table.items():
                key = name if part == "shape" else f"{name}_{part}"
                found["mean_of_k"][key] = bootstrap_mean(values.mean(axis=1), seed=seed)
                found["best_of_k"][key] = bootstrap_mean(best_candidate(name, values), seed=seed)
        return found


def score_real_cases(
    models_or_checkpoint: Models | Path,
    cases: Iterable[EvaluationCase],
    *,
    num_samples: int = 8,
    seed: int = 0,
    settings: SamplerSettings = SETTINGS,
) -> RealScores:
    """Draw K candidates for each case, as annotators get them, and score shape and layout.

    Raises ValueError for a case without mesh, pose or points, and where there is no case.
    """
    models = (
        load_models(models_or_checkpoint)[1]
        if isinstance(models_or_checkpoint, Path)
        else models_or_checkpoint
    )
    stages = Resident(models)
    names: list[str] = []
    tables: tuple[list[_Row], list[_Row], list[_Row]] = ([], [], [])
    for number, case in enumerate(cases):
        truth = _RealTruth(case, seed=(seed, number))
        seeds = tuple(seed * 1_000_003 + number * 1_009 + k for k in range(num_samples))
        rows = [truth.measure(one) for one in _candidates(stages, case, seeds, settings)]
        names.append(case.name)
        for table, column in zip(tables, zip(*rows, strict=True), strict=True):
            table.append(column)
    if not names:
        raise ValueError("there is no case to score")
    return RealScores(
        cases=tuple(names), shape=_table(tables[0]), drawn=_table(tables[1]), refined=_table(tables[2])
    )


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A solid grid (R^3), its layout as drawn and as refined, and the stream its surface is sampled with."""

    seed: int
    solid: NDArray[np.bool_]
    layout: Layout
    refined: Layout


class _RealTruth:
    """A case's scan about its own middle, posed."""

    def __init__(self, case: EvaluationCase, *, seed: tuple[int, int]) -> None:
        if case.mesh is None or case.pose is None or case.points is None:
            raise ValueError(f"case {case.name} needs a mesh, a pose and points")
        rng = np.random.default_rng([*seed, 0])
        mesh, layout = _about_its_middle(case.mesh, case.pose)
        surface = sampled_mesh(mesh, count=SURFACE_POINTS, rng=rng)
        self.shape = TrueShape(surface, rng=rng)
        self.layout = TrueLayout(surface, layout, rng=rng)

    def measure(self, one: _Candidate) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        """Metrics of the shape, of the layout as drawn and of the refined one."""
        if not one.solid.any():
            nothing = {name: NO_SURFACE[name] for name in AXIS_FREE}
            return asdict(NO_SHAPE), nothing, nothing
        rng = np.random.default_rng([one.seed, 1])
        surface = sampled_grid(one.solid, count=SURFACE_POINTS, rng=rng)
        seen = _turned(surface, self.layout.layout.rotation.T @ one.refined.rotation)
        return (
            asdict(self.shape.measure(seen, rng=rng)),
            self._layout(surface, one.layout, rng),
            self._layout(surface, one.refined, rng),
        )

    def _layout(self, surface: SampledSurface, layout: Layout, rng: np.random.Generator) -> dict[str, float]:
        found = asdict(self.layout.measure(surface, layout, rng=rng))
        return {name: found[name] for name in AXIS_FREE}


def _candidates(
    stages: Stages, case: EvaluationCase, seeds: tuple[int, ...], settings: SamplerSettings
) -> list[_Candidate]:
    target = target_of(replace(case.request(seeds=seeds), settings=settings), stages.preset)
    return [_candidate(target, one) for one in draw_shapes(stages, target, _ignore)]


def _candidate(target: Target, one: DrawnShape) -> _Candidate:
    rotation, translation, scale = decoded_layout(
        one.layout.cpu().numpy(), target.condition.normaliser, preset=target.preset
    )
    refined = one.refined.layout
    return _Candidate(
        seed=one.seed,
        solid=(one.occupancy > 0.5).cpu().numpy(),
        layout=Layout(rotation=rotation, translation=translation, scale=scale),
        refined=Layout(rotation=refined.rotation, translation=refined.translation, scale=refined.scale),
    )


def _about_its_middle(mesh: TriangleMesh, pose: Pose) -> tuple[TriangleMesh, Layout]:
    """The same object in the same place, its origin in the middle of its box: scans have theirs anywhere."""
    used = mesh.vertices[np.unique(mesh.faces)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    rotation = rotation_from_wxyz(pose.rotation_wxyz)
    translation = pose.scale * rotation @ middle + np.asarray(pose.translation)
    return (
        TriangleMesh(vertices=mesh.vertices - middle, faces=mesh.faces),
        Layout(rotation=rotation, translation=translation, scale=pose.scale),
    )


def _turned(surface: SampledSurface, rotation: Floats) -> SampledSurface:
    points = surface.points @ rotation.T
    return SampledSurface(points=points, low=points.min(axis=0), high=points.max(axis=0))


def _table(rows: list[_Row]) -> Table:
    """N x K per metric."""
    return {name: np.array([[one[name] for one in row] for row in rows]) for name in rows[0][0]}


def _ignore(_: float) -> None:
    """No one listens."""
