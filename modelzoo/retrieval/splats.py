"""Gaussians spread over a mesh's surface, for viewers of splats and for quick silhouettes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.exports.gaussian_ply import Gaussians

NUM_SPLATS = 12_000
OVERLAP = 0.7  # standard deviation of a disc over the distance between discs
THINNESS = 0.15  # of a disc, over its radius
OPACITY = 0.95

Floats = NDArray[np.float64]


def gaussians_on_surface(mesh: ColouredMesh, *, seed: int, count: int = NUM_SPLATS) -> Gaussians:
    """``count`` flat discs in the object frame, evenly by area, in the surface's own colours."""
    rng = np.random.default_rng(seed)
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(crossed, axis=1)
    # Evenly spaced along the cumulative area: no face larger than its share goes without a disc.
    places = (np.arange(count) + rng.random(count)) / count * doubled.sum()
    face = np.searchsorted(np.cumsum(doubled), places).clip(0, len(doubled) - 1)
    weights = _barycentric(rng.random((count, 2)))
    radius = OVERLAP * np.sqrt(doubled.sum() / 2 / count)
    return Gaussians(
        positions=(weights[..., None] * corners[face]).sum(axis=1).astype(np.float32),
        scales=np.tile(np.array([radius, radius, THINNESS * radius], np.float32), (count, 1)),
        rotations_wxyz=_taking_z_to(crossed[face] / np.maximum(doubled[face], 1e-12)[:, None]),
        opacities=np.full(count, OPACITY, np.float32),
        colours=(weights[..., None] * mesh.colours[mesh.faces[face]]).sum(axis=1).astype(np.float32),
    )


def _barycentric(uniform: Floats) -> Floats:
    """(N, 3) weights, uniform over a triangle, from (N, 2) in the unit square."""
    root = np.sqrt(uniform[:, :1])
    return np.concatenate([1 - root, root * (1 - uniform[:, 1:]), root * uniform[:, 1:]], axis=1)


def _taking_z_to(normals: Floats) -> NDArray[np.float32]:
    """Unit quaternions (N, 4) of the shortest rotations from z to each normal; about x where it is -z."""
    x, y, z = normals.T
    half = np.stack([1 + z, -y, x, np.zeros_like(x)], axis=1)
    half[z < -0.999999] = (0, 1, 0, 0)
    return (half / np.linalg.norm(half, axis=1, keepdims=True)).astype(np.float32)
