"""A field on the canonical cube's voxels to a clean coloured triangle mesh."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import fast_simplification
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

FLOATER_FRACTION = 0.01  # pieces with fewer than this share of the faces are dropped
MAX_FACES = 40_000  # of a full mesh; eight of them stay below 8 MB
WILD_FACES = 150_000  # a surface with more is noise, and is smoothed before anything else
OUTSIDE = (
    -4.0
)  # padding value, in the field's unit; well outside, so that the surface closes at the cube's faces

Floats = NDArray[np.float32]

_SIMPLIFIER = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class ColouredMesh:
    """Triangles in the object frame (Z-up), counter-clockwise from outside; colours are sRGB in [0, 1]."""

    vertices: Floats  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3)
    normals: Floats  # (V, 3), unit
    colours: Floats  # (V, 3)

    def __post_init__(self) -> None:
        if self.vertices.shape != self.normals.shape or self.vertices.shape != self.colours.shape:
            raise ValueError("vertices, normals and colours must be (V, 3) each")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not len(self.faces):
            raise ValueError(f"faces must be (F, 3) with F > 0, not {self.faces.shape}")


@dataclass(frozen=True, kw_only=True)
class DecodedMesh:
    """The mesh and the name of each step that was not the plain way."""

    mesh: ColouredMesh
    steps: tuple[str, ...]


def mesh_from_field(
    field: Floats, *, colour_voxels: NDArray[np.int64], colours: Floats, level: float = 0.0
) -> DecodedMesh:
    """The surface ``field == level`` of a (R, R, R) field that is positive inside, with colours from nearby voxels.

    ``colour_voxels`` (N, 3) are voxel indices and ``colours`` (N, 3) their sRGB in [0, 1]. A field without any
    surface is cut at its own 98th percentile instead, and the step says so.
    """
    assert field.ndim == 3 and field.shape[0] == field.shape[1] == field.shape[2], field.shape
    assert len(colour_voxels) == len(colours) > 0, (len(colour_voxels), len(colours))
    resolution, steps = field.shape[0], []
    if not (field > level).any() or (field > level).all():
        level = float(np.percentile(field, 98.0))
        field = field + np.where(field >= level, 1e-3, 0.0).astype(np.float32)
        steps.append("occupancy_threshold_lowered")
    grid, faces = _surface(field, level)
    for blur in (1.5, 3.0, 6.0):
        if len(faces) <= WILD_FACES:
            break
        field = gaussian_filter(field, blur)
        grid, faces = _surface(field, min(level, float(np.percentile(field, 95.0))))
        steps.append("noisy_surface_smoothed")
    faces, dropped = _without_floaters(faces, num_vertices=len(grid))
    if dropped:
        steps.append("floaters_dropped")
    used, renamed = np.unique(faces, return_inverse=True)
    grid, faces = grid[used], renamed.reshape(-1, 3).astype(np.int32)
    mesh = ColouredMesh(
        vertices=(grid + 0.5) / resolution - 0.5,
        faces=faces,
        normals=_smooth_normals(grid, faces),
        colours=_colours_at(grid, colour_voxels=colour_voxels, colours=colours, resolution=resolution),
    )
    if len(faces) > MAX_FACES:
        mesh = decimate(mesh, max_faces=MAX_FACES)
        steps.append("mesh_decimated")
    return DecodedMesh(mesh=mesh, steps=tuple(dict.fromkeys(steps)))


def decimate(mesh: ColouredMesh, *, max_faces: int) -> ColouredMesh:
    """The mesh with at most ``max_faces`` faces; colours and normals come from the nearest vertex of the full one."""
    if len(mesh.faces) <= max_faces:
        return mesh
    # The simplifier keeps its mesh in globals and lets go of the interpreter lock: two at once would mix their shapes.
    with _SIMPLIFIER:
        vertices, faces = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=max_faces)
        if len(faces) > max_faces or not len(faces):
            vertices, faces = fast_simplification.simplify(
                mesh.vertices, mesh.faces, target_count=max_faces, agg=10
            )
    nearest = cKDTree(mesh.vertices).query(vertices)[1]
    vertices, faces = vertices.astype(np.float32), faces.astype(np.int32)
    return ColouredMesh(
        vertices=vertices,
        faces=faces,
        normals=_smooth_normals(vertices, faces),
        colours=mesh.colours[nearest],
    )


def _surface(field: Floats, level: float) -> tuple[Floats, NDArray[np.int32]]:
    """Vertices in voxel indices and faces; padding closes the surface at the cube's faces."""
    padded = np.pad(field, 2, constant_values=min(OUTSIDE, level - 1.0))
    vertices, faces, _, _ = marching_cubes(
        padded, level=level, allow_degenerate=False, gradient_direction="ascent"
    )
    return vertices.astype(np.float32) - 2.0, faces.astype(np.int32)


def _without_floaters(faces: NDArray[np.int32], *, num_vertices: int) -> tuple[NDArray[np.int32], int]:
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_matrix(
        (np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(num_vertices, num_vertices)
    )
    _, label = connected_components(graph, directed=False)
    piece = label[faces[:, 0]]
    sizes = np.bincount(piece, minlength=int(piece.max()) + 1)
    small = sizes < max(FLOATER_FRACTION * len(faces), 4)
    small[int(sizes.argmax())] = False
    return faces[~small[piece]], int((small & (sizes > 0)).sum())


def _smooth_normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    weighted = np.cross(b - a, c - a)  # twice the area times the normal: large faces count more
    normals = np.stack(
        [
            np.bincount(faces.ravel(), weights=np.repeat(weighted[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=-1,
    )
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    return normals.astype(np.float32)


def _colours_at(
    grid: Floats, *, colour_voxels: NDArray[np.int64], colours: Floats, resolution: int
) -> Floats:
    """Trilinear colours of the known voxels around each vertex, the nearest known voxel where there are none."""
    volume = np.zeros((4, resolution, resolution, resolution), dtype=np.float32)
    x, y, z = colour_voxels.T
    volume[:3, x, y, z] = colours.T
    volume[3, x, y, z] = 1.0
    sampled = np.stack([map_coordinates(channel, grid.T, order=1, mode="nearest") for channel in volume])
    weight = sampled[3]
    result = (sampled[:3] / np.maximum(weight, 1e-3)).T
    missing = weight < 0.05
    if missing.any():
        result[missing] = colours[cKDTree(colour_voxels).query(grid[missing])[1]]
    return np.asarray(np.clip(result, 0.0, 1.0), dtype=np.float32)
