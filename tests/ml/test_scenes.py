"""Scenes of several posed objects: what lands where, seen by other libraries and by the photograph's camera."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import gsply
import numpy as np
import pytest
import trimesh

from modelzoo import frames
from modelzoo.contracts import Intrinsics, Pose
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.exports.gaussian_ply import Gaussians, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, glb_from_textured
from modelzoo.exports.gltf import glb_parts
from modelzoo.exports.meshopt_glb import compact_glb
from modelzoo.exports.spz import spz_from_gaussians
from modelzoo.exports.texture import textured
from modelzoo.scenes import SceneObject, scene_gaussians, scene_glb
from tests.glb_reading import uncompressed, validator_errors

CAMERA = Intrinsics(fx=500, fy=480, cx=310, cy=250, width=640, height=480)
TURN = np.deg2rad(40)
POSES = (
    Pose(rotation_wxyz=(0.5, 0.5, -0.5, 0.5), translation=(-0.6, 0.2, 2.5), scale=0.8, unit="m"),
    Pose(
        rotation_wxyz=(float(np.cos(TURN)), 0.0, float(np.sin(TURN)), 0.0),
        translation=(0.7, -0.1, 3.5),
        scale=1.4,
        unit="m",
    ),
)


def _box(colour: tuple[float, float, float]) -> ColouredMesh:
    """A box without symmetry between its axes, off the cube's middle."""
    shape = trimesh.creation.box(extents=(0.9, 0.5, 0.3)).subdivide().subdivide()
    vertices = np.asarray(shape.vertices + np.array([0.02, 0.1, -0.15]), dtype=np.float32)
    return ColouredMesh(
        vertices=vertices,
        faces=shape.faces.astype(np.int32),
        normals=shape.vertex_normals.astype(np.float32),
        colours=np.tile(np.array(colour, np.float32), (len(vertices), 1)),
    )


def _splats(mesh: ColouredMesh) -> Gaussians:
    """Flat, elongated and turned: a rotation that is lost shows."""
    count = len(mesh.vertices)
    rotation = frames.wxyz_from_rotation(frames.rotation_from_wxyz((0.9, 0.1, 0.4, -0.2)))
    return Gaussians(
        positions=mesh.vertices,
        scales=np.tile(np.array([0.05, 0.02, 0.004], np.float32), (count, 1)),
        rotations_wxyz=np.tile(np.array(rotation, np.float32), (count, 1)),
        opacities=np.full(count, 0.8, np.float32),
        colours=mesh.colours,
    )


def _objects() -> list[SceneObject]:
    meshes = [_box((0.9, 0.1, 0.1)), _box((0.1, 0.2, 0.9))]
    files = [glb_from_mesh(meshes[0], copyright="Ana"), glb_from_textured(textured(meshes[1], size=64))]
    return [
        SceneObject(name=name, pose=pose, mesh_glb=glb, splat_ply=ply_from_gaussians(_splats(mesh)))
        for name, pose, glb, mesh in zip(("red box", "blue box"), POSES, files, meshes, strict=True)
    ]


def _plainly_placed(mesh: ColouredMesh, pose: Pose) -> np.ndarray:
    """x_camera = R (s x) + t, spelt out."""
    rotation = frames.rotation_from_wxyz(pose.rotation_wxyz)
    return np.array([rotation @ (pose.scale * x) + pose.translation for x in mesh.vertices.astype(float)])


def _corners(scene: trimesh.Scene, number: int) -> np.ndarray:
    """World vertices of the object's node, by trimesh's own scene graph; GLB axes."""
    name = ("red box", "blue box")[number]
    transform, _ = scene.graph[name]
    (child,) = scene.graph.transforms.children[name]
    transform, geometry = scene.graph[child]
    return trimesh.transform_points(scene.geometry[geometry].vertices, transform)


def _same_points(found: np.ndarray, expected: np.ndarray, *, within: float) -> None:
    """As sets: a texture's cuts repeat vertices."""
    distance = np.linalg.norm(found[:, None] - expected[None], axis=-1)
    assert distance.min(axis=1).max() < within and distance.min(axis=0).max() < within


def test_a_scenes_vertices_are_where_trimesh_and_the_plain_formula_put_them() -> None:
    scene = trimesh.load(io.BytesIO(scene_glb(_objects())), file_type="glb")
    for number, pose in enumerate(POSES):
        camera = frames.glb_from_camera(_corners(scene, number))
        _same_points(camera, _plainly_placed(_box((0, 0, 0)), pose), within=1e-4)


def test_projected_vertices_land_on_the_pixels_that_the_camera_sees_them_at() -> None:
    """The pinhole by hand: u = fx x / z + cx. The corner nearest to the camera is known by itself."""
    scene = trimesh.load(io.BytesIO(scene_glb(_objects())), file_type="glb")
    for number, pose in enumerate(POSES):
        pixels = frames.project(frames.glb_from_camera(_corners(scene, number)), CAMERA)
        x, y, z = _plainly_placed(_box((0, 0, 0)), pose).T
        expected = np.stack([500 * x / z + 310, 480 * y / z + 250], axis=1)
        _same_points(pixels, expected, within=0.05)
        assert ((pixels > 0) & (pixels < (640, 480))).all()
    red, blue = (frames.project(frames.glb_from_camera(_corners(scene, i)), CAMERA) for i in (0, 1))
    assert red[:, 0].mean() < CAMERA.cx < blue[:, 0].mean(), "left in the photograph is left in the scene"


