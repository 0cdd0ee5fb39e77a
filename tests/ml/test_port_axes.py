"""The released weights' axes: numbers worked out by hand, round trips, and what their statistics say about up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelzoo import frames
from modelzoo.ports import axes

LOG2 = np.log(2.0)


def layout(rotation: np.ndarray, translation=(0.0, 0.0, 1.0), scale=1.0) -> np.ndarray:
    six = [*rotation[:, 0], *rotation[:, 1]]
    return np.array([*six, *translation, *[np.log(scale)] * 3, 0.25])


def test_their_identity_is_our_half_turn_about_z():
    theirs = layout(np.eye(3), translation=(1.0, 2.0, 3.0), scale=2.0)
    ours = axes.layout_from_released(theirs)
    expected = [-1, 0, 0, 0, -1, 0, -1, -2, 3, LOG2, LOG2, LOG2, 0.25]
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_a_quarter_turn_of_rows_is_the_opposite_turn_of_columns():
    # x_row @ R with R = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]] takes x to y; as columns that is R^T, then C turns it.
    theirs = layout(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    ours = axes.rotation_from_6d(axes.layout_from_released(theirs)[:6])
    np.testing.assert_allclose(ours @ [1.0, 0, 0], [0.0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(ours @ [0.0, 0, 1], [0.0, 0, 1], atol=1e-12)


def test_unequal_scales_become_their_mean():
    theirs = layout(np.eye(3))
    theirs[axes.LOG_SCALE] = np.log([1.0, 2.0, 3.0])
    np.testing.assert_allclose(axes.layout_from_released(theirs)[axes.LOG_SCALE], [LOG2] * 3)


def test_objects_of_the_released_statistics_stand_upright():
    mean = axes.layout_from_released(np.array(axes.RELEASED_LAYOUT_MEAN) + layout(np.zeros((3, 3))))
    up = axes.rotation_from_6d(mean[:6]) @ [0.0, 0, 1]
    assert up[1] < -0.99  # the camera's y points down


@settings(max_examples=60, deadline=None)
@given(
    quaternion=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1),
    translation=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    scale=st.floats(0.05, 20),
    point=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3),
)
def test_a_point_lands_where_their_own_formula_puts_it(quaternion, translation, scale, point):
    theirs = frames.rotation_from_wxyz(quaternion)
    by_rows = (scale * np.array(point)) @ theirs + translation
    expected = axes.points_from_pytorch3d(by_rows)
    pose = axes.pose_from_released(
        rotation_wxyz=[quaternion], translation=[translation], scale=[[scale] * 3], unit="m"
    )
    np.testing.assert_allclose(frames.camera_from_object(pose, point), expected, atol=1e-9)
    raw = axes.layout_from_released(layout(theirs, translation=translation, scale=scale))
    rotation = axes.rotation_from_6d(raw[:6])
    placed = rotation @ (np.exp(raw[9]) * np.array(point)) + raw[axes.TRANSLATION]
    np.testing.assert_allclose(placed, expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    six=st.lists(st.floats(-2, 2), min_size=6, max_size=6).filter(
        lambda v: np.linalg.norm(np.cross(v[:3], v[3:])) > 0.05
    ),
    rest=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    log_scale=st.floats(-2, 2),
)
def test_layouts_come_back_from_there(six, rest, log_scale):
    rotation = axes.rotation_from_6d(six)
    ours = layout(rotation, translation=rest, scale=float(np.exp(log_scale)))
    there = axes.released_from_layout(ours)
    np.testing.assert_allclose(axes.layout_from_released(there), ours, atol=1e-9)


def test_a_batch_is_converted_row_by_row():
    rows = np.stack([layout(np.eye(3)), layout(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]))])
    both = axes.layout_from_released(rows)
    np.testing.assert_array_equal(both[1], axes.layout_from_released(rows[1]))
    assert both.shape == (2, 13)


def test_points_keep_their_unknowns_and_come_back():
    points = np.array([[[1.0, 2, 3], [np.nan, np.nan, np.nan]]])
    there = axes.pytorch3d_from_points(points)
    np.testing.assert_array_equal(there[0, 0], [-1, -2, 3])
    np.testing.assert_array_equal(axes.points_from_pytorch3d(there), points)


@pytest.mark.parametrize("wrong", [np.zeros(12), np.zeros(13), np.full(13, np.nan)])
def test_what_is_no_layout_is_refused(wrong):
    with pytest.raises(ValueError):
        axes.layout_from_released(wrong)
