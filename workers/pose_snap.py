"""Snaps a posed shape to the points of its object: ICP of the seen part, kept only where it measurably helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from modelzoo import frames
from modelzoo.contracts import Intrinsics, Pose
from modelzoo.silhouette import rasterise
from workers import icp
from workers.mesh_files import Shape
from workers.point_cloud import flying

Floats = NDArray[np.float64]

RASTER_SIDE = 512  # of the grid in which silhouettes, depths and the seen surface are taken
FEWEST_POINTS = 60
MOST_POINTS, MOST_SURFACE = 4000, 8000
REACHES = (0.3, 0.2, 0.12, 0.08, 0.05, 0.03)  # in shape sizes, one round after the other
FIT_REACH = 0.03  # in shape sizes: a point this near lies on the surface
FEWEST_IN_REACH = 0.1  # of the points: with fewer there is nothing to hold on to
SCALE_STEP, SCALE_MOST = 1.15, 2.0  # a round may change the size by this factor, all together by that
MOST_TURN_DEG = 30.0  # a snap is a correction; a shape that comes to lie on another side is another answer
MOST_IOU_LOSS = 0.05  # a better depth is not worth more of the photograph's evidence than this
DEPTH_WEIGHT = 2.0  # a residual of half the shape's size weighs as much as the whole mask
LEAST_GAIN = 0.002


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a pose is held against: camera points (H, W, 3), NaN where unknown, the mask and the camera of that grid."""

    points: NDArray[np.float32]
    mask: NDArray[np.bool_]
    intrinsics: Intrinsics


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Mask IoU; median distance to the points along the line of sight (None without overlap); share in reach."""

    mask_iou: float
    depth_residual: float | None
    fitness: float


@dataclass(frozen=True, kw_only=True)
class Snap:
    """The pose before or, where that is better, after snapping, with what was measured of both."""

    pose: Pose
    before: Measures
    after: Measures
    found: bool
    num_points: int


def snap(shape: Shape, pose: Pose, scene: Scene, *, with_scale: bool) -> Snap:
    """Aligns the seen part of ``shape`` to the masked points; the answer is never worse in both measures.

    Raises EngineError (too_few_points, shape_too_far) where there is nothing to snap to.
    """
    scene = _at_working_size(scene)
    points = _target_points(scene, pose)
    surface, _ = _seen(shape, pose, scene.intrinsics)
    reach = REACHES[0] * pose.scale
    if not len(surface) or icp.fitness(points, surface, reach=reach) < FEWEST_IN_REACH:
        raise EngineError(
            "The shape is too far from its points: bring it nearer by hand or with three point pairs (P), "
            "then snap again.",
            code="shape_too_far",
        )
    before = _measured(shape, pose, scene, points)
    best, best_measures = pose, before
    at_depth = _brought_to_depth(shape, pose, scene)
    moved = _measured(shape, at_depth, scene, points)
    if _score(moved, pose.scale) > _score(before, pose.scale) + LEAST_GAIN:
        best, best_measures = at_depth, moved
    for tried in _tries(shape, best, scene, points, with_scale=with_scale):
        if _turn_deg(pose, tried) > MOST_TURN_DEG:
            continue
        measures = _measured(shape, tried, scene, points)
        if measures.mask_iou < before.mask_iou - MOST_IOU_LOSS:
            continue
        if _score(measures, pose.scale) > _score(best_measures, pose.scale) + LEAST_GAIN:
            best, best_measures = tried, measures
    return Snap(pose=best, before=before, after=best_measures, found=best is not pose, num_points=len(points))


def _brought_to_depth(shape: Shape, pose: Pose, scene: Scene) -> Pose:
    """Along the viewing ray until the seen side lies at the points' depth: no rough shape is turned by that."""
    drawn = rasterise(
        np.asarray(frames.camera_from_object(pose, shape.vertices)), shape.faces, scene.intrinsics
    )
    depth = scene.points[..., 2]
    known = drawn.mask & scene.mask & np.isfinite(depth) & (depth > 0)
    if known.sum() < FEWEST_POINTS:
        return pose
    away = float(np.median(depth[known] - drawn.depth[known]))
    x, y, z = np.asarray(pose.translation) * (1 + away / pose.translation[2])
    return replace(pose, translation=(float(x), float(y), float(z))) if z > 0 else pose


def _tries(shape: Shape, pose: Pose, scene: Scene, points: Floats, *, with_scale: bool) -> Iterator[Pose]:
    """Poses of narrowing rounds: point-to-plane, which slides along surfaces, and point-to-point, which does not."""
    for by_planes in (True, False):
        tried = pose
        for share in REACHES:
            reach = share * pose.scale
            surface, normals = _seen(shape, tried, scene.intrinsics)
            if len(surface) < FEWEST_POINTS:
                break
            if by_planes:
                fit = icp.to_planes(points, surface, normals, reach=reach)
                tried = _carried(tried, fit.transform, start=pose)
                surface, _ = _seen(shape, tried, scene.intrinsics)
            if with_scale or not by_planes:
                if len(surface) < FEWEST_POINTS:
                    break
                fit = icp.to_points(points, surface, reach=reach, with_scale=with_scale)
                tried = _carried(tried, fit.transform, start=pose)
            yield tried


