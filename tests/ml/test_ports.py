"""Ports to foreign generators, each against a stand-in of the foreign package in a child process of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import trimesh

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Intrinsics, Pose
from modelzoo.decoders.mesh import mesh_from_surface
from modelzoo.exports.gaussian_ply import Gaussians, gaussians_from_ply
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.ports import (
    direct3d_s2,
    external,
    foundation_pose,
    hi3dgen,
    hunyuan3d,
    midi,
    sam3d_objects,
    trellis,
    triposg,
)
from modelzoo.ports.catalogue import sources_from_file
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.external import ExternalSource, ForeignEnvironment
from modelzoo.ports.foreign_mesh import (
    ForeignShape,
    candidate_from_shape,
    read_shape,
    splats_from_mesh,
    unit_cube,
)
from modelzoo.ports.placement import placed, upright
from modelzoo.silhouette import mask_iou, rasterise

DOUBLES = Path(__file__).parent / "foreign_doubles"
PYTHON = Path(sys.executable)
HEIGHT, WIDTH = 48, 64
CAMERA = Intrinsics(fx=70, fy=70, cx=32, cy=24, width=WIDTH, height=HEIGHT)
CENTRE, SIZE = np.array([0.3, -0.1, 0.2]), np.array([1.0, 0.5, 0.25])  # of the stand-ins' box, Z-up


@pytest.fixture
def request_():
    """A photograph with an object in its middle and a wall behind, known in metres two metres away."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[14:34, 20:44] = True
    depth = np.where(mask, 2.0, 3.0)
    points = frames.unproject(frames.pixel_grid(width=WIDTH, height=HEIGHT), depth, CAMERA)
    points[0:4, 0:4] = frames.unproject(
        frames.pixel_grid(width=WIDTH, height=HEIGHT), np.full_like(depth, 3.0), CAMERA
    )[0:4, 0:4]
    return CandidateRequest(
        image=np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        mask=mask,
        seeds=(7, 8),
        points=points.astype(np.float32),
        unit="m",
    )


def environment(double: str, **options: object) -> ForeignEnvironment:
    return ForeignEnvironment(
        interpreter=PYTHON,
        paths=(DOUBLES / "torch", DOUBLES / double),
        options=options,
        start_limit_s=60,
        limit_s=60,
    )


def vertices_of(candidate: GeneratedCandidate) -> np.ndarray:
    mesh = trimesh.load_scene(BytesIO(candidate.mesh_glb), file_type="glb", process=False).to_mesh()
    return np.asarray(frames.object_from_glb(mesh.vertices))


def extent_of(candidate: GeneratedCandidate) -> np.ndarray:
    vertices = vertices_of(candidate)
    np.testing.assert_allclose(vertices.max(axis=0) + vertices.min(axis=0), 0, atol=1e-3)
    return vertices.max(axis=0) - vertices.min(axis=0)


# ------------------------------------------------------------------------------------------------ the ports themselves


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
        BytesIO(first.preview_glb), file_type="glb", process=False
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


# ------------------------------------------------------------------------------------------------ what can go wrong


@pytest.mark.parametrize(
    "port",
    [
        trellis.PORT,
        hi3dgen.PORT,
        hunyuan3d.PORT,
        triposg.PORT,
        direct3d_s2.PORT,
        midi.PORT,
        sam3d_objects.PORT,
        foundation_pose.PORT,
    ],
    ids=lambda port: port.name,
)
def test_a_missing_package_is_named_with_what_to_install(port, request_):
    bare = ForeignEnvironment(interpreter=PYTHON, options={"weights": "/w"}, start_limit_s=60, limit_s=60)
    source = ExternalSource(port, bare)
    with pytest.raises(SourceError) as missing:
        source.generate(request_)
    assert missing.value.code == "source_missing"
    assert port.install in str(missing.value) and "github.com/" in str(missing.value)
    assert not source.process.running


def test_a_missing_interpreter_is_named(request_):
    nowhere = ForeignEnvironment(interpreter=Path("/nowhere/bin/python"))
    with pytest.raises(SourceError, match="/nowhere/bin/python") as missing:
        trellis.trellis_source(nowhere).generate(request_)
    assert missing.value.code == "source_missing"


def test_a_missing_option_is_named(request_):
    with pytest.raises(SourceError, match="'weights' is missing") as missing:
        trellis.trellis_source(environment("trellis")).generate(request_)
    assert missing.value.code == "option_missing"


