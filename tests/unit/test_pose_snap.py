"""Snapping brings a shape back to its points, never makes it worse, and says so when there is nothing to snap to."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from engine.errors import EngineError
from modelzoo import frames
from modelzoo.contracts import Intrinsics, Pose
from modelzoo.silhouette import rasterise
from workers import icp
from workers.mesh_files import Shape
from workers.pose_snap import Scene, Snap, snap

CAMERA = Intrinsics(fx=300, fy=300, cx=160, cy=120, width=320, height=240)
TRUE = Pose(
    rotation_wxyz=frames.wxyz_from_rotation(
        Rotation.from_euler("XYZ", [75, 8, 25], degrees=True).as_matrix()
    ),
    translation=(0.1, 0.05, 1.4),
    scale=0.5,
    unit="m",
)


def mug() -> Shape:
    """A body with a handle and a step: no turn leaves it as it is."""
    body = trimesh.creation.cylinder(radius=0.3, height=0.9, sections=40)
    handle = trimesh.creation.box(
        (0.3, 0.08, 0.4), trimesh.transformations.translation_matrix((0.35, 0, 0.1))
    )
    foot = trimesh.creation.box((0.8, 0.8, 0.12), trimesh.transformations.translation_matrix((0, 0, -0.44)))
    mesh = trimesh.util.concatenate([body, handle, foot])
    return Shape(vertices=np.asarray(mesh.vertices), faces=np.asarray(mesh.faces))


def scene(shape: Shape, *, noise: float = 0.002, wall: bool = True) -> Scene:
    """What a depth camera would see of the shape at its true pose, before a wall."""
    drawn = rasterise(np.asarray(frames.camera_from_object(TRUE, shape.vertices)), shape.faces, CAMERA)
    rng = np.random.default_rng(5)
    depth = np.where(drawn.mask, drawn.depth, 2.5 if wall else np.nan)
    depth = depth + rng.normal(scale=noise, size=depth.shape)
    pixels = frames.pixel_grid(width=CAMERA.width, height=CAMERA.height)
    points = frames.unproject(pixels, depth, CAMERA).astype(np.float32)
    return Scene(points=points, mask=drawn.mask, intrinsics=CAMERA)


def moved(*, degrees: tuple[float, float, float], by: tuple[float, float, float], grown: float = 1.0) -> Pose:
    turn = Rotation.from_euler("XYZ", degrees, degrees=True).as_matrix()
    return frames.pose_from_parts(
        rotation=turn @ frames.rotation_from_wxyz(TRUE.rotation_wxyz),
        translation=np.array(TRUE.translation) + by,
        scale=TRUE.scale * grown,
        unit="m",
    )


def is_not_worse_in_both(found: Snap) -> bool:
    before, after = found.before, found.after
    assert before.depth_residual is not None and after.depth_residual is not None
    return after.mask_iou >= before.mask_iou or after.depth_residual <= before.depth_residual


def angle(a: Pose, b: Pose) -> float:
    relative = frames.rotation_from_wxyz(a.rotation_wxyz).T @ frames.rotation_from_wxyz(b.rotation_wxyz)
    return float(np.degrees(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))))


def test_a_shape_beside_its_points_comes_back_to_them() -> None:
    start = moved(degrees=(6, -5, 7), by=(0.03, -0.02, 0.06))
    found = snap(mug(), start, scene(mug()), with_scale=False)
    assert found.found and found.pose.unit == "m" and found.pose.scale == pytest.approx(TRUE.scale)
    assert found.after.mask_iou > found.before.mask_iou and found.after.mask_iou > 0.95
    assert found.after.depth_residual is not None and found.after.depth_residual < 0.006
    assert found.after.fitness > 0.95 > found.before.fitness
    assert angle(found.pose, TRUE) < 2.5
    np.testing.assert_allclose(found.pose.translation, TRUE.translation, atol=0.012)


def test_a_size_is_found_too_when_it_may_change() -> None:
    start = moved(degrees=(3, 2, -4), by=(0.01, 0.01, 0.03), grown=1.2)
    kept = snap(mug(), start, scene(mug()), with_scale=False)
    free = snap(mug(), start, scene(mug()), with_scale=True)
    assert kept.pose.scale == pytest.approx(start.scale)
    assert free.pose.scale == pytest.approx(TRUE.scale, rel=0.05)
    assert free.after.mask_iou > kept.after.mask_iou


def test_a_pose_that_is_right_already_stays() -> None:
    found = snap(mug(), TRUE, scene(mug()), with_scale=True)
    assert not found.found and found.pose == TRUE and found.before == found.after


@pytest.mark.parametrize("seed", range(6))
def test_no_snap_is_worse_in_both_measures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = moved(
        degrees=tuple(rng.uniform(-40, 40, 3)),
        by=tuple(rng.uniform(-0.1, 0.1, 3)),
        grown=float(rng.uniform(0.7, 1.4)),
    )
    assert is_not_worse_in_both(snap(mug(), start, scene(mug(), noise=0.01), with_scale=bool(seed % 2)))


def test_too_few_points_are_refused_with_their_number() -> None:
    full = scene(mug())
    sparse = np.full_like(full.points, np.nan)
    sparse[::20, ::20] = full.points[::20, ::20]
    with pytest.raises(EngineError, match=r"Only \d+ points .* by the photo") as refused:
        snap(mug(), TRUE, Scene(points=sparse, mask=full.mask, intrinsics=CAMERA), with_scale=False)
    assert refused.value.code == "too_few_points" and refused.value.permanent


def test_a_shape_far_from_its_points_is_refused_with_what_to_do() -> None:
    away = moved(degrees=(0, 0, 0), by=(0.0, 0.0, 3.0))
    with pytest.raises(EngineError, match="three point pairs"):
        snap(mug(), away, scene(mug()), with_scale=False)


def test_open3d_finds_what_a_plain_point_to_plane_icp_finds() -> None:
    rng = np.random.default_rng(2)
    surface, normals = bumpy_surface(rng)
    turn = Rotation.from_euler("XYZ", [2, -3, 4], degrees=True).as_matrix()
    points = (surface[::3] - [0.01, 0.02, -0.01]) @ turn  # their partners are p @ turn.T + shift
    found = icp.to_planes(points, surface, normals, reach=0.2).transform
    plain = plain_point_to_plane(points, surface, normals, reach=0.2)
    np.testing.assert_allclose(found, plain, atol=2e-4)
    np.testing.assert_allclose(found[:3, :3], turn, atol=2e-3)


def bumpy_surface(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """z = waves of x and y, with its exact normals."""
    x, y = rng.uniform(-1, 1, (2, 6000))
    z = 0.2 * np.sin(3 * x) + 0.15 * np.cos(4 * y)
    normals = np.stack([-0.6 * np.cos(3 * x), 0.6 * np.sin(4 * y), np.ones_like(x)], axis=1)
    return np.stack([x, y, z], axis=1), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def plain_point_to_plane(
    points: NDArray[np.float64], surface: NDArray[np.float64], normals: NDArray[np.float64], *, reach: float
) -> NDArray[np.float64]:
    """Gauss-Newton on the distances to the nearest points' planes with Tukey's weights, nothing clever."""
    whole, limit = np.eye(4), icp.TUKEY_SHARE * reach
    for _ in range(60):
        placed = points @ whole[:3, :3].T + whole[:3, 3]
        distance, nearest = cKDTree(surface).query(placed)
        near = distance < reach
        p, q, n = placed[near], surface[nearest[near]], normals[nearest[near]]
        error = ((p - q) * n).sum(axis=1)
        weight = np.where(np.abs(error) < limit, (1 - (error / limit) ** 2) ** 2, 0.0)
        jacobian = np.concatenate([np.cross(p, n), n], axis=1)
        step = np.linalg.solve(jacobian.T @ (weight[:, None] * jacobian), -jacobian.T @ (weight * error))
        change = np.eye(4)
        change[:3, :3] = Rotation.from_euler("xyz", step[:3]).as_matrix()
        change[:3, 3] = step[3:]
        whole = change @ whole
    return whole
