"""Our own GLB files read back: vertices in the object frame, and the solid voxels they enclose."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from modelzoo import frames


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Vertices (V, 3) in the object frame (Z-up), faces (F, 3)."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


def shape_from_glb(data: bytes) -> Shape:
    """All parts of the file's scene as one shape."""
    mesh = trimesh.load_scene(BytesIO(data), file_type="glb", process=False).to_mesh()
    return Shape(
        vertices=np.asarray(frames.object_from_glb(mesh.vertices), dtype=np.float64),
        faces=np.asarray(mesh.faces, dtype=np.int64),
    )


def occupancy(shape: Shape, *, resolution: int) -> NDArray[np.bool_]:
    """Solid voxels of the unit cube, index [x, y, z], centres at (i + 0.5) / resolution - 0.5.

    A surface with holes encloses nothing, and then only its own voxels are solid.
    """
    longest = 0.5 / resolution
    vertices, faces = trimesh.remesh.subdivide_to_size(
        shape.vertices, shape.faces, max_edge=longest, max_iter=12
    )
    centres = vertices[faces].mean(axis=1)
    touched = np.concatenate([vertices, centres])
    index = np.clip(np.floor((touched + 0.5) * resolution).astype(int), 0, resolution - 1)
    surface = np.zeros((resolution,) * 3, dtype=bool)
    surface[tuple(index.T)] = True
    return np.asarray(binary_fill_holes(surface))
