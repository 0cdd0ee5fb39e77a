"""Meshes to solid occupancy grids, and quarter turns of grids about Z."""

from __future__ import annotations

import io

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from modelzoo.exports.plain_floats import with_plain_floats
from modelzoo.frames import object_from_glb

Floats = NDArray[np.float64]
FILL = 0.94


def mesh_of_glb(data: bytes) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices (object frame, Z-up) and triangles of a GLB, every node's transform applied; ValueError when empty."""
    try:
        scene = trimesh.load(io.BytesIO(with_plain_floats(data)), file_type="glb", process=False)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"not a GLB that can be read: {error}") from error
    mesh = scene.to_geometry() if isinstance(scene, trimesh.Scene) else scene
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise ValueError("the GLB has no triangles")
    return object_from_glb(mesh.vertices), np.asarray(mesh.faces, dtype=np.int64)


def fit_to_cube(vertices: Floats) -> tuple[Floats, Floats, float]:
    """Vertices in the unit cube, with the centre and size that undo it: v = centre + size * fitted.

    What already lies in the cube stays as it is, because a pose may have been given for it.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if low.min() >= -0.51 and high.max() <= 0.51 and (high - low).max() > 0.5:
        return vertices, np.zeros(3), 1.0
    centre, size = (low + high) / 2, float((high - low).max()) / FILL
    if size <= 0:
        raise ValueError("the mesh has no extent")
    return (vertices - centre) / size, centre, size


def solid_from_mesh(vertices: Floats, faces: NDArray[np.int64], *, resolution: int) -> NDArray[np.bool_]:
    """Voxels (indexed [x, y, z]) that the surface touches, with every closed cavity filled."""
    corners = vertices[faces]
    grid = np.zeros((resolution,) * 3, dtype=np.bool_)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    divisions = np.clip(np.ceil(longest * resolution * 1.5), 1, 4 * resolution).astype(int)
    for count in np.unique(divisions):
        steps = np.arange(count + 1) / count
        u, v = np.meshgrid(steps, steps)
        inside = u + v <= 1.0 + 1e-9
        weights = np.stack([1 - u[inside] - v[inside], u[inside], v[inside]], axis=1)
        chosen = corners[divisions == count]
        for chunk in np.array_split(chosen, max(1, len(chosen) * len(weights) // 2_000_000)):
            cells = np.floor(
                (np.einsum("wc,fcx->fwx", weights, chunk).reshape(-1, 3) + 0.5) * resolution
            ).astype(int)
            kept = cells[((cells >= 0) & (cells < resolution)).all(axis=1)]
            grid[tuple(kept.T)] = True
    if not grid.any():
        raise ValueError("no part of the mesh lies in the unit cube")
    filled: NDArray[np.bool_] = binary_fill_holes(grid)
    return filled


def turned(grid: NDArray[np.bool_], *, quarter_turns: int) -> NDArray[np.bool_]:
    """The grid after turning the object by quarter turns about Z (x towards y)."""
    return np.ascontiguousarray(np.rot90(grid, quarter_turns, axes=(0, 1)))


def turn_matrix(quarter_turns: int) -> Floats:
    """The rotation of those quarter turns, exact."""
    c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns % 4]
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float64)


def turns_to_nearest_face(rotation: Floats, translation: Floats) -> int:
    """Quarter turns of the object after which the camera's azimuth is within 45 degrees of -Y."""
    camera = rotation.T @ -translation
    azimuth = np.degrees(np.arctan2(camera[1], camera[0])) + 90.0
    return int(-np.round(azimuth / 90.0)) % 4