def _carried(pose: Pose, T_surface_points: Floats, *, start: Pose) -> Pose:
    """The pose under the inverse motion, its size within bounds; unchanged when that would be no pose."""
    scale = float(np.cbrt(max(np.linalg.det(T_surface_points[:3, :3]), 1e-12)))
    bounded = float(np.clip(scale, 1 / SCALE_STEP, SCALE_STEP))
    bounded = pose.scale / float(
        np.clip(pose.scale / bounded, start.scale / SCALE_MOST, start.scale * SCALE_MOST)
    )
    rotation = T_surface_points[:3, :3] / scale
    centre = np.asarray(pose.translation)
    # Where the object's centre comes to lie, whatever of the scale was cut off.
    middle = np.linalg.solve(T_surface_points[:3, :3], centre - T_surface_points[:3, 3])
    if not np.isfinite(middle).all() or middle[2] <= 0:
        return pose
    return frames.pose_from_parts(
        rotation=rotation.T @ frames.rotation_from_wxyz(pose.rotation_wxyz),
        translation=middle,
        scale=pose.scale / bounded,
        unit=pose.unit,
    )


def _turn_deg(a: Pose, b: Pose) -> float:
    cosine = abs(float(np.dot(a.rotation_wxyz, b.rotation_wxyz)))
    return float(np.degrees(2 * np.arccos(min(cosine, 1.0))))


def _target_points(scene: Scene, pose: Pose) -> Floats:
    """The points of the mask's inside that hang on no outline, cleaned and thinned."""
    inside = cv2.erode(scene.mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    known = inside & np.isfinite(scene.points).all(axis=2) & (scene.points[..., 2] > 0)
    points = scene.points[known & ~flying(scene.points[..., 2])].astype(np.float64)
    if len(points) >= FEWEST_POINTS:
        points = icp.without_outliers(points)
    if len(points) > MOST_POINTS:
        extent = float(np.linalg.norm(np.ptp(points, axis=0)))
        points = icp.thinned(points, cell=extent / np.sqrt(MOST_POINTS))
    if len(points) < FEWEST_POINTS:
        raise EngineError(
            f"Only {len(points)} points of the scene lie on this object; snapping needs {FEWEST_POINTS}. "
            "Place the shape by the photo.",
            code="too_few_points",
        )
    return points


def _seen(shape: Shape, pose: Pose, camera: Intrinsics) -> tuple[Floats, Floats]:
    """Camera points (M, 3) and unit normals of the part of the posed shape that the camera sees."""
    corners = np.asarray(frames.camera_from_object(pose, shape.vertices))[shape.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    drawn = rasterise(
        corners.reshape(-1, 3),
        np.arange(3 * len(corners)).reshape(-1, 3),
        camera,
        colours=np.repeat(normals, 3, axis=0),
    )
    pixels = frames.pixel_grid(width=camera.width, height=camera.height)[drawn.mask]
    points = frames.unproject(pixels, drawn.depth[drawn.mask], camera)
    facing = drawn.colour[drawn.mask].astype(np.float64)
    # A mesh's winding is not to be trusted; what is seen faces the camera.
    facing *= -np.sign((facing * points).sum(axis=1, keepdims=True) + 1e-12)
    stride = max(1, -(-len(points) // MOST_SURFACE))
    return points[::stride], facing[::stride]


def _measured(shape: Shape, pose: Pose, scene: Scene, points: Floats) -> Measures:
    """As the page measures, so that its numbers and ours are the same."""
    drawn = rasterise(
        np.asarray(frames.camera_from_object(pose, shape.vertices)), shape.faces, scene.intrinsics
    )
    union = int((drawn.mask | scene.mask).sum())
    both = drawn.mask & scene.mask
    depth = scene.points[..., 2]
    known = both & np.isfinite(depth) & (depth > 0)
    residual = float(np.median(np.abs(drawn.depth[known] - depth[known]))) if known.sum() >= 20 else None
    surface, _ = _seen(shape, pose, scene.intrinsics)
    return Measures(
        mask_iou=float(both.sum()) / union if union else 0.0,
        depth_residual=residual,
        fitness=icp.fitness(points, surface, reach=FIT_REACH * pose.scale) if len(surface) else 0.0,
    )


def _score(measures: Measures, size: float) -> float:
    """Grows with either measure, so that what is worse in both never wins."""
    residual = size if measures.depth_residual is None else measures.depth_residual
    return measures.mask_iou - DEPTH_WEIGHT * min(residual / size, 1.0)


def _at_working_size(scene: Scene) -> Scene:
    height, width = scene.mask.shape
    shrink = min(1.0, RASTER_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    if size == (width, height):
        return scene
    share = cv2.resize(scene.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Scene(
        points=np.asarray(cv2.resize(scene.points, size, interpolation=cv2.INTER_NEAREST), np.float32),
        mask=np.asarray(share >= 0.5),
        intrinsics=scene.intrinsics.resized(width=size[0], height=size[1]),
    )
