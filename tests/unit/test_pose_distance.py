"""Distances of poses, with symmetries taken as equal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.ranking.pose_distance import (
    UPRIGHT,
    Placed,
    Symmetry,
    box_displacement,
    medoid,
    pairwise,
    rotation_distance,
    symmetric_add,
)

HALF_TURN = (0.0, 0.0, 0.0, 1.0)


def placed(axis: str = "z", degrees: float = 0.0, *, x: float = 0.0, scale: float = 1.0) -> Placed:
    turn = Rotation.from_euler(axis, degrees, degrees=True).as_quat(scalar_first=True)
    return Placed(rotation_wxyz=(turn[0], turn[1], turn[2], turn[3]), translation=(x, 0.0, 2.0), scale=scale)


def test_an_angle_is_measured_whatever_the_axis_and_the_sign_of_the_quaternion() -> None:
    for axis in "xyz":
        assert rotation_distance(placed(), placed(axis, 40)) == pytest.approx(math.radians(40))
    negated = Placed(rotation_wxyz=(-1.0, 0.0, 0.0, 0.0), translation=(0, 0, 2), scale=1.0)
    assert rotation_distance(placed(), negated) == pytest.approx(0, abs=1e-6)


def test_a_declared_half_turn_counts_as_no_turn() -> None:
    table = Symmetry(turns_wxyz=(HALF_TURN,))
    assert rotation_distance(placed(), placed("z", 180)) == pytest.approx(math.pi)
    assert rotation_distance(placed(), placed("z", 180), symmetry=table) == pytest.approx(0, abs=1e-6)
    assert rotation_distance(placed(), placed("z", 170), symmetry=table) == pytest.approx(math.radians(10))


def test_a_vase_may_be_turned_about_its_axis_but_not_tilted() -> None:
    assert rotation_distance(placed(), placed("z", 77), symmetry=UPRIGHT) == pytest.approx(0, abs=1e-6)
    assert rotation_distance(placed(), placed("x", 25), symmetry=UPRIGHT) == pytest.approx(math.radians(25))
    rod = Symmetry(axis=(0, 0, 1), turns_wxyz=((0.0, 1.0, 0.0, 0.0),))  # and turned end for end
    assert rotation_distance(placed(), placed("x", 180), symmetry=rod) == pytest.approx(0, abs=1e-6)


def test_symmetric_add_does_not_see_what_the_shape_does_not_show() -> None:
    ring = np.array([[math.cos(a), math.sin(a), 0] for a in np.linspace(0, 2 * math.pi, 72, endpoint=False)])
    assert symmetric_add(placed(), placed("z", 45), points=ring) == pytest.approx(0, abs=1e-6)
    # A move by half a diameter, where the nearest point is nearer than the corresponding one.
    moved = symmetric_add(placed(), placed(x=1.0), points=ring)
    assert 0.1 < moved < 0.5
    far = symmetric_add(placed(), placed(x=100.0), points=ring)
    assert far == pytest.approx(50, rel=0.01)
    assert symmetric_add(placed(scale=2), placed(scale=2, x=2.0), points=ring) == pytest.approx(moved)


def test_the_boxes_corners_move_by_hand() -> None:
    assert box_displacement(placed(), placed()) == 0
    assert box_displacement(placed(), placed(x=math.sqrt(3))) == pytest.approx(1)
    # Half the size about one centre: each corner moves by a quarter of the first diameter.
    assert box_displacement(placed(), placed(scale=0.5)) == pytest.approx(
        (math.sqrt(3) / 4) / (0.75 * math.sqrt(3))
    )


def test_the_centre_of_poses_is_one_of_them_and_no_outlier_moves_it() -> None:
    poses = [placed(x=x) for x in (0.0, 0.1, 0.12, 0.2, 50.0)]
    assert medoid(pairwise(poses)) == 2
    with pytest.raises(ValueError, match="square"):
        medoid(np.zeros((2, 3)))
