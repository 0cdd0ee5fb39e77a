"""What comes from a foreign source is brought into the object frame and placed in the photograph."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import trimesh

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, Pose
from modelzoo.decoders.mesh import mesh_from_surface
from modelzoo.exports.gaussian_ply import Gaussians
from modelzoo.ports.foreign_mesh import (
    ForeignShape,
    candidate_from_shape,
    read_shape,
    splats_from_mesh,
    unit_cube,
)
from modelzoo.ports.placement import placed, upright
from modelzoo.silhouette import mask_iou, rasterise
from tests.ml.foreign_request import CAMERA, HEIGHT, WIDTH, box_corners, photographed


@pytest.fixture
def request_() -> CandidateRequest:
    return photographed()


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