def test_a_crash_is_told_with_the_childs_last_words_and_the_next_request_starts_another(request_):
    source = trellis.trellis_source(environment("trellis", weights="dies", structure_sampler={"steps": 12}))
    for _ in range(2):
        with pytest.raises(SourceError, match=r"(?s)code 3.*out of memory, they say") as crashed:
            source.generate(request_)
        assert crashed.value.code == "source_crashed" and not source.process.running


def test_a_child_that_outlasts_its_limit_is_ended(request_):
    slow = replace(environment("trellis", weights="sleeps", structure_sampler={"steps": 12}), limit_s=0.5)
    source = trellis.trellis_source(slow)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"within 0\.5 s") as late:
        source.generate(request_)
    assert late.value.code == "source_timeout" and not source.process.running
    assert time.monotonic() - started < 25  # it slept thirty


def test_what_the_foreign_package_raises_is_told_and_the_child_lives_on(request_):
    source = trellis.trellis_source(environment("trellis", weights="raises", structure_sampler={"steps": 12}))
    with pytest.raises(SourceError, match="no kernel image is available") as failed:
        source.generate(request_)
    assert failed.value.code == "source_failed" and source.process.running
    source.close()
    assert not source.process.running


def test_a_surface_with_numbers_that_are_none_is_refused(request_):
    source = trellis.trellis_source(
        environment("trellis", weights="not finite", structure_sampler={"steps": 12})
    )
    try:
        with pytest.raises(SourceError, match="finite") as refused:
            source.generate(request_)
    finally:
        source.close()
    assert refused.value.code == "answer_refused"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mesh": "../outside.npz"}, "no file of this request"),
        ({"mesh": "absent.npz"}, "no file of this request"),
        ({"axes": "sideways"}, "z_up or y_up"),
        ({"fallbacks": [1]}, "short names"),
        ({"pose": {"convention": "left_handed", "own_points": True}}, "unknown pose convention"),
        ({"gaussians": "mesh.npz"}, "gaussians lack"),
    ],
)
def test_an_answer_outside_the_contract_is_refused(change, why, tmp_path):
    inside = tmp_path / "request"
    inside.mkdir()
    for folder in (tmp_path, inside):
        name = "outside.npz" if folder == tmp_path else "mesh.npz"
        np.savez(folder / name, vertices=box_corners(), faces=np.array([[0, 1, 2], [1, 2, 3]]))
    good = {"seed": 1, "object": 0, "mesh": "mesh.npz", "axes": "z_up", "gaussians": None, "pose": None}
    item = {**good, "fallbacks": ["noted"], **change}
    with pytest.raises(SourceError, match=why):
        external._object(item, inside, port=trellis.PORT, unit="m")


# ------------------------------------------------------------------------------------------------ meshes and placement


def box_corners() -> np.ndarray:
    unit = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    return CENTRE + (unit - 0.5) * SIZE


def test_normalising_a_shape_moves_its_pose_so_that_nothing_moves():
    cube = unit_cube(box_corners())
    pose = Pose(rotation_wxyz=(0.5, -0.5, 0.5, 0.5), translation=(0.3, 0.1, 2.0), scale=0.7)
    of_object = cube.pose_of_object(pose)
    np.testing.assert_allclose(
        frames.camera_from_object(of_object, cube.object_from_maker(box_corners())),
        frames.camera_from_object(pose, box_corners()),
        atol=1e-12,
    )
    back = cube.pose_of_maker(of_object)
    np.testing.assert_allclose(back.translation, pose.translation, atol=1e-12)
    assert back.scale == pytest.approx(pose.scale)


def test_an_inverted_closed_surface_is_turned_outwards(request_):
    inside_out = trimesh.creation.box((1, 0.5, 0.25))
    inside_out.invert()
    shape = ForeignShape(
        vertices=np.asarray(inside_out.vertices), faces=np.asarray(inside_out.faces, np.int64)
    )
    candidate = candidate_from_shape(shape, request_, seed=1)
    read = trimesh.load_scene(BytesIO(candidate.mesh_glb), file_type="glb").to_mesh()
    assert read.volume > 0


def test_a_surface_is_read_in_both_axes(tmp_path):
    np.savez(tmp_path / "mesh.npz", vertices=box_corners(), faces=np.array([[0, 1, 2], [1, 2, 3]]))
    as_is = read_shape(tmp_path / "mesh.npz", axes="z_up")
    turned = read_shape(tmp_path / "mesh.npz", axes="y_up")
    np.testing.assert_allclose(turned.vertices, frames.object_from_glb(as_is.vertices))
    assert as_is.colours is None


