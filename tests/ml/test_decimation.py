"""Decimation beside other decimations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import trimesh

from modelzoo.decoders.mesh import ColouredMesh, decimate


def _ball(stretch: float) -> ColouredMesh:
    shape = trimesh.creation.icosphere(subdivisions=5)
    vertices = (shape.vertices * (1.0, stretch, 1.0)).astype(np.float32)
    return ColouredMesh(
        vertices=vertices,
        faces=shape.faces.astype(np.int32),
        normals=shape.vertex_normals.astype(np.float32),
        colours=np.zeros_like(vertices),
    )


def test_meshes_decimated_at_the_same_time_do_not_mix() -> None:
    """The previews of eight candidates are made in threads; each must be of its own candidate."""
    balls = [_ball(1.0 + 0.1 * number) for number in range(6)]
    alone = [decimate(ball, max_faces=800) for ball in balls]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda ball: decimate(ball, max_faces=800), balls))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
        np.testing.assert_array_equal(one.faces, other.faces)
