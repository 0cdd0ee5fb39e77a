"""Marks of answers to gold tasks, with numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.ranking.gold import cube_points, is_right_pick, mask_iou, pose_error, rotation_matrix

ABOUT_Z_90 = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
ABOUT_Z_180 = (0.0, 0.0, 0.0, 1.0)
ABOUT_X_90 = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)
STILL = (1.0, 0.0, 0.0, 0.0)
HERE = (0.0, 0.0, 2.0)
#: Two points a metre apart along x, so that the diameter is 1 at scale 1.
ROD = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]])


def test_overlap_of_two_squares_that_share_a_third() -> None:
    one, other = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    one[0:4, 0:4] = True  # 16
    other[0:4, 2:6] = True  # 16, 8 shared: 8 / 24
    assert mask_iou(one, other) == pytest.approx(1 / 3)
    assert mask_iou(one, one) == 1.0 and mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0.0


@pytest.mark.parametrize(
    ("winner", "best", "avoid", "right"),
    [
        (1, {1, 2}, {4}, True),
        (3, {1, 2}, {4}, False),
        (3, set(), {4}, True),
        (4, set(), {4}, False),
        (None, {1}, set(), False),
        (None, set(), {1, 2, 3, 4}, True),
        (None, set(), {1, 2, 3}, False),
    ],
)
def test_a_pick_is_right_among_the_best_or_away_from_the_wrong(
    winner: int | None, best: set[int], avoid: set[int], right: bool
) -> None:
    assert is_right_pick(winner, best=best, avoid=avoid, shown={1, 2, 3, 4}) is right


def test_the_same_pose_has_no_error() -> None:
    same = (ABOUT_X_90, HERE, 0.5)
    error = pose_error(known=same, given=same, points=cube_points())
    assert error.rotation_deg == pytest.approx(0, abs=1e-5) and error.scale_ratio == 1
    assert error.translation_share == 0 and error.add_s_share == pytest.approx(0, abs=1e-9)


def test_lengths_are_shares_of_the_object() -> None:
    error = pose_error(known=(STILL, HERE, 0.5), given=(STILL, (0.1, 0.0, 2.0), 0.5), points=ROD)
    assert error.translation_share == pytest.approx(0.2)  # 0.1 of 0.5
    # Points at -0.25 and 0.25, moved to -0.15 and 0.35: each known one is 0.1 from its nearest; the diameter is 0.5.
    assert error.add_s_share == pytest.approx(0.2)


def test_add_s_forgives_what_the_shape_cannot_show() -> None:
    error = pose_error(known=(STILL, HERE, 1.0), given=(ABOUT_Z_180, HERE, 1.0), points=ROD)
    assert error.rotation_deg == pytest.approx(180) and error.add_s_share == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("order", "degrees"), [(1, 90), (2, 90), (4, 0), (0, 0)])
def test_rotation_is_modulo_the_symmetry_about_up(order: int, degrees: float) -> None:
    error = pose_error(
        known=(STILL, HERE, 1.0), given=(ABOUT_Z_90, HERE, 1.0), points=cube_points(), symmetry_order=order
    )
    assert error.rotation_deg == pytest.approx(degrees, abs=1e-4)


def test_a_tilt_counts_even_for_what_is_round() -> None:
    error = pose_error(
        known=(STILL, HERE, 1.0), given=(ABOUT_X_90, HERE, 1.0), points=cube_points(), symmetry_order=0
    )
    assert error.rotation_deg == pytest.approx(90)


def test_the_matrix_of_a_quaternion_turns_as_it_says() -> None:
    np.testing.assert_allclose(rotation_matrix(ABOUT_Z_90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix((2, 0, 0, 0)), np.eye(3), atol=1e-12)
