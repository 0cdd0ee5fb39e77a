"""A shape in numbers: alike for shapes alike, whatever their size, triangles and heading."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from training.metrics.descriptor import NUM_VALUES, describe


def of(mesh: trimesh.Trimesh) -> np.ndarray:
    return describe(np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.faces))


BALL = trimesh.creation.icosphere(subdivisions=3)
BOX = trimesh.creation.box(extents=(1.0, 0.4, 0.2))
ROD = trimesh.creation.cylinder(radius=0.05, height=1.0)


def test_the_same_shape_gives_the_same_numbers_at_any_place_and_size() -> None:
    moved = BALL.copy()
    moved.apply_scale(0.3)
    moved.apply_translation((1, 2, 3))
    assert of(BALL).shape == (NUM_VALUES,)
    assert np.array_equal(of(BALL), of(BALL))
    assert np.allclose(of(moved), of(BALL), atol=1e-9)


def test_other_triangles_and_a_quarter_turn_change_little_and_another_shape_much() -> None:
    finer = trimesh.creation.icosphere(subdivisions=4)
    turned = BOX.copy()
    turned.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (0, 0, 1)))
    near = max(np.linalg.norm(of(finer) - of(BALL)), np.linalg.norm(of(turned) - of(BOX)))
    far = min(np.linalg.norm(of(one) - of(other)) for one, other in ((BALL, BOX), (BOX, ROD), (BALL, ROD)))
    assert near < 0.05 and far > 4 * near, (near, far)


def test_what_has_no_surface_is_refused() -> None:
    with pytest.raises(ValueError, match="faces"):
        describe(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64))
    with pytest.raises(ValueError, match="extent"):
        describe(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match="finite"):
        describe(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
