"""A field on the canonical cube's voxels to a clean coloured triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from modelzoo.decoders.cleanup import AFTER_EXTRACTION, StepTaken, Surface, calmed, cleaned, simplified
from modelzoo.decoders.colour_volume import ColourVolume

OUTSIDE = (
    -4.0
)  # padding value, in the field's unit; well outside, so that the surface closes at the cube's faces

Floats = NDArray[np.float32]


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
    """The mesh, and as text each step that was not the plain way."""

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
    volume = ColourVolume(voxels=colour_voxels, colours=colours, resolution=field.shape[0])
    steps: list[StepTaken] = []
    if not (field > level).any() or (field > level).all():
        level = float(np.percentile(field, 98.0))
        field = field + np.where(field >= level, 1e-3, 0.0).astype(np.float32)
        steps.append(StepTaken(name="occupancy_threshold_lowered", numbers={"level": level}))
    surface, smoothing = calmed(field, level, _surface)
    if smoothing is not None:
        steps.append(smoothing)
    surface, taken = cleaned(surface, AFTER_EXTRACTION)
    mesh = mesh_from_surface(surface.vertices, surface.faces, volume.at(surface.vertices))
    return DecodedMesh(mesh=mesh, steps=tuple(str(step) for step in (*steps, *taken)))


def mesh_from_surface(vertices: Floats, faces: NDArray[np.int32], colours: Floats) -> ColouredMesh:
    """The mesh with smooth normals. Vertices (V, 3), faces (F, 3) and sRGB colours (V, 3) in [0, 1]."""
    return ColouredMesh(
        vertices=vertices, faces=faces, normals=smooth_normals(vertices, faces), colours=colours
    )


def decimate(mesh: ColouredMesh, *, max_faces: int) -> ColouredMesh:
    """The mesh with at most ``max_faces`` faces; colours come from the nearest vertex of the full one."""
    if len(mesh.faces) <= max_faces:
        return mesh
    fewer = simplified(Surface(vertices=mesh.vertices, faces=mesh.faces), max_faces=max_faces)
    nearest = cKDTree(mesh.vertices).query(fewer.vertices)[1]
    return mesh_from_surface(fewer.vertices, fewer.faces, mesh.colours[nearest])


def smooth_normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    """Unit normals (V, 3), each the mean of its faces' normals by area; z where a vertex has no face with an area."""
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


def _surface(field: Floats, level: float) -> Surface:
    """In the object frame; padding closes the surface at the cube's faces."""
    padded = np.pad(field, 2, constant_values=min(OUTSIDE, level - 1.0))
    vertices, faces, _, _ = marching_cubes(
        padded, level=level, allow_degenerate=False, gradient_direction="ascent"
    )
    centred = (vertices - 2.0 + 0.5) / field.shape[0] - 0.5
    return Surface(vertices=centred.astype(np.float32), faces=faces.astype(np.int32))
