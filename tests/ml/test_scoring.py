"""Scores of models on synthetic examples and on real cases, at preset nano."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from modelzoo.contracts import Intrinsics, Pose
from modelzoo.frames import pixel_grid, unproject
from modelzoo.registry import Models, build
from training.evaluate import LOWER_IS_BETTER, score
from training.evaluation_sets.cases import EvaluationCase
from training.metrics.layout import Layout
from training.metrics.sampling import TriangleMesh, sampled_mesh
from training.reports import real_scoring, scoring
from training.reports.held_out import Drawn, SamplerPlan, held_out_examples
from training.reports.real_commands import real_report
from training.reports.real_scoring import score_real_cases
from training.reports.scoring import GeometryScorer, ShapeScores, score_geometry

POINTS = 3_000  # on each surface: enough to tell right from wrong


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SURFACE_POINTS", POINTS)
    monkeypatch.setattr(real_scoring, "SURFACE_POINTS", POINTS)


@pytest.fixture(scope="module")
def nano() -> Models:
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    torch.nn.init.constant_(models.ss_vae.decoder.leave.bias, 0.05)  # so that some of it is solid
    for module in models.modules().values():
        module.eval().requires_grad_(False)
    return models


def _examples(models: Models, count: int) -> list:
    size = models.preset.geometry
    return held_out_examples(count=count, size=size.image_size, resolution=size.resolution)


def _truths_drawn(models: Models, count: int) -> tuple[list, Drawn]:
    examples = _examples(models, count)
    grids = torch.stack([torch.from_numpy(one.occupancy) for one in examples])[:, None].repeat(1, 2, 1, 1, 1)
    layouts = torch.stack([torch.from_numpy(one.layout) for one in examples])[:, None].repeat(1, 2, 1)
    return examples, Drawn(grids=grids, layouts=layouts)


def test_a_model_is_scored_object_by_object_and_always_the_same(nano: Models) -> None:
    examples = _examples(nano, 2)
    scores = score_geometry(nano, examples, num_samples=2, seed=5)
    assert {values.shape for values in scores.columns().values()} == {(2, 2)}
    assert scores.f1_001_floor.shape == (2,)
    again = score_geometry(nano, examples, num_samples=2, seed=5)
    for name, values in scores.columns().items():
        assert np.array_equal(values, again.columns()[name]), name


def test_the_truth_itself_scores_its_floor_and_a_perfect_layout(nano: Models) -> None:
    examples, drawn = _truths_drawn(nano, 2)
    scores = GeometryScorer(examples).score(drawn)
    assert (scores.viou == 1.0).all() and (scores.volume_ratio == 1.0).all()
    assert np.allclose(scores.f1_001, scores.f1_001_floor[:, None], atol=0.06)
    assert np.allclose(scores.rotation_deg, 0.0, atol=0.1) and np.allclose(scores.translation, 0.0, atol=1e-5)
    assert np.allclose(scores.iou3d_oriented, 1.0, atol=1e-4)
    assert (scores.adds_01 == 1.0).all() and (scores.iou3d > 0.9).all() and (scores.adds < 0.05).all()


def test_an_empty_candidate_gets_the_worst_of_everything_and_spoils_no_other(nano: Models) -> None:
    examples, drawn = _truths_drawn(nano, 1)
    grids = drawn.grids.clone()
    grids[0, 0] = False
    scores = GeometryScorer(examples).score(replace(drawn, grids=grids))
    assert scores.f1_001[0, 0] == scores.viou[0, 0] == scores.iou3d[0, 0] == scores.adds_01[0, 0] == 0.0
    assert scores.icp_rot[0, 0] == 180.0 and scores.chamfer[0, 0] > 1.7 and scores.volume_ratio[0, 0] == 0.0
    assert scores.viou[0, 1] == 1.0 and scores.adds_01[0, 1] == 1.0


def test_a_turned_and_moved_layout_is_seen_and_the_shape_is_not_blamed(nano: Models) -> None:
    examples, drawn = _truths_drawn(nano, 1)
    layouts = drawn.layouts.clone()
    layouts[0, 0, 6:9] += 10.0
    scores = GeometryScorer(examples).score(replace(drawn, layouts=layouts))
    assert scores.adds_01.tolist() == [[0.0, 1.0]] and scores.iou3d[0, 0] == 0.0
    assert scores.viou.tolist() == [[1.0, 1.0]]


def test_best_of_k_goes_the_right_way_for_each_metric() -> None:
    values = np.array([[0.2, 0.8], [0.5, 0.1]])
    scores = ShapeScores(
        **{name: values for name in ShapeScores.__dataclass_fields__ if name != "f1_001_floor"},
        f1_001_floor=np.array([0.9, 0.9]),
    )
    best, mean = scores.best_of_k(), scores.mean_of_k()
    assert best["f1_001"].tolist() == [0.8, 0.5] and best["chamfer"].tolist() == [0.2, 0.1]
    assert best["rotation_deg"].tolist() == [0.2, 0.1] and best["volume_ratio"].tolist() == [0.8, 0.5]
    assert mean["viou"].tolist() == pytest.approx([0.5, 0.3])
    estimates = scores.estimates()
    assert estimates["best_of_k"]["emd"].mean == pytest.approx(0.15)
    assert estimates["floor"]["f1_001"].mean == pytest.approx(0.9)


def test_no_examples_and_too_few_candidates_are_refused(nano: Models) -> None:
    with pytest.raises(ValueError, match="no example"):
        GeometryScorer([])
    examples, drawn = _truths_drawn(nano, 2)
    with pytest.raises(ValueError, match="2 objects were drawn for 1"):
        GeometryScorer(examples[:1]).score(drawn)


def test_the_products_report_names_its_shape_metrics_and_their_directions(nano: Models) -> None:
    plan = SamplerPlan(num_samples=1, steps=1)
    columns = score(nano.geometry, nano.ss_vae, _examples(nano, 2), plan).columns()
    assert {"volume_iou_mean", "f_score_at_0.05", "chamfer", "conditioning_gap"} <= columns.keys()
    new = {"f_score_at_0.01_aligned", "chamfer_aligned", "chamfer_squared_aligned", "emd_512_aligned"}
    assert new <= columns.keys() and all(columns[name].shape == (2,) for name in new)
    assert {name for name in new if name not in LOWER_IS_BETTER} == {"f_score_at_0.01_aligned"}


def _case() -> EvaluationCase:
    """A box a metre away that fills the middle of the picture; its scan's origin is elsewhere."""
    camera = Intrinsics(fx=80, fy=80, cx=32, cy=32, width=64, height=64)
    mask = np.zeros((64, 64), np.bool_)
    mask[20:44, 20:44] = True
    points = unproject(pixel_grid(width=64, height=64), np.where(mask, 1.0, 2.0), camera)
    made = trimesh.creation.box((0.3, 0.3, 0.3))
    return EvaluationCase(
        name="box",
        source="test",
        image=np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8),
        mask=mask,
        intrinsics=camera,
        points=points.astype(np.float32),
        mesh=TriangleMesh(
            vertices=np.asarray(made.vertices) + np.array([5.0, 0.0, 0.0]), faces=np.asarray(made.faces)
        ),
        pose=Pose(rotation_wxyz=(1.0, 0.0, 0.0, 0.0), translation=(-5.0, 0.0, 1.15), scale=1.0, unit="m"),
        unit="m",
    )