def test_sampled_splats_lie_on_the_surface_with_their_thin_axis_along_its_normal():
    box = trimesh.creation.box((1, 0.5, 0.25))
    mesh = mesh_from_surface(
        np.asarray(box.vertices, np.float32),
        np.asarray(box.faces, np.int32),
        np.full((8, 3), 0.5, np.float32),
    )
    splats: Gaussians = splats_from_mesh(mesh, seed=3)
    on_face = np.isclose(np.abs(splats.positions) / [0.5, 0.25, 0.125], 1, atol=1e-5)
    assert on_face.any(axis=1).all()
    thin = np.stack([frames.rotation_from_wxyz(q)[:, 2] for q in splats.rotations_wxyz[:500]])
    outwards = np.sign(splats.positions[:500]) * on_face[:500]
    clear = on_face[:500].sum(axis=1) == 1  # not on an edge
    np.testing.assert_allclose(thin[clear], outwards[clear], atol=1e-5)
    share = on_face[:, 2].mean()  # of the two largest faces, by area
    assert share == pytest.approx(0.5 * 2 / (2 * (0.5 + 0.25 + 0.125)), abs=0.02)


def test_a_shape_finds_its_way_back_into_the_picture_it_was_drawn_in():
    rotation = upright(yaw=np.deg2rad(60), elevation=np.deg2rad(20))
    vertices, faces, colours = wedge()
    true = frames.pose_from_parts(rotation=rotation, translation=[0.1, -0.05, 2.2], scale=0.8, unit="m")
    drawn = rasterise(frames.camera_from_object(true, vertices), faces, CAMERA, colours=colours)
    points = frames.unproject(
        frames.pixel_grid(width=WIDTH, height=HEIGHT), np.where(drawn.mask, drawn.depth, 4.0), CAMERA
    )
    request = CandidateRequest(
        image=np.rint(drawn.colour * 255).astype(np.uint8),
        mask=drawn.mask,
        seeds=(1,),
        points=points.astype(np.float32),
        unit="m",
    )
    found = placed(vertices, faces, colours, request)
    assert found.mask_iou > 0.9 and found.fallbacks == ("pose_searched",)
    turn = frames.rotation_from_wxyz(found.pose.rotation_wxyz) @ rotation.T
    assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 1.0
    np.testing.assert_allclose(found.pose.translation, true.translation, atol=0.06)
    assert found.pose.scale == pytest.approx(true.scale, rel=0.06)
    assert mask_iou(frames.camera_from_object(found.pose, vertices), faces, CAMERA, drawn.mask) > 0.85


def wedge() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shape that looks different from every side, in the unit cube, with a colour per corner."""
    box = trimesh.creation.box((1, 0.5, 0.6))
    vertices = np.asarray(box.vertices, np.float64)
    vertices[vertices[:, 0] > 0, 2] *= 0.3
    colours = 0.2 + 0.6 * (np.asarray(box.vertices) > 0)
    return vertices, np.asarray(box.faces), colours


def test_without_points_a_placement_says_so_and_stands_at_distance_one(request_):
    vertices, faces, _ = wedge()
    found = placed(vertices, faces, None, replace(request_, points=None))
    assert found.fallbacks == ("point_map_missing", "pose_searched")
    assert found.pose.translation[2] == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------------ the operator's file


def test_an_operators_file_names_its_sources(tmp_path):
    (tmp_path / "sources.toml").write_text(
        '[trellis]\ninterpreter = "/opt/trellis/bin/python"\npaths = ["/opt/TRELLIS"]\nlimit_s = 120.0\n'
        '[trellis.options]\nweights = "/models/trellis"\n'
    )
    sources = sources_from_file(tmp_path / "sources.toml")
    process = sources["trellis"].process
    assert list(sources) == ["trellis"] and not process.running
    assert process.interpreter == Path("/opt/trellis/bin/python") and process.paths == (Path("/opt/TRELLIS"),)
    assert process.options == {"weights": "/models/trellis"} and process.limit_s == 120
    assert process.environment == {"SPCONV_ALGO": "native"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[imagined]\ninterpreter = "x"\n', "no source imagined"),
        ("[trellis]\n", "needs interpreter"),
        ('[trellis]\ninterpreter = "x"\nspeed = 3\n', "needs interpreter and may have"),
        ("[trellis", "cannot be read"),
        ('[trellis]\ninterpreter = "x"\n[trellis.options]\nwhen = 2026-01-01\n', "options must be JSON"),
    ],
)
def test_an_operators_file_with_a_mistake_is_refused(text, why, tmp_path):
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        sources_from_file(tmp_path / "sources.toml")
