"""The rules of render-and-paste, by hand-made masks and depths."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.composition import (
    any_rotation,
    fitted_scale,
    insertion_refusal,
    nearest_wins,
    occluded_share,
    occlusion_refusal,
    outline,
    pasted,
    size_refusal,
    supported_share,
)

SIDE = 100


def _box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def _object(depth: float, *box: int) -> np.ndarray:
    return np.where(_box(*box), depth, np.inf)


def _floor() -> np.ndarray:
    """A wall at 10 down to row 40, then ground that comes from 10 to 4 at the lowest row."""
    rows = np.clip((np.arange(SIDE) - 40) / 59, 0, 1)
    return np.repeat((10 - 6 * rows)[:, None], SIDE, axis=1)


@pytest.mark.parametrize(
    ("columns", "refusal"),
    [(0, "hardly_occluded"), (1, "hardly_occluded"), (2, None), (18, None), (19, "hidden")],
)
def test_an_occluded_target_keeps_between_a_tenth_and_nine_tenths_of_itself(
    columns: int, refusal: str | None
) -> None:
    silhouette = _box(20, 60, 30, 50)
    visible = silhouette & ~_box(0, 100, 30, 30 + columns)
    assert occlusion_refusal(silhouette, visible) == refusal


def test_a_target_smaller_than_a_five_hundredth_of_the_picture_is_refused() -> None:
    assert size_refusal(_box(0, 4, 0, 5)) is None  # 20 of 10,000 pixels
    assert size_refusal(_box(0, 19, 0, 1)) == "small"
    assert occlusion_refusal(_box(0, 6, 0, 6), _box(0, 6, 0, 3)) == "small"


def test_the_nearer_of_object_and_scene_is_seen_and_the_unknown_hides_nothing() -> None:
    scene = np.array([[1.0, 3.0, np.nan, 3.0]])
    assert nearest_wins(np.array([[2.0, 2.0, 2.0, np.inf]]), scene).tolist() == [[False, True, True, False]]


def test_an_object_on_the_ground_is_kept_and_one_that_floats_before_the_wall_is_refused() -> None:
    floor = _floor()
    stands = _object(float(floor[80, 0]), 50, 81, 40, 60)
    assert supported_share(stands, floor) == 1.0
    assert insertion_refusal(stands, floor) is None
    floats = _object(8.0, 5, 30, 40, 60)  # the wall below it is farther
    assert supported_share(floats, floor) == 0.0 and occluded_share(floats, floor) == 0.0
    assert insertion_refusal(floats, floor) == "floating"
    hovers = _object(float(floor[80, 0]) - 2.0, 50, 81, 40, 60)  # nearer than the ground under it
    assert insertion_refusal(hovers, floor) == "floating"


def test_an_object_behind_something_needs_no_ground() -> None:
    scene = np.full((SIDE, SIDE), 9.0)
    scene[:, :45] = 2.0  # a pillar before its left quarter
    behind = _object(5.0, 20, 60, 40, 60)
    assert 0.1 <= occluded_share(behind, scene) < 0.5
    assert insertion_refusal(behind, scene) is None


def test_an_object_of_which_less_than_a_fifth_is_seen_is_refused() -> None:
    scene = np.full((SIDE, SIDE), 2.0)
    scene[:, 57:] = 9.0
    assert insertion_refusal(_object(5.0, 20, 60, 40, 60), scene) == "hidden"
    scene[:, 55:] = 9.0
    assert insertion_refusal(_object(5.0, 20, 60, 40, 60), scene) is None


def test_an_object_cut_by_the_lower_border_is_not_held_up_by_it() -> None:
    assert supported_share(_object(3.0, 60, SIDE, 40, 60), np.full((SIDE, SIDE), 9.0)) == 0.0


def test_the_outline_of_a_square_is_its_border() -> None:
    assert outline(_box(10, 20, 10, 20)).sum() == 36
    assert outline(_box(0, 10, 0, 10)).sum() == 36


def test_pasting_leaves_the_photograph_away_from_the_object_and_shows_the_object_inside() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    visible, colours = _box(40, 60, 30, 70), np.full((SIDE, SIDE, 3), 0.5)
    result = pasted(photograph, colours, visible)
    assert np.array_equal(result[~_box(38, 62, 28, 72)], photograph[~_box(38, 62, 28, 72)])
    assert np.abs(result[_box(42, 58, 32, 68)].astype(int) - 127).max() <= 1
    edge = result[40, 40].astype(int)  # between what was there and what came
    assert (np.abs(edge - 127) <= np.abs(photograph[40, 40].astype(int) - 127) + 1).all()
    assert np.array_equal(pasted(photograph, colours, np.zeros((SIDE, SIDE), bool)), photograph)


def test_rotations_are_proper_lean_no_further_than_asked_and_turn_all_ways() -> None:
    rng = np.random.default_rng(0)
    turns = np.stack([any_rotation(rng, max_tilt_deg=30) for _ in range(300)])
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(turns), 1)
    lean = np.rad2deg(np.arccos(-turns[:, 1, 2]))  # camera y points down, the object's z up
    assert lean.max() <= 30 + 1e-9 and lean.max() > 25
    anyhow = np.stack([any_rotation(rng, max_tilt_deg=180) for _ in range(2000)])
    assert np.abs(anyhow.mean(axis=0)).max() < 0.06  # uniform rotations have mean zero in every entry
    assert np.allclose((anyhow**2).mean(axis=0), 1 / 3, atol=0.03)


def test_the_scale_fills_the_room_across_and_down_and_never_overflows() -> None:
    assert fitted_scale(np.array([2.0, 1.0, 0.1]), np.array([0.5, 0.5, 0.9])) == pytest.approx(2.0)
    assert fitted_scale(np.array([1.0, 4.0, 9.0]), np.array([0.5, 0.5, 0.9])) == pytest.approx(2.0)