def test_real_cases_are_scored_as_drawn_and_as_refined(nano: Models) -> None:
    scores = score_real_cases(nano, [_case()], num_samples=2, seed=1)
    assert scores.cases == ("box",)
    for table in (scores.shape, scores.drawn, scores.refined):
        assert {values.shape for values in table.values()} == {(1, 2)}
    estimates = scores.estimates()
    assert {"f1_001", "adds_01_drawn", "adds_01_refined"} <= estimates["mean_of_k"].keys()
    assert estimates["best_of_k"]["adds_refined"].mean <= estimates["mean_of_k"]["adds_refined"].mean


def test_the_report_on_real_cases_is_plain_json(nano: Models) -> None:
    report = json.loads(json.dumps(real_report(nano, [_case()], num_samples=2), allow_nan=False))
    assert report["num_cases"] == 1 and len(report["cases"]["box"]["adds_drawn"]) == 2
    assert report["mean_of_k"]["adds_01_refined"].keys() == {"mean", "low", "high", "n"}


def test_a_perfect_candidate_of_a_real_case_is_right_wherever_the_scans_origin_lies() -> None:
    case = _case()
    truth = real_scoring._RealTruth(case, seed=(0, 0))
    assert np.allclose(truth.layout.layout.translation, [0.0, 0.0, 1.15])
    solid = np.zeros((16, 16, 16), np.bool_)
    solid[1:15, 1:15, 1:15] = True  # the cube, filling 14 of 16
    right = Layout(rotation=np.eye(3), translation=np.array([0.0, 0.0, 1.15]), scale=0.3 * 16 / 14)
    away = Layout(rotation=np.eye(3), translation=np.array([0.0, 0.0, 2.0]), scale=0.3 * 16 / 14)
    shape, drawn, refined = truth.measure(
        real_scoring._Candidate(seed=1, solid=solid, layout=away, refined=right)
    )
    assert refined["adds_01"] == 1.0 and refined["iou3d"] > 0.9 and drawn["adds_01"] == 0.0
    assert shape["chamfer"] < 0.08  # what the sampling leaves
    surface = sampled_mesh(truth_mesh := case.mesh, count=10, rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert truth_mesh is not None and surface.low[0] > 4.0  # the case itself is left as it was


def test_a_case_without_truth_is_refused(nano: Models) -> None:
    with pytest.raises(ValueError, match="needs a mesh"):
        score_real_cases(nano, [replace(_case(), mesh=None)])
    with pytest.raises(ValueError, match="no case"):
        score_real_cases(nano, [])
