"""Ports to foreign generators, each against a stand-in of the foreign package in a child process of its own."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import trimesh

from modelzoo import frames
from modelzoo.contracts import CandidateRequest
from modelzoo.exports.gaussian_ply import gaussians_from_ply
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.ports import (
    direct3d_s2,
    foundation_pose,
    hi3dgen,
    hunyuan3d,
    midi,
    sam3d_objects,
    trellis,
    triposg,
)
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.external import ForeignEnvironment
from modelzoo.ports.foreign_mesh import ForeignShape
from tests.glb_reading import uncompressed
from tests.ml.foreign_request import (
    CENTRE,
    HEIGHT,
    SIZE,
    WIDTH,
    box_corners,
    environment,
    extent_of,
    photographed,
    vertices_of,
)


@pytest.fixture
def request_() -> CandidateRequest:
    return photographed()


def test_trellis_gives_coloured_meshes_and_its_own_gaussians(request_):
    source = trellis.trellis_source(environment("trellis", weights="/w", structure_sampler={"steps": 12}))
    try:
        first, second = source.generate(request_)
    finally:
        source.close()
    assert (first.seed, second.seed) == (7, 8) and first.latents == b""
    np.testing.assert_allclose(extent_of(first), SIZE, atol=1e-3)
    assert set(first.fallbacks) == {"pose_searched"} and first.pose.unit == "m"
    assert first.settings.source_options == {"weights": "/w", "structure_sampler": {"steps": 12}}
    splats = gaussians_from_ply(first.splat_ply)
    offset = CENTRE + 0.007  # where seed 7's mesh stands in the maker's frame
    np.testing.assert_allclose(splats.positions + offset, box_corners(), atol=2e-3)  # half precision
    np.testing.assert_allclose(splats.scales, np.tile([0.01, 0.02, 0.03], (8, 1)), rtol=1e-4)
    np.testing.assert_allclose(splats.rotations_wxyz, np.tile([1.0, 0, 0, 0], (8, 1)), atol=1e-6)
    np.testing.assert_allclose(splats.colours, 0.2 + 0.6 * (splats.positions > 0), atol=1e-3)
    [preview] = trimesh.load_scene(
        BytesIO(uncompressed(first.preview_glb)), file_type="glb", process=False
    ).geometry.values()
    assert np.asarray(preview.visual.vertex_attributes["color"])[:, :3].std() > 0.2 * 65535


def test_hi3dgen_goes_through_normals_and_says_that_it_knows_no_colours(request_):
    options = {"weights": "/w", "normal_repository": "/normals", "normal_weights": "/weights"}
    source = hi3dgen.hi3dgen_source(environment("hi3dgen", **options))
    try:
        first, _ = source.generate(request_)
    finally:
        source.close()
    np.testing.assert_allclose(extent_of(first), SIZE, atol=1e-3)
    assert set(first.fallbacks) == {"pose_searched", "splats_from_mesh", "mesh_without_colours"}


def test_hunyuan3d_comes_painted_and_y_up(request_):
    options = {"weights": "/weights", "subfolder": "hunyuan3d-dit-v2-0-turbo", "paint": True}
    settings = {"num_inference_steps": 5, "octree_resolution": 256}
    source = hunyuan3d.hunyuan3d_source(environment("hunyuan3d", **options, **settings))
    try:
        first, _ = source.generate(request_)
    finally:
        source.close()
    np.testing.assert_allclose(extent_of(first), SIZE, atol=1e-3)
    assert set(first.fallbacks) == {"axes_assumed", "pose_searched", "splats_from_mesh"}
    splats = gaussians_from_ply(first.splat_ply)
    left, right = splats.positions[:, 0] < -0.4, splats.positions[:, 0] > 0.4
    np.testing.assert_allclose(splats.colours[left].mean(axis=0), [1, 0, 0], atol=0.15)
    np.testing.assert_allclose(splats.colours[right].mean(axis=0), [0, 0, 1], atol=0.15)


@pytest.mark.parametrize(
    ("make", "double", "options"),
    [
        (triposg.triposg_source, "triposg", {}),
        (direct3d_s2.direct3d_s2_source, "direct3d_s2", {"sdf_resolution": 512}),
    ],
)
def test_shapes_without_colours_come_y_up(make, double, options, request_):
    source = make(environment(double, weights="/w", **options))
    try:
        first, second = source.generate(request_)
    finally:
        source.close()
    np.testing.assert_allclose(extent_of(first), SIZE, atol=1e-3)
    expected = {"axes_assumed", "mesh_without_colours", "pose_searched", "splats_from_mesh"}
    assert set(first.fallbacks) == expected and second.seed == 8


def official(
    tmp_path: Path, *, target: str, generator: str = "sam3d_objects.Generator"
) -> ForeignEnvironment:
    (tmp_path / "pipeline.yaml").write_text(
        f"_target_: {target}\nss_generator_config_path: generator.yaml\ndtype: float16\n"
    )
    (tmp_path / "generator.yaml").write_text(f"module:\n  backbone:\n    - _target_: {generator}\n")
    return environment("sam3d_objects", config=str(tmp_path / "pipeline.yaml"), stage1_steps=4)


def test_the_official_package_places_its_object_as_its_own_formula_says(tmp_path, request_):
    source = sam3d_objects.sam3d_objects_source(
        official(tmp_path, target="sam3d_objects.pipeline.InferencePipelinePointMap")
    )
    try:
        first, _ = source.generate(request_)
    finally:
        source.close()
    assert set(first.fallbacks) == {"layout_post_optimised", "voxels_downsampled"} and first.pose.unit == "m"
    # Their formula, x_camera = (s x_object) @ R(q) + t, and then from PyTorch3D's camera axes to OpenCV's.
    theirs = 0.6 * box_corners() @ frames.rotation_from_wxyz([0.5, 0.5, -0.5, 0.5]) + [0.1, 0.2, 2.0]
    expected = theirs * [-1, -1, 1]
    np.testing.assert_allclose(
        np.sort(frames.camera_from_object(first.pose, vertices_of(first)), axis=0),
        np.sort(expected, axis=0),
        atol=1e-4,
    )
    splats = gaussians_from_ply(first.splat_ply)
    np.testing.assert_allclose(frames.camera_from_object(first.pose, splats.positions), expected, atol=1e-5)
    np.testing.assert_allclose(np.abs(splats.rotations_wxyz), np.tile([0.0, 0, 1, 0], (8, 1)), atol=1e-6)


def test_an_older_official_package_is_asked_for_less_and_every_loss_is_marked(tmp_path, request_):
    source = sam3d_objects.sam3d_objects_source(
        official(tmp_path, target="sam3d_objects.pipeline.OlderPipeline")
    )
    try:
        first, _ = source.generate(request_)
    finally:
        source.close()
    assert {"point_map_guessed_by_source", "argument_ignored_pointmap", "mesh_from_glb"} <= set(
        first.fallbacks
    )
    assert first.pose.unit == "pointmap"  # it stands in points that the package guessed
    theirs = 0.6 * box_corners() @ frames.rotation_from_wxyz([0.5, 0.5, -0.5, 0.5]) + [0.1, 0.2, 2.0]
    np.testing.assert_allclose(
        np.sort(frames.camera_from_object(first.pose, vertices_of(first)), axis=0),
        np.sort(theirs * [-1, -1, 1], axis=0),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    "target", ["os.system", "torch.hub.load", "sam3d_objectsx.pipeline.Run", "${oc.env:HOME}.x"]
)
def test_a_configuration_may_not_build_anything_it_likes(target, tmp_path, request_):
    for where in (
        {"target": target},
        {"target": "sam3d_objects.pipeline.OlderPipeline", "generator": target},
    ):
        source = sam3d_objects.sam3d_objects_source(official(tmp_path, **where))
        with pytest.raises(SourceError, match="does not let a file build") as refused:
            source.generate(request_)
        assert refused.value.code == "target_refused"


def test_midi_turns_all_masks_into_one_scene(request_):
    masks = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    masks[0, 20:30, 6:22], masks[1, 10:30, 30:52] = True, True
    scene = midi.SceneRequest(image=request_.image, masks=masks, seeds=(3,), points=request_.points, unit="m")
    source = midi.MidiSource(environment("midi", weights="/w"))
    try:
        [objects] = source.generate_scene(scene)
    finally:
        source.close()
    left, right = objects
    assert left.seed == right.seed == 3 and "scene_pose_searched" in left.fallbacks
    np.testing.assert_allclose(extent_of(left)[[0, 2]] / extent_of(left)[0], [1, 0.4 / 0.6], atol=0.1)
    assert left.pose.rotation_wxyz == right.pose.rotation_wxyz
    # The doubles' centres are (-.5, -.25, 0) and (.5, -.25, 0) in one frame, Y-up: they keep that distance.
    apart = np.asarray(right.pose.translation) - np.asarray(left.pose.translation)
    per_scene = left.pose.scale / 0.6  # the left object is 0.6 wide
    assert np.linalg.norm(apart) / per_scene == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1.0), ("pointmap", 40.0)])
def test_foundation_pose_is_given_metres_and_answers_in_the_points_unit(unit, factor, request_):
    solid = np.zeros((16, 16, 16), np.bool_)
    solid[2:14, 4:12, 6:10] = True
    nothing = (np.zeros((0, 3), np.uint8), np.zeros((0, 8), np.float16))
    latents = latents_to_bytes(
        CandidateLatents(occupancy=solid, slat_coords=nothing[0], slat_feats=nothing[1])
    )
    points = (request_.points * np.float32(0.6 * factor)).astype(np.float32)
    given = replace(request_, points=points, unit=unit, seeds=(1, 2, 3))
    source = foundation_pose.FoundationPoseSource(environment("foundation_pose"))
    try:
        first, second, third = source.propose_layout(given, latents=latents)
    finally:
        source.close()
    expected = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    np.testing.assert_allclose(frames.rotation_from_wxyz(first.rotation_wxyz), expected, atol=1e-6)
    np.testing.assert_allclose(frames.rotation_from_wxyz(second.rotation_wxyz), expected.T, atol=1e-6)
    assert third == second and first.unit == unit
    # The stand-in puts the box's centre at (.05, -.02, 1.1) of the metres it was given.
    given_metres = 1.0 if unit == "m" else float(np.median(points[request_.mask][:, 2]))
    np.testing.assert_allclose(first.translation, np.array([0.05, -0.02, 1.1]) * given_metres, rtol=1e-4)


def test_foundation_pose_needs_points(request_):
    source = foundation_pose.FoundationPoseSource(environment("foundation_pose"))
    shape = ForeignShape(vertices=box_corners(), faces=np.array([[0, 1, 2], [1, 2, 3]]))
    with pytest.raises(ValueError, match="needs points"):
        source.propose_for_shape(replace(request_, points=None), shape)
    assert not source.process.running
