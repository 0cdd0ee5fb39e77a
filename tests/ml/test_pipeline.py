"""From one photograph to candidates and layouts, at the nano preset."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor, nn

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, RequestRefused, SamplingFailed
from modelzoo.latents import CandidateLatents, latents_from_bytes, latents_to_bytes
from modelzoo.models.geometry import GeometryModel
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.pipeline import CandidatePipeline
from modelzoo.presets import PRESETS
from modelzoo.registry import Models, build, fill
from modelzoo.samplers import FlowSettings, candidate_generator, draw_noise
from modelzoo.samplers.geometry import draw_geometry, draw_layouts
from modelzoo.serving import golden_request
from modelzoo.stages import Resident
from modelzoo.texture_stage import cells_of
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE

SEEDS = (5, 6)


def _shaken(models: Models) -> Models:
    """Drawn and not trained weights; noise is added because last layers start at zero."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in models.modules().values():
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return fill(models, models.components())


def _request(*seeds: int, batch_rows: int = 4) -> CandidateRequest:
    request = golden_request(seeds)
    settings = replace(request.settings, geometry_steps=2, geometry_cfg_strength=1.0, batch_rows=batch_rows)
    return replace(request, settings=settings)


@pytest.fixture(scope="module")
def pipeline() -> Iterator[CandidatePipeline]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield CandidatePipeline(Resident(_shaken(build("nano", seed=3))), export_threads=1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def candidates(pipeline: CandidatePipeline) -> tuple[GeneratedCandidate, ...]:
    return pipeline.generate(_request(*SEEDS))


def test_each_seed_gets_one_whole_candidate_in_order(candidates: tuple[GeneratedCandidate, ...]) -> None:
    assert [one.seed for one in candidates] == list(SEEDS)
    for one in candidates:
        scene = trimesh.load(io.BytesIO(one.mesh_glb), file_type="glb")
        assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == one.num_faces
        assert trimesh.load(io.BytesIO(one.splat_ply), file_type="ply").vertices.shape == (one.num_splats, 3)
        assert len(one.preview_glb) <= len(one.mesh_glb)
        assert one.pose.unit == "pointmap" and one.pose.frame == "camera_opencv"
    assert len({one.mesh_glb for one in candidates}) == len(SEEDS)


def test_a_candidate_alone_is_bit_for_bit_the_candidate_in_a_batch(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    assert pipeline.generate(_request(SEEDS[1]))[0] == candidates[1]


def test_the_best_of_many_are_what_their_seeds_make_and_the_others_get_no_texture(
    pipeline: CandidatePipeline,
) -> None:
    request = _request(5, 6, 7, 8, 9)
    wanted = {5: 0.1, 6: 0.9, 7: -3.0, 8: 0.9, 9: 0.5}
    steps: list[None] = []
    watching = pipeline.models.texture.register_forward_hook(lambda *_: steps.append(None))
    try:
        kept = pipeline.generate_best(
            request, keep=3, score=lambda _, shapes: [wanted[one.seed] for one in shapes]
        )
    finally:
        watching.remove()
    assert [(one.candidate.seed, one.score, one.rank) for one in kept] == [
        (6, 0.9, 1),
        (8, 0.9, 2),
        (9, 0.5, 3),
    ]
    assert len(steps) == 3 * request.settings.texture_steps, "each kept one goes through alone"
    [alone] = pipeline.generate(_request(8))
    assert kept[1].candidate == alone


@pytest.mark.parametrize(
    ("keep", "scores"), [(0, [1.0, 2.0]), (3, [1.0, 2.0]), (1, [1.0]), (1, [1.0, np.nan])]
)
def test_scores_that_do_not_rank_the_shapes_are_refused(
    pipeline: CandidatePipeline, keep: int, scores: list[float]
) -> None:
    with pytest.raises(ValueError):
        pipeline.generate_best(_request(5, 6), keep=keep, score=lambda *_: scores)


def test_without_fixed_batches_alone_and_in_a_batch_agree_up_to_rounding(pipeline: CandidatePipeline) -> None:
    alone, batched = (
        latents_from_bytes(pipeline.generate(_request(*seeds, batch_rows=0))[-1].latents)
        for seeds in (SEEDS[1:], SEEDS)
    )
    assert alone.shape_latent is not None and batched.shape_latent is not None
    assert np.abs(alone.shape_latent - batched.shape_latent).max() < 1e-3
    assert (alone.occupancy != batched.occupancy).mean() < 1e-3


def test_latents_read_back_and_carry_every_cell(candidates: tuple[GeneratedCandidate, ...]) -> None:
    latents = latents_from_bytes(candidates[0].latents)
    assert latents.occupancy.shape == (32, 32, 32)
    assert latents.shape_latent is not None
    assert latents.shape_latent.shape == PRESETS["nano"].geometry.latent_shape
    assert latents.layout is not None and latents.layout.shape == (13,)
    assert len(latents.slat_coords) == len(latents.slat_feats) > 0
    assert latents_to_bytes(latents) == candidates[0].latents


@contextmanager
def _spoilt_shape(model: GeometryModel, *seeds: int) -> Iterator[None]:
    """While it lasts, the first velocity of a candidate whose noise is that of one of ``seeds`` is NaN."""
    noise = draw_noise([candidate_generator(seed) for seed in seeds], model.preset.latent_shape)

    def spoil(_: nn.Module, given: tuple[Tensor, ...], out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hit = (given[0][:, None] == noise[None]).flatten(2).all(dim=2).any(dim=1)
        return torch.where(hit.view(-1, 1, 1, 1, 1), float("nan"), out[0]), out[1]

    handle = model.register_forward_hook(spoil)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _spoilt_texture(model: TextureFlow, times: int) -> Iterator[None]:
    """The first cell of the next ``times`` velocities is infinite."""
    left = [times]

    def spoil(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        left[0] -= 1
        first = (torch.arange(len(out)) == 0)[:, None]
        return torch.where(first, float("inf"), out) if left[0] >= 0 else out

    handle = model.register_forward_hook(spoil)
    try:
        yield
    finally:
        handle.remove()


def test_a_candidate_that_is_not_finite_is_drawn_again_says_so_and_spoils_no_other(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    with _spoilt_shape(pipeline.models.geometry, SEEDS[1]):
        made = pipeline.generate(_request(*SEEDS))
    assert made[0] == candidates[0]
    assert made[1].seed == SEEDS[1] and made[1].latents != candidates[1].latents
    assert "redrawn_after_non_finite(stage=shape, times=1)" in made[1].fallbacks


def test_a_texture_that_is_not_finite_is_drawn_again_on_the_same_shape(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    with _spoilt_texture(pipeline.models.texture, 1):
        made = pipeline.generate(_request(SEEDS[0]))[0]
    was, now = latents_from_bytes(candidates[0].latents), latents_from_bytes(made.latents)
    assert "redrawn_after_non_finite(stage=texture, times=1)" in made.fallbacks
    assert np.array_equal(was.occupancy, now.occupancy) and not np.array_equal(was.slat_feats, now.slat_feats)


def test_what_never_comes_out_finite_fails_by_the_names_of_its_seeds(pipeline: CandidatePipeline) -> None:
    with _spoilt_texture(pipeline.models.texture, 100), pytest.raises(SamplingFailed) as failed:
        pipeline.generate(_request(SEEDS[0]))
    assert failed.value.seeds == SEEDS[:1] and failed.value.code == "sampling_not_finite"
    assert str(SEEDS[0]) in str(failed.value)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x00" * 64])
def test_other_bytes_are_not_taken_for_latents(pipeline: CandidatePipeline, data: bytes) -> None:
    with pytest.raises(ValueError):
        pipeline.propose_layout(golden_request(), latents=data)


def test_a_missing_point_map_is_stated(pipeline: CandidatePipeline) -> None:
    without = pipeline.generate(replace(_request(5), points=None, unit="m"))[0]
    assert "point_map_missing" in without.fallbacks
    assert without.pose.unit == "pointmap"
    request = _request(5)
    assert request.points is not None
    unknown = np.where(request.mask[..., None], np.float32(np.nan), request.points)
    found = pipeline.generate(replace(request, points=unknown))[0]
    assert "point_map_unknown_inside_mask" in found.fallbacks


def test_an_approximate_point_map_places_a_candidate_but_does_not_shape_it(
    pipeline: CandidatePipeline,
) -> None:
    request = _request(5)
    assert request.points is not None
    without = pipeline.generate(replace(request, points=None))[0]
    near, far = (
        pipeline.generate(replace(request, points=request.points * np.float32(scale), approximate=True))[0]
        for scale in (1.0, 4.0)
    )
    shapes = [latents_from_bytes(one.latents).shape_latent for one in (without, near, far)]
    assert np.array_equal(shapes[0], shapes[1]) and np.array_equal(shapes[1], shapes[2])
    assert "approximate_point_map_only_placed_it" in near.fallbacks
    assert far.pose.translation[2] == pytest.approx(4 * near.pose.translation[2], rel=0.05)


def test_progress_rises_to_one(pipeline: CandidatePipeline) -> None:
    heard: list[float] = []
    pipeline.generate(_request(1, 2, batch_rows=1), heard.append)
    assert heard == sorted(heard) and heard[-1] == pytest.approx(1.0)
    # Two batches of two steps, two textures, two candidates written.
    assert len(set(heard)) == len(heard) == 8


def test_a_layout_is_proposed_per_seed_for_a_given_shape_and_alone_is_the_same(
    pipeline: CandidatePipeline, candidates: tuple[GeneratedCandidate, ...]
) -> None:
    poses = pipeline.propose_layout(_request(1, 2), latents=candidates[0].latents)
    assert len(poses) == 2 and poses[0] != poses[1]
    assert pipeline.propose_layout(_request(2), latents=candidates[0].latents) == poses[1:]


def test_a_layout_is_proposed_for_a_shape_that_no_model_made(pipeline: CandidatePipeline) -> None:
    centres = frames.voxel_centres(32).reshape(32, 32, 32, 3)
    shape = CandidateLatents(
        occupancy=np.abs(centres).max(axis=-1) < 0.3,
        slat_coords=np.zeros((0, 3), np.uint8),
        slat_feats=np.zeros((0, 4), np.float16),
    )
    assert len(pipeline.propose_layout(_request(1), latents=latents_to_bytes(shape))) == 1
    small = replace(shape, occupancy=np.ones((16, 16, 16), bool))
    with pytest.raises(ValueError, match="32"):
        pipeline.propose_layout(_request(1), latents=latents_to_bytes(small))


def test_a_shape_held_where_the_model_draws_it_gets_the_layout_of_the_joint_draw(
    pipeline: CandidatePipeline,
) -> None:
    """With one step both see the same noise, and the shape stream never sees the layout."""
    model = pipeline.models.geometry
    generators = [candidate_generator(seed) for seed in (1, 2)]
    noise_shape, noise_layout = (
        draw_noise(generators, model.preset.latent_shape),
        draw_noise(generators, (13,)),
    )
    size = model.preset.image_size
    views = torch.randn(2, 2, 8, size, size, generator=generators[0])
    tokens = model.encode(views[0], views[1], torch.zeros(2, 4))
    settings = FlowSettings(steps=1, cfg_strength=1.0)
    joint = draw_geometry(
        model, tokens, noise_shape=noise_shape, noise_layout=noise_layout, settings=settings
    )
    held = draw_layouts(
        model,
        tokens,
        shape=joint.shape + 1.0,
        noise_shape=noise_shape,
        noise_layout=noise_layout,
        settings=settings,
    )
    torch.testing.assert_close(held, joint.layout)
    other = draw_geometry(
        model, tokens, noise_shape=noise_shape, noise_layout=noise_layout + 1, settings=settings
    )
    assert torch.equal(other.shape, joint.shape) and not torch.equal(other.layout, joint.layout)


def test_a_preset_with_extracted_surfaces_and_a_condition_encoder_goes_the_same_way() -> None:
    """As ``released`` is built, at the size of nano."""
    nano = PRESETS["nano"]
    preset = replace(
        nano,
        geometry=replace(nano.geometry, preconditioned=False, gate_start=0.0),
        latent=replace(
            nano.latent,
            grid=32,
            features="views",
            feature_width=8,
            backbone="swin",
            surface="flexicubes",
            gaussians=(4, 2),
        ),
        texture=replace(
            nano.texture, condition=nano.geometry.condition, probes=0, preconditioned=False, max_cells=300
        ),
        axes="pytorch3d_rows",
    )
    torch.manual_seed(0)
    models = Models(
        preset=preset,
        geometry=GeometryModel(preset.geometry),
        ss_vae=SparseStructureVAE(preset.geometry.structure),
        slat_vae=StructuredLatentVAE(preset.latent),
        texture=TextureFlow(preset.texture, preset.latent),
    )
    made = CandidatePipeline(Resident(_shaken(models)), export_threads=1).generate(_request(5, batch_rows=2))[
        0
    ]
    assert made.num_faces > 0 and made.num_splats > 0
    assert len(latents_from_bytes(made.latents).slat_coords) <= 300


def test_cells_as_fine_as_the_occupancy_are_its_solid_voxels_without_the_inner_ones() -> None:
    preset = replace(PRESETS["nano"], latent=replace(PRESETS["nano"].latent, grid=32))
    occupancy = torch.zeros(1, 32, 32, 32)
    occupancy[0, 10:15, 10:15, 10:15] = 1.0
    cells = cells_of(occupancy, preset)[0]
    assert len(cells) == 5**3 - 3**3
    few = cells_of(occupancy, replace(preset, texture=replace(preset.texture, max_cells=40)))[0]
    assert len(few) == 40 and len({tuple(row) for row in few.tolist()}) == 40


MASK = golden_request().mask


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("mask_empty", {"mask": np.zeros_like(MASK)}),
        ("mask_too_small", {"mask": np.arange(MASK.size).reshape(MASK.shape) == 6000}),
        ("mask_shape", {"mask": np.pad(MASK, 4)}),
        ("mask_dtype", {"mask": MASK.astype(np.uint8)}),
        ("image_dtype", {"image": np.zeros((96, 128, 3), np.float32)}),
        ("image_shape", {"image": np.zeros((96, 128), np.uint8)}),
        ("image_too_small", {"image": np.zeros((1, 1, 3), np.uint8), "mask": np.ones((1, 1), bool)}),
        ("points_all_unknown", {"points": np.full((96, 128, 3), np.nan, np.float32)}),
        ("points_dtype", {"points": np.zeros((96, 128, 3))}),
        ("points_shape", {"points": np.zeros((95, 128, 3), np.float32)}),
        ("seeds_missing", {"seeds": ()}),
        ("seed_out_of_range", {"seeds": (1, -1)}),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_by_name(code: str, wrong: dict[str, object]) -> None:
    with pytest.raises(RequestRefused) as refused:
        replace(golden_request(), **wrong)
    assert refused.value.code == code
