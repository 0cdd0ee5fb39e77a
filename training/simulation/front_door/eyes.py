"""What a candidate is truly worth: its surface and its colours beside the hidden truth. People see it with noise."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from modelzoo import frames
from modelzoo.exports.plain_floats import with_plain_floats
from modelzoo.mesh_surfaces import Surface, joined_surface, scene_parts
from training.metrics.sampling import TriangleMesh, sampled_mesh
from training.metrics.surface import f_score_to
from training.simulation.front_door.hidden import SURFACE_POINTS, HiddenTruth

NEAR = 0.05  # of the unit cube: what looks right at a glance
COLOUR_RANGE = 0.5  # a mean difference that is as wrong as can be
MOST_FACES = 120_000


def shape_worth(glb: bytes, truth: HiddenTruth) -> float:
    """F-score at 0.05 of a GLB file's surface, in [0, 1]; 0 for a file without one."""
    surface = _surface(glb)
    if surface is None:
        return 0.0
    mesh = TriangleMesh(vertices=surface.vertices, faces=surface.faces)
    points = sampled_mesh(mesh, count=SURFACE_POINTS, rng=np.random.default_rng(0)).points
    return f_score_to(truth.surface_tree, points, threshold=NEAR)


def texture_worth(glb: bytes, truth: HiddenTruth) -> float:
    """How near the colours of the side that the photograph shows are to the photograph's, in [0, 1]."""
    surface = _surface(glb)
    seen, colours = truth.seen
    if surface is None or len(seen) == 0:
        return 0.0
    nearest = cKDTree(surface.vertices).query(seen)[1]
    difference = float(np.abs(surface.colours[nearest] - colours).mean())
    return max(0.0, 1.0 - difference / COLOUR_RANGE)


def _surface(glb: bytes) -> Surface | None:
    parts = scene_parts(trimesh.load_scene(BytesIO(with_plain_floats(glb)), file_type="glb", process=False))
    if not parts:
        return None
    joined = joined_surface(parts, linear=True, most_textured_faces=MOST_FACES)
    vertices = np.asarray(frames.object_from_glb(joined.vertices), dtype=np.float64)
    return Surface(vertices=vertices, faces=joined.faces, colours=joined.colours)
