"""Surfaces as points with the bounding box they came from: occupancy grids and triangle meshes alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.metrics.surface import surface_points

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TriangleMesh:
    """Vertices (V x 3, finite) and faces (F x 3, indices of vertices); its owner states frame and unit.

    Raises ValueError for anything else, and for a mesh without area.
    """

    vertices: Floats
    faces: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or not np.isfinite(self.vertices).all():
            raise ValueError(f"vertices must be V x 3 and finite, not {self.vertices.shape}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or len(self.faces) == 0:
            raise ValueError(f"faces must be F x 3 with at least one face, not {self.faces.shape}")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError("a face names a vertex that is not there")
        if self.areas.sum() <= 0:
            raise ValueError("the mesh has no area")

    @cached_property
    def areas(self) -> Floats:
        """Area of each face (F), in the vertices' unit squared."""
        corners = self.vertices[self.faces]
        crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        areas: Floats = np.linalg.norm(crossed, axis=1) / 2
        return areas


@dataclass(frozen=True, kw_only=True)
class SampledSurface:
    """Points (N x 3) uniform by area on a surface, and the surface's own bounding box (3 and 3), all in one frame."""

    points: Floats
    low: Floats
    high: Floats

    @property
    def middle(self) -> Floats:
        return (self.low + self.high) / 2


def sampled_grid(grid: NDArray[np.bool_], *, count: int, rng: np.random.Generator) -> SampledSurface:
    """The exposed voxel faces of a solid R^3 grid of the cube [-0.5, 0.5]^3; ValueError when it is empty."""
    points = surface_points(grid, count=count, rng=rng)
    spans = [np.flatnonzero(grid.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    size = grid.shape[0]
    return SampledSurface(
        points=points,
        low=np.array([span[0] for span in spans]) / size - 0.5,
        high=np.array([span[-1] + 1 for span in spans]) / size - 0.5,
    )


def sampled_mesh(mesh: TriangleMesh, *, count: int, rng: np.random.Generator) -> SampledSurface:
    """``count`` points on the triangles, uniform by area, in the mesh's frame and unit."""
    areas = mesh.areas
    corners = mesh.vertices[mesh.faces[rng.choice(len(areas), size=count, p=areas / areas.sum())]]
    along, across = rng.random((2, count, 1))
    outside = along + across > 1.0  # the other half of the parallelogram, folded back
    along, across = np.where(outside, 1.0 - along, along), np.where(outside, 1.0 - across, across)
    points = (
        corners[:, 0] + along * (corners[:, 1] - corners[:, 0]) + across * (corners[:, 2] - corners[:, 0])
    )
    used = mesh.vertices[np.unique(mesh.faces)]
    return SampledSurface(points=points, low=used.min(axis=0), high=used.max(axis=0))
