"""A layout is refined only towards what mask and point map say, and says what was done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import binary_closing
from scipy.spatial import cKDTree

from modelzoo import frames
from modelzoo.contracts import Intrinsics
from modelzoo.refinement import Layout, RefinedLayout, refine_layout
from modelzoo.silhouette import (
    SOFT_REACH,
    SOFT_SIGMA,
    SoftTarget,
    covered_raster,
    mask_iou,
    rasterise,
    soft_silhouette_loss,
    softened,
)

CAMERA = Intrinsics(fx=240, fy=240, cx=128, cy=96, width=256, height=192)
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A shape of dense vertices at a true layout, with the mask and the point map that it gives."""

    surface: Floats
    true: Layout
    mask: NDArray[np.bool_]
    points: NDArray[np.float32]

    def distance(self, layout: Layout) -> float:
        """ADD-S: mean distance of the truly placed points to the nearest placed one."""
        return float(cKDTree(layout.place(self.surface)).query(self.true.place(self.surface))[0].mean())


def _solid(*boxes: tuple[tuple[float, ...], tuple[float, ...]]) -> trimesh.Trimesh:
    made = []
    for extents, centre in boxes:
        made.append(trimesh.creation.box(extents=extents))
        made[-1].apply_translation(centre)
    return trimesh.util.concatenate(made).subdivide_to_size(0.04)


SHAPES = {
    "chair": _solid(
        ((0.5, 0.5, 0.08), (0, 0, 0)),
        ((0.5, 0.08, 0.5), (0, 0.21, 0.25)),
        *[((0.07, 0.07, 0.5), (x, y, -0.25)) for x in (-0.2, 0.2) for y in (-0.2, 0.2)],
    ),
    "corner": _solid(((0.3, 0.4, 1.0), (-0.15, 0, 0)), ((0.6, 0.4, 0.3), (0.15, 0, -0.35))),
}


