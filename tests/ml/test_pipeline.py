"""From one photograph to candidates and layouts, at the nano preset."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from modelzoo import frames
from modelzoo.alignment import Layout, fit_layout
from modelzoo.contracts import GeneratedCandidate, Intrinsics
from modelzoo.latents import CandidateLatents, latents_from_bytes, latents_to_bytes
from modelzoo.pipeline import CandidatePipeline
from modelzoo.registry import build, fill
from modelzoo.serving import golden_request
from modelzoo.silhouette import mask_iou, rasterise

SEEDS = (5, 6, 7)


@pytest.fixture(scope="module")
def pipeline() -> Iterator[CandidatePipeline]:
    """Nano weights, drawn and not trained; noise is added because last layers start at zero."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models = build("nano", seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in models.modules().values():
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    yield CandidatePipeline(fill(models, models.components()), export_threads=1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def candidates(pipeline: CandidatePipeline) -> tuple[GeneratedCandidate, ...]:
    return pipeline.generate(golden_request(SEEDS))


def test_each_seed_gets_one_whole_candidate_in_order(candidates: tuple[GeneratedCandidate, ...]) -> None:
    assert [one.seed for one in candidates] == list(SEEDS)
    for one in candidates:
        scene = trimesh.load(io.BytesIO(one.mesh_glb), file_type="glb")
        assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == one.num_faces
        assert trimesh.load(io.BytesIO(one.splat_ply), file_type="ply").vertices.shape == (one.num_splats, 3)
        assert len(one.preview_glb) <= len(one.mesh_glb)
        assert one.pose.unit == "pointmap" and one.pose.frame == "camera_opencv"
    assert len({one.mesh_glb for one in candidates}) == len(SEEDS)


def test_the_same_request_gives_the_same_bytes(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    assert pipeline.generate(golden_request(SEEDS)) == candidates


def test_a_candidate_alone_is_the_candidate_in_a_batch(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    """Up to the rounding of matrix products of another size, which is why latents and not bytes are compared."""
    alone = latents_from_bytes(pipeline.generate(golden_request(SEEDS[1:2]))[0].latents)
    batched = latents_from_bytes(candidates[1].latents)
    assert alone.shape_latent is not None and batched.shape_latent is not None
    assert np.abs(alone.shape_latent - batched.shape_latent).max() < 1e-3
    assert (alone.occupancy != batched.occupancy).mean() < 1e-3
    if alone.slat_feats.shape == batched.slat_feats.shape:
        assert np.abs(alone.slat_feats.astype(float) - batched.slat_feats).max() < 2e-2


def test_latents_read_back_and_carry_every_cell(candidates: tuple[GeneratedCandidate, ...]) -> None:
    latents = latents_from_bytes(candidates[0].latents)
    assert latents.occupancy.shape == (32, 32, 32)
    assert latents.shape_latent is not None and latents.shape_latent.shape == (4, 4, 4, 4)
    assert latents.layout is not None and latents.layout.shape == (10,)
    assert len(latents.slat_coords) == len(latents.slat_feats) > 0
    assert latents_to_bytes(latents) == candidates[0].latents


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x00" * 64])
def test_other_bytes_are_not_taken_for_latents(pipeline: CandidatePipeline, data: bytes) -> None:
    with pytest.raises(ValueError):
        pipeline.propose_layout(golden_request(), latents=data)


def test_a_missing_point_map_is_stated(pipeline: CandidatePipeline) -> None:
    without = pipeline.generate(replace(golden_request((5,)), points=None, unit="m"))[0]
    assert "point_map_missing" in without.fallbacks
    assert without.pose.unit == "pointmap"
    empty = np.full_like(golden_request().points, np.nan)
    assert (
        "point_map_unknown_inside_mask"
        in pipeline.generate(replace(golden_request((5,)), points=empty))[0].fallbacks
    )


def test_an_approximate_point_map_places_a_candidate_but_does_not_shape_it(
    pipeline: CandidatePipeline,
) -> None:
    request = golden_request((5,))
    assert request.points is not None
    without = pipeline.generate(replace(request, points=None))[0]
    near, far = (
        pipeline.generate(replace(request, points=request.points * scale, approximate=True))[0]
        for scale in (1.0, 4.0)
    )
    shapes = [latents_from_bytes(one.latents).shape_latent for one in (without, near, far)]
    assert np.array_equal(shapes[0], shapes[1]) and np.array_equal(shapes[1], shapes[2])
    assert "approximate_point_map_only_placed_it" in near.fallbacks
    assert far.pose.translation[2] == pytest.approx(4 * near.pose.translation[2], rel=0.05)


def test_progress_rises_to_one(pipeline: CandidatePipeline) -> None:
    heard: list[float] = []
    pipeline.generate(golden_request((1, 2)), heard.append)
    assert heard == sorted(heard) and heard[-1] == pytest.approx(1.0)


def test_a_layout_is_proposed_per_seed_for_a_given_shape(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    poses = pipeline.propose_layout(golden_request((1, 2)), latents=candidates[0].latents)
    assert len(poses) == 2
    assert poses == pipeline.propose_layout(golden_request((1, 2)), latents=candidates[0].latents)


def test_a_layout_is_proposed_for_a_shape_that_no_model_made(pipeline: CandidatePipeline) -> None:
    centres = frames.voxel_centres(32).reshape(32, 32, 32, 3)
    shape = CandidateLatents(
        occupancy=np.abs(centres).max(axis=-1) < 0.3,
        slat_coords=np.zeros((0, 3), np.uint8),
        slat_feats=np.zeros((0, 4), np.float16),
    )
    assert len(pipeline.propose_layout(golden_request((1,)), latents=latents_to_bytes(shape))) == 1


CAMERA = Intrinsics(fx=120, fy=120, cx=64, cy=48, width=128, height=96)


def _box() -> trimesh.Trimesh:
    """With vertices about as dense as the voxels that stand for a shape."""
    return trimesh.creation.box(extents=(0.8, 0.5, 0.6)).subdivide_to_size(0.03)


def test_a_layout_that_is_off_is_brought_to_mask_and_depth() -> None:
    surface = np.asarray(_box().vertices)
    rotation = frames.rotation_from_wxyz((0.5, -0.5, 0.3, 0.2))
    true = Layout(rotation=rotation, translation=np.array([0.1, -0.05, 3.0]), scale=1.2)
    drawn = rasterise(true.place(surface), _box().faces, CAMERA)
    points = frames.unproject(
        frames.pixel_grid(width=128, height=96), np.where(drawn.mask, drawn.depth, np.nan), CAMERA
    )
    off = Layout(rotation=rotation, translation=np.array([0.3, 0.1, 3.6]), scale=1.1)
    fitted = fit_layout(off, surface, mask=drawn.mask, points=points, intrinsics=CAMERA)
    assert fitted.steps == ("layout_fitted_to_mask", "layout_fitted_to_depth")
    assert fitted.iou_after > max(0.85, fitted.iou_before)
    assert np.abs(fitted.layout.translation - true.translation).max() < 0.15
    assert fitted.layout.scale == pytest.approx(true.scale, rel=0.08)


def test_a_layout_that_fits_already_is_left_alone() -> None:
    surface = np.asarray(_box().vertices)
    layout = Layout(rotation=np.eye(3), translation=np.array([0.0, 0.0, 3.0]), scale=1.0)
    drawn = rasterise(layout.place(surface), _box().faces, CAMERA)
    fitted = fit_layout(layout, surface, mask=drawn.mask, points=None, intrinsics=CAMERA)
    assert fitted.iou_before > 0.85
    assert np.abs(fitted.layout.translation - layout.translation).max() < 0.05


def test_a_silhouette_is_the_shape_that_is_projected() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    vertices = np.asarray(sphere.vertices) + np.array([0.0, 0.0, 4.0])
    rows, cols = np.meshgrid(np.arange(96) + 0.5, np.arange(128) + 0.5, indexing="ij")
    radius = 120 * np.tan(np.arcsin(0.5 / 4.0))
    disc = np.hypot(cols - 64, rows - 48) < radius
    assert mask_iou(vertices, sphere.faces, CAMERA, disc) > 0.96
    drawn = rasterise(vertices, sphere.faces, CAMERA, colours=np.full_like(vertices, 0.25))
    assert drawn.depth[48, 64] == pytest.approx(3.5, abs=0.01)
    assert drawn.colour[48, 64] == pytest.approx([0.25] * 3, abs=1e-5)
    assert not rasterise(vertices - [0, 0, 8.0], sphere.faces, CAMERA).mask.any()