def test_the_splats_of_a_scene_land_on_the_same_pixels_as_its_meshes() -> None:
    gaussians = scene_gaussians(_objects())
    placed = np.concatenate([_plainly_placed(_box((0, 0, 0)), pose) for pose in POSES])
    np.testing.assert_allclose(
        frames.project(gaussians.positions, CAMERA), frames.project(placed, CAMERA), atol=0.01
    )
    assert (gaussians.frame, gaussians.unit) == ("camera_opencv", "m")


def test_a_posed_splats_covariance_is_the_posed_covariance() -> None:
    """Sigma' = s^2 R Sigma R^T, whatever quaternion says it."""
    own = _splats(_box((0, 0, 0)))
    gaussians = scene_gaussians(_objects())
    start = 0
    for pose in POSES:
        turn = frames.rotation_from_wxyz(pose.rotation_wxyz)
        expected = pose.scale**2 * turn @ _covariance(own, 0) @ turn.T
        np.testing.assert_allclose(_covariance(gaussians, start), expected, atol=1e-7)
        start += len(own.positions)


def test_a_scenes_splats_are_read_by_another_library_as_ply_and_as_spz(tmp_path: Path) -> None:
    gaussians = scene_gaussians(_objects())
    ply, spz = tmp_path / "scene.ply", tmp_path / "scene.spz"
    ply.write_bytes(ply_from_gaussians(gaussians))
    spz.write_bytes(spz_from_gaussians(gaussians))
    np.testing.assert_allclose(gsply.plyread(ply).means, gaussians.positions, atol=1e-6)
    np.testing.assert_allclose(
        gsply.read_spz(spz).means, frames.glb_from_camera(gaussians.positions), atol=1e-5
    )
    assert b"comment frame camera_opencv\ncomment unit m\n" in ply.read_bytes()[:200]


def test_a_scene_says_its_frame_unit_and_poses_and_whose_work_it_holds() -> None:
    document = glb_parts(scene_glb(_objects())).document
    extras = document["asset"]["extras"]
    assert (extras["frame"], extras["unit"]) == ("camera_opencv", "m")
    assert document["asset"]["copyright"] == "Ana"
    nodes = {node["name"]: node for node in document["nodes"] if "matrix" in node}
    assert set(nodes) == {"camera_opencv", "red box", "blue box"}
    for name, pose in zip(("red box", "blue box"), POSES, strict=True):
        stored = nodes[name]["extras"]
        np.testing.assert_allclose(stored["T_camera_object"], frames.matrix_from_pose(pose))
        assert Pose(**{key: stored[key] for key in ("scale", "unit", "frame")} | {
            "rotation_wxyz": tuple(stored["rotation_wxyz"]),
            "translation": tuple(stored["translation"]),
        }) == pose  # fmt: skip


def test_the_validator_finds_nothing_wrong_with_a_scene_plain_or_compressed(tmp_path: Path) -> None:
    scene = scene_glb(_objects())
    small = compact_glb(scene)
    files = {"scene": scene, "scene_meshopt": small, "scene_unpacked": uncompressed(small)}
    found = validator_errors(tmp_path, files)
    assert len(found) == 3 and not any(found.values()), found


def test_an_object_keeps_its_colours_or_its_texture_in_a_scene() -> None:
    objects = _objects()
    parts = glb_parts(scene_glb(objects))
    kinds = [set(mesh["primitives"][0]["attributes"]) for mesh in parts.document["meshes"]]
    assert kinds == [{"POSITION", "NORMAL", "COLOR_0"}, {"POSITION", "NORMAL", "TEXCOORD_0"}]
    image = parts.document["bufferViews"][parts.document["images"][0]["bufferView"]]
    picture = parts.binary[image["byteOffset"] :][: image["byteLength"]]
    assert picture[:2] == b"\xff\xd8" and picture in objects[1].mesh_glb


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pose": replace(POSES[0], unit="pointmap")}, "one unit"),
        ({"pose": replace(POSES[0], frame="world")}, "camera_opencv"),
        ({"mesh_glb": b"no glb"}, "red box: not a GLB"),
        ({"mesh_glb": scene_glb(_objects()[:1])}, "frame 'camera_opencv'"),
        ({"mesh_glb": compact_glb(glb_from_mesh(_box((0, 0, 0))))}, "compress the scene"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(change: dict[str, object], said: str) -> None:
    first, second = _objects()
    with pytest.raises(ValueError, match=said):
        scene_glb([replace(first, **change), second])


def test_a_scene_of_nothing_and_an_object_without_splats_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one object"):
        scene_glb([])
    first, second = _objects()
    with pytest.raises(ValueError, match="red box has no splats"):
        scene_gaussians([replace(first, splat_ply=None), second])
    elsewhere = ply_from_gaussians(replace(_splats(_box((0, 0, 0))), frame="camera_opencv"))
    with pytest.raises(ValueError, match="not an object's"):
        scene_gaussians([replace(first, splat_ply=elsewhere)])


def _covariance(gaussians: Gaussians, index: int) -> np.ndarray:
    axes = frames.rotation_from_wxyz(gaussians.rotations_wxyz[index])
    return np.asarray(axes @ np.diag(gaussians.scales[index].astype(float) ** 2) @ axes.T)
