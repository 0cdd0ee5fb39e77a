"""What one posed object looks like alone: the z-buffer and the ray caster beside slow plain twins."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from modelzoo.contracts import Intrinsics
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.frames import pixel_grid, unproject
from training.data.cells import display_colour, nearest_surface
from training.data.lighting import MIN_FITTED, fitted_light, lit_by_fit, lit_by_lamp
from training.data.objects import make_object
from training.data.primitives import concatenate
from training.data.raycast import Light
from training.data.surfaces import Placement, Surface, linear_albedo, mesh_surface, solid_surface

CAMERA = Intrinsics(fx=30.0, fy=27.0, cx=13.3, cy=10.9, width=26, height=22)
EVEN = Light(direction=np.array([0.0, 0.0, -1.0]), ambient=1.0, tint=np.ones(3), shadows=False)


def _rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def _mesh() -> ColouredMesh:
    ball = trimesh.creation.icosphere(1, radius=0.25)
    box = trimesh.creation.box((0.8, 0.25, 0.12)).apply_translation((0.1, 0.05, 0.1))
    both = trimesh.util.concatenate([ball, box])
    return ColouredMesh(
        vertices=both.vertices.astype(np.float32),
        faces=both.faces.astype(np.int32),
        normals=both.vertex_normals.astype(np.float32),
        colours=np.random.default_rng(5).random((len(both.vertices), 3)).astype(np.float32),
    )


def _plain_twin(mesh: ColouredMesh, at: Placement) -> Surface:
    """Every ray against every triangle, by solving for the plane and the barycentric coordinates."""
    corners = (at.scale * mesh.vertices.astype(float) @ at.rotation.T + at.translation)[mesh.faces]
    albedo, normals = linear_albedo(mesh.colours), mesh.normals.astype(float) @ at.rotation.T
    shape = (CAMERA.height, CAMERA.width)
    depth, shown = np.full(shape, np.inf), [np.zeros((*shape, 3)), np.zeros((*shape, 3))]
    rays = unproject(pixel_grid(width=CAMERA.width, height=CAMERA.height), np.ones(shape), CAMERA)
    for row in range(CAMERA.height):
        for col in range(CAMERA.width):
            ray = rays[row, col]
            for face, triangle in zip(mesh.faces, corners, strict=True):
                weights = np.linalg.solve(triangle.T, ray)  # ray = sum of weights times corners
                if weights.min() < 0 or 1 / weights.sum() >= depth[row, col]:
                    continue
                depth[row, col] = 1 / weights.sum()
                share = weights / weights.sum()
                shown[0][row, col] = share @ albedo[face]
                normal = share @ normals[face]
                normal = -normal if normal @ ray > 0 else normal
                shown[1][row, col] = normal / np.linalg.norm(normal)
    return Surface(albedo=shown[0], normal=shown[1], depth=depth)


def test_the_mesh_renderer_agrees_with_solving_every_ray_against_every_triangle() -> None:
    at = Placement(rotation=_rotation(2), translation=np.array([0.05, -0.02, 1.6]), scale=1.3)
    fast, slow = mesh_surface(_mesh(), at, CAMERA), _plain_twin(_mesh(), at)
    assert 60 < slow.mask.sum() < slow.mask.size
    assert np.array_equal(fast.mask, slow.mask)
    assert np.allclose(fast.depth[fast.mask], slow.depth[slow.mask], rtol=1e-5)
    assert np.allclose(fast.albedo, slow.albedo, atol=1e-5)
    assert np.allclose(fast.normal, slow.normal, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_seen_points_of_a_solid_lie_on_it_with_its_own_normal_and_colour(seed: int) -> None:
    item = make_object(np.random.default_rng(seed))
    at = Placement(rotation=_rotation(seed), translation=np.array([0.1, 0.05, 3.0]), scale=1.7)
    surface = solid_surface(item.solids, at, CAMERA)
    assert surface.mask.sum() > 40
    pixels = pixel_grid(width=CAMERA.width, height=CAMERA.height)[surface.mask]
    points = unproject(pixels, surface.depth[surface.mask], CAMERA)
    local = (points - at.translation) @ at.rotation / at.scale
    nearest = nearest_surface(item, local)
    assert np.abs(nearest.distance).max() < 1e-3
    assert (
        np.quantile((nearest.normal @ at.rotation.T * surface.normal[surface.mask]).sum(axis=1), 0.2) > 0.99
    )
    shown = lit_by_lamp(surface, EVEN)[surface.mask]
    dark = 0.6 + 0.4 * (0.5 - 0.5 * surface.normal[surface.mask][:, 1:2])
    even = np.abs(shown - (nearest.colour.astype(float) ** 1.6 / 0.85 * dark).clip(0, 1) ** (1 / 1.6))
    assert np.quantile(even.max(axis=1), 0.8) < 0.02  # edges of patterns may fall either way


def test_a_solid_that_reaches_outside_the_picture_is_drawn_as_far_as_it_is_in_it() -> None:
    item = make_object(np.random.default_rng(3))
    at = Placement(rotation=np.eye(3), translation=np.array([-1.0, 0.3, 2.0]), scale=1.5)
    near = solid_surface(item.solids, at, CAMERA)
    # Solids behind the camera make the window the whole picture, and are seen nowhere.
    behind = item.solids.mapped(np.eye(3), np.array([0.0, 0.0, -4.0]))
    whole = solid_surface(concatenate([item.solids, behind]), at, CAMERA)
    assert near.mask[:, 0].any() and np.array_equal(near.depth, whole.depth)


def test_display_colours_and_linear_albedo_undo_one_another() -> None:
    item = make_object(np.random.default_rng(8))
    shown = display_colour(item, np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3)))
    surface = Surface(
        albedo=linear_albedo(shown)[None].astype(np.float32),
        normal=np.tile(np.array([0.0, -1.0, 0.0], np.float32), (1, 50, 1)),
        depth=np.ones((1, 50), np.float32),
    )
    up = lit_by_lamp(surface, EVEN)[0].astype(float)
    assert np.allclose(up**1.6 * 0.85, shown.astype(float) ** 1.6, atol=1e-5)


def _sphere_surface() -> Surface:
    v, u = np.mgrid[-1:1:40j, -1:1:40j]
    inside = u**2 + v**2 < 0.95
    normal = np.stack([u, v, -np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))], axis=-1)
    albedo = 0.3 + 0.3 * np.random.default_rng(1).random((40, 40, 3))
    return Surface(
        albedo=np.where(inside[..., None], albedo, 0).astype(np.float32),
        normal=np.where(inside[..., None], normal, 0).astype(np.float32),
        depth=np.where(inside, 1.0, np.inf).astype(np.float32),
    )


def test_a_lamp_shades_a_face_that_looks_at_it_by_the_formula() -> None:
    surface = Surface(
        albedo=np.full((1, 1, 3), 0.4, np.float32),
        normal=np.array([[[0.0, -1.0, 0.0]]], np.float32),
        depth=np.ones((1, 1), np.float32),
    )
    lamp = Light(
        direction=np.array([0.0, -1.0, 0.0]), ambient=0.5, tint=np.array([1.0, 0.8, 1.2]), shadows=False
    )
    expected = (0.4 * (0.5 * 1.0 + 0.5 * 1.25 * lamp.tint)) ** (1 / 1.6)
    assert np.allclose(lit_by_lamp(surface, lamp)[0, 0], expected, atol=1e-6)


def test_the_light_of_a_photograph_is_found_again_from_the_surface_in_it() -> None:
    surface = _sphere_surface()
    true = np.array([[0.9, 0.8, 0.7], [0.25, 0.1, 0.0], [-0.3, -0.3, -0.2], [-0.2, -0.2, -0.3]])
    photograph = np.rint(255 * lit_by_fit(surface, true)).astype(np.uint8)
    found = fitted_light(surface, photograph, surface.mask)
    assert found is not None
    again = np.rint(255 * lit_by_fit(surface, found)).astype(int)
    assert np.abs(again - photograph)[surface.mask].mean() < 4.0
    flat = np.rint(255 * lit_by_fit(surface, np.vstack([true[:1], np.zeros((3, 3))]))).astype(int)
    assert np.abs(flat - photograph)[surface.mask].mean() > 8.0


def test_too_few_pixels_fit_no_light() -> None:
    surface = _sphere_surface()
    few = np.zeros_like(surface.mask)
    few[20, 20 : 20 + MIN_FITTED - 1] = True
    assert fitted_light(surface, np.zeros((40, 40, 3), np.uint8), few) is None