def _seen(name: str, seed: int, *, at: tuple[float, float, float] = (0.1, -0.05, 2.5)) -> Seen:
    rng = np.random.default_rng(seed)
    rotation = frames.rotation_from_wxyz(rng.standard_normal(4))
    true = Layout(rotation=rotation, translation=np.array(at), scale=1.0)
    mesh = SHAPES[name]
    drawn = rasterise(true.place(np.asarray(mesh.vertices)), mesh.faces, CAMERA)
    depth = np.where(drawn.mask, drawn.depth, 4.0)
    points = frames.unproject(frames.pixel_grid(width=256, height=192), depth, CAMERA)
    return Seen(
        surface=np.asarray(mesh.vertices)[:: max(1, len(mesh.vertices) // 2500)],
        true=true,
        mask=drawn.mask,
        points=points.astype(np.float32),
    )


def _off(seen: Seen, seed: int) -> Layout:
    rng = np.random.default_rng(seed)
    half = np.radians(rng.uniform(5, 20)) / 2
    axis = rng.standard_normal(3)
    turn = frames.rotation_from_wxyz([np.cos(half), *(np.sin(half) * axis / np.linalg.norm(axis))])
    return Layout(
        rotation=turn @ seen.true.rotation,
        translation=seen.true.translation + rng.normal(0, 0.06, 3),
        scale=float(np.exp(rng.normal(0, 0.08))),
    )


def _refined(seen: Seen, layout: Layout, *, with_points: bool = True) -> RefinedLayout:
    points = seen.points if with_points else None
    return refine_layout(layout, seen.surface, mask=seen.mask, points=points, intrinsics=CAMERA)


def test_layouts_that_are_off_come_closer_and_never_fit_the_mask_worse() -> None:
    closer, turned_back = [], []
    for seed in range(4):
        for name in SHAPES:
            seen = _seen(name, seed)
            off = _off(seen, seed + 100)
            refined = _refined(seen, off)
            assert refined.iou_after >= refined.iou_before
            closer.append(seen.distance(refined.layout) < seen.distance(off))
            turned_back.append(
                np.trace(refined.layout.rotation.T @ seen.true.rotation)
                > np.trace(off.rotation.T @ seen.true.rotation)
            )
            assert np.allclose(refined.layout.rotation @ refined.layout.rotation.T, np.eye(3), atol=1e-9)
    assert np.mean(closer) >= 0.9 and np.mean(turned_back) >= 0.75


def test_the_mask_alone_turns_a_layout_too() -> None:
    gains = []
    for seed in range(4):
        seen = _seen("chair", seed)
        refined = _refined(seen, _off(seen, seed + 100), with_points=False)
        gains.append(refined.iou_after - refined.iou_before)
        assert not any("points" in step or "depth" in step for step in refined.steps)
    assert min(gains) >= 0 and np.mean(gains) > 0.1


def test_each_step_that_was_kept_states_the_overlap_before_and_after() -> None:
    seen = _seen("chair", 1)
    refined = _refined(seen, _off(seen, 101))
    kept = [step for step in refined.steps if "iou" in step]
    assert kept[0].startswith(f"layout_fitted_to_mask(iou_before={refined.iou_before:.3f}, iou=")
    assert kept[-1].endswith(f"iou={refined.iou_after:.3f})")
    assert any(step.startswith("layout_aligned_to_points") for step in kept)


def test_a_layout_that_fits_already_is_left_alone() -> None:
    seen = _seen("corner", 3)
    refined = _refined(seen, seen.true)
    assert refined.iou_before > 0.85
    assert seen.distance(refined.layout) < 0.03


def test_points_that_are_not_trusted_only_move_the_object_along_its_ray() -> None:
    seen = _seen("chair", 2)
    off = _off(seen, 102)
    near, far = (
        refine_layout(
            off,
            seen.surface,
            mask=seen.mask,
            points=seen.points * np.float32(scale),
            intrinsics=CAMERA,
            points_trusted=False,
        ).layout
        for scale in (1.0, 4.0)
    )
    np.testing.assert_allclose(near.rotation, far.rotation)
    np.testing.assert_allclose(far.translation / near.translation, 4.0, rtol=0.02)
    assert far.scale / near.scale == pytest.approx(4.0, rel=0.02)


def test_a_mask_cut_by_the_edge_turns_nothing() -> None:
    seen = _seen("chair", 0, at=(1.1, 0.0, 2.5))
    assert seen.mask[:, -1].any()
    off = _off(seen, 100)
    refined = _refined(seen, off)
    assert "layout_not_turned_mask_at_border" in refined.steps
    np.testing.assert_array_equal(refined.layout.rotation, off.rotation)
    assert refined.iou_after >= refined.iou_before


def test_a_mask_in_pieces_moves_nothing_sideways() -> None:
    seen = _seen("corner", 0)
    mask = seen.mask.copy()
    cols = np.flatnonzero(mask.any(axis=0))
    middle = (cols[0] + cols[-1]) // 2
    mask[:, middle - 8 : middle + 8] = False
    off = _off(seen, 100)
    refined = refine_layout(off, seen.surface, mask=mask, points=seen.points, intrinsics=CAMERA)
    assert "layout_not_fitted_mask_in_pieces" in refined.steps
    np.testing.assert_allclose(refined.layout.translation / refined.layout.scale, off.translation / off.scale)


def test_the_raster_of_points_is_the_plain_one() -> None:
    """Against a twin that marks pixels by numpy and closes them by scipy."""
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.4, (400, 3)) + np.array([0, 0, 2.0])
    points[:3, 2] = [-1.0, 0.0, 1e-7]
    camera = np.array([40.0, 42.0, 24.0, 23.0])
    covered, nearest = covered_raster(points, camera, 48)
    front = points[points[:, 2] > 1e-6]
    cells = np.floor(camera[:2] * front[:, :2] / front[:, 2:] + camera[2:]).astype(int)
    inside = ((cells >= 0) & (cells < 48)).all(axis=1)
    plain = np.full((48, 48), np.inf)
    np.minimum.at(plain, (cells[inside, 1], cells[inside, 0]), front[inside, 2])
    np.testing.assert_array_equal(nearest, plain)
    np.testing.assert_array_equal(covered, binary_closing(np.pad(np.isfinite(plain), 2))[2:-2, 2:-2])


def test_the_soft_silhouette_and_its_gradient_are_those_of_a_plain_twin() -> None:
    """The twin lets torch differentiate a dense sum over all points and pixels."""
    rng = np.random.default_rng(1)
    surface = rng.normal(0, 0.3, (60, 3))
    rotation = frames.rotation_from_wxyz(rng.standard_normal(4))
    translation, scale = np.array([0.1, -0.05, 2.5]), 1.2
    camera = np.array([40.0, 42.0, 16.0, 15.0])
    mask = np.zeros((32, 32), bool)
    mask[8:20, 10:24] = True
    inside = np.ones((32, 32), bool)
    inside[:, :6] = False
    target = SoftTarget(coverage=softened(mask, density=2.0), inside=inside)
    loss, gradient = soft_silhouette_loss(surface, rotation, translation, scale, camera, target)

    change = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    turned = scale * torch.from_numpy(surface @ rotation.T)
    turned = turned + torch.linalg.cross(change[:3].expand_as(turned), turned)  # exp to first order
    placed = turned * change[6].exp() + scale * change[3:6] + torch.from_numpy(translation)
    u = camera[0] * placed[:, 0] / placed[:, 2] + camera[2]
    v = camera[1] * placed[:, 1] / placed[:, 2] + camera[3]
    axis = torch.arange(32, dtype=torch.float64)
    du, dv = axis + 0.5 - u[:, None], axis + 0.5 - v[:, None]
    near_u, near_v = ((axis - at.detach().floor()[:, None]).abs() <= SOFT_REACH for at in (u, v))
    weights_u, weights_v = (
        (-0.5 * (d / SOFT_SIGMA) ** 2).exp() * near for d, near in ((du, near_u), (dv, near_v))
    )
    covered = 1 - (-torch.einsum("nr,nc->rc", weights_v, weights_u)).exp()
    wanted, known = torch.from_numpy(target.coverage), torch.from_numpy(inside)
    shared = (covered * wanted)[known].sum()
    plain = 1 - shared / ((covered + wanted - covered * wanted)[known].sum() + 1e-9)
    plain.backward()
    assert loss == pytest.approx(plain.item(), rel=1e-9)
    assert change.grad is not None
    np.testing.assert_allclose(gradient, change.grad.numpy(), rtol=1e-7, atol=1e-10)


def test_points_behind_the_camera_neither_count_nor_pull() -> None:
    mask = np.ones((16, 16), bool)
    target = SoftTarget(coverage=softened(mask, density=2.0), inside=mask)
    loss, gradient = soft_silhouette_loss(
        np.zeros((3, 3)), np.eye(3), np.array([0.0, 0.0, -1.0]), 1.0, np.array([20.0, 20.0, 8.0, 8.0]), target
    )
    assert loss == 1.0 and not gradient.any()


def test_a_silhouette_is_the_shape_that_is_projected() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    vertices = np.asarray(sphere.vertices) + np.array([0.0, 0.0, 4.0])
    rows, cols = np.meshgrid(np.arange(192) + 0.5, np.arange(256) + 0.5, indexing="ij")
    disc = np.hypot(cols - 128, rows - 96) < 240 * np.tan(np.arcsin(0.5 / 4.0))
    assert mask_iou(vertices, sphere.faces, CAMERA, disc) > 0.96
    drawn = rasterise(vertices, sphere.faces, CAMERA, colours=np.full_like(vertices, 0.25))
    assert drawn.depth[96, 128] == pytest.approx(3.5, abs=0.01)
    assert drawn.colour[96, 128] == pytest.approx([0.25] * 3, abs=1e-5)
    assert not rasterise(vertices - [0, 0, 8.0], sphere.faces, CAMERA).mask.any()
