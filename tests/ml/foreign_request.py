"""What the ports' tests ask a stand-in of a foreign package for, and how they read what came back."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import trimesh

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Intrinsics
from modelzoo.ports.external import ForeignEnvironment

DOUBLES = Path(__file__).parent / "foreign_doubles"
PYTHON = Path(sys.executable)
HEIGHT, WIDTH = 48, 64
CAMERA = Intrinsics(fx=70, fy=70, cx=32, cy=24, width=WIDTH, height=HEIGHT)
CENTRE, SIZE = np.array([0.3, -0.1, 0.2]), np.array([1.0, 0.5, 0.25])  # of the stand-ins' box, Z-up


def photographed() -> CandidateRequest:
    """A photograph with an object in its middle and a wall behind, known in metres two metres away."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[14:34, 20:44] = True
    depth = np.where(mask, 2.0, 3.0)
    points = frames.unproject(frames.pixel_grid(width=WIDTH, height=HEIGHT), depth, CAMERA)
    return CandidateRequest(
        image=np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        mask=mask,
        seeds=(7, 8),
        points=points.astype(np.float32),
        unit="m",
    )


def environment(double: str, **options: object) -> ForeignEnvironment:
    return ForeignEnvironment(
        interpreter=PYTHON,
        paths=(DOUBLES / "torch", DOUBLES / double),
        options=options,
        start_limit_s=60,
        limit_s=60,
    )


def vertices_of(candidate: GeneratedCandidate) -> np.ndarray:
    mesh = trimesh.load_scene(BytesIO(candidate.mesh_glb), file_type="glb", process=False).to_mesh()
    return np.asarray(frames.object_from_glb(mesh.vertices))


def extent_of(candidate: GeneratedCandidate) -> np.ndarray:
    vertices = vertices_of(candidate)
    np.testing.assert_allclose(vertices.max(axis=0) + vertices.min(axis=0), 0, atol=1e-3)
    return vertices.max(axis=0) - vertices.min(axis=0)


def box_corners() -> np.ndarray:
    unit = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    return CENTRE + (unit - 0.5) * SIZE
