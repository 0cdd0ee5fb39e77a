"""Photographs to compose with: a folder's, what packages ship, cuts, and places that objects were taken from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo.contracts import Intrinsics
from modelzoo.frames import pixel_grid, project
from training.data.photographs import (
    Photograph,
    Photographs,
    PhotographsRefused,
    folder_photographs,
    framed,
    packaged_photographs,
    shrunk,
)
from training.data.scenes import points_from_depth
from training.data.vacated import behind, emptied

CAMERA = {"fx": 90.0, "fy": 92.0, "cx": 60.5, "cy": 39.5, "width": 120, "height": 80, "depth_scale": 1000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case with a millimetre depth map and one mask, a loose picture, a cut-out and a stray mask."""
    rng = np.random.default_rng(0)
    case = tmp_path / "photographs" / "desk"
    case.mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (80, 120, 3)).astype(np.uint8)).save(case / "image.png")
    mask = np.zeros((80, 120), np.uint8)
    mask[30:50, 40:70] = 255
    Image.fromarray(mask).save(case / "mask_00.png")
    depth = np.full((80, 120), 2000, np.uint16)
    depth[30:50, 40:70], depth[:5] = 1500, 0
    Image.fromarray(depth).save(case / "depth.png")
    (case / "camera.json").write_text(json.dumps(CAMERA))
    root = case.parent
    Image.fromarray(rng.integers(0, 256, (50, 70, 3)).astype(np.uint8)).save(root / "wall.jpg")
    Image.fromarray(rng.integers(0, 256, (50, 70, 4)).astype(np.uint8)).save(root / "cutout.png")
    Image.fromarray(mask).save(root / "mask_stray.png")
    return root


def _case(folder: Path) -> Photograph:
    return next(file for file in folder_photographs(folder) if file.name == "desk").read()


def test_a_folder_gives_its_cases_and_whole_pictures_and_passes_over_cutouts(folder: Path) -> None:
    files = {file.name: file for file in folder_photographs(folder)}
    assert set(files) == {"desk", "wall.jpg"}
    assert (files["desk"].num_masks, files["desk"].has_points, files["wall.jpg"].has_points) == (
        1,
        True,
        False,
    )
    desk = files["desk"].read()
    assert desk.points is not None and desk.camera is not None
    assert np.isnan(desk.points[0]).all() and desk.points[40, 50, 2] == pytest.approx(1.5)
    assert desk.masks[0].sum() == 600
    assert Photographs(list(files.values())).targets == Photographs(list(files.values())[::-1]).targets


def test_a_point_map_or_mask_that_does_not_fit_is_refused_by_name(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "desk" / "mask_00.png")
    with pytest.raises(PhotographsRefused, match="mask_00"):
        _case(folder)
    Image.fromarray(np.zeros((80, 120), np.uint8)).save(folder / "desk" / "mask_00.png")
    (folder / "desk" / "depth.png").write_bytes(b"nothing")
    with pytest.raises(PhotographsRefused, match="depth"):
        _case(folder)
    with pytest.raises(PhotographsRefused, match="no folder"):
        folder_photographs(folder / "absent")
    with pytest.raises(PhotographsRefused, match="no photograph"):
        Photographs([])


def test_the_hash_of_photographs_changes_with_any_byte_they_are_read_from(folder: Path) -> None:
    before = Photographs(folder_photographs(folder)).sha256
    assert Photographs(folder_photographs(folder)).sha256 == before
    (folder / "desk" / "camera.json").write_text(json.dumps({**CAMERA, "fx": 91.0}))
    assert Photographs(folder_photographs(folder)).sha256 != before


@pytest.mark.parametrize(("zoom", "side"), [(1.5, 64), (2.2, 20), (50.0, 64)])
def test_points_of_a_cut_still_fall_on_their_own_pixels(folder: Path, zoom: float, side: int) -> None:
    photograph = _case(folder)
    cut = framed(photograph, photograph.masks[0], zoom=zoom, side=side)
    assert cut.points is not None and cut.camera is not None
    height, width = cut.image.shape[:2]
    assert max(height, width) <= side and cut.masks[0].any()
    known = np.isfinite(cut.points).all(axis=-1)
    off = project(cut.points[known], cut.camera) - pixel_grid(width=width, height=height)[known]
    assert np.abs(off).max() <= 0.5 + 1e-6  # nearest points are picked when a picture is shrunk


def test_a_photograph_that_is_small_enough_stays_as_it_is(folder: Path) -> None:
    photograph = _case(folder)
    assert shrunk(photograph, side=120) is photograph


def test_backgrounds_are_square_cuts_that_the_generator_repeats(folder: Path) -> None:
    photographs = Photographs(folder_photographs(folder))
    first = photographs.background(np.random.default_rng(4), size=48)
    assert first.shape == (48, 48, 3)
    assert np.array_equal(first, photographs.background(np.random.default_rng(4), size=48))
    assert not np.array_equal(first, photographs.background(np.random.default_rng(5), size=48))


def test_what_is_behind_an_object_is_guessed_from_around_it() -> None:
    depth = np.repeat(np.linspace(2.0, 4.0, 41)[None], 41, axis=0)  # a wall that goes away to the right
    hole = np.zeros((41, 41), bool)
    hole[14:27, 14:27] = True
    seen = np.where(hole, 1.0, depth)
    seen[0, 0] = np.nan
    guess = behind(seen, hole)
    assert np.isfinite(guess).all() and guess[0, 0] in {guess[0, 1], guess[1, 0]}
    assert np.array_equal(guess[~hole][1:], depth[~hole][1:].astype(np.float32))
    assert np.abs(guess - depth)[hole].max() < 0.25
    with pytest.raises(ValueError, match="no depth"):
        behind(np.full((4, 4), np.nan), np.zeros((4, 4), bool))


def _room(*, known: bool = True) -> Photograph:
    """A box 1 m wide and .5 m high, 2 m away, before a wall at 4 m."""
    camera = Intrinsics(fx=80.0, fy=80.0, cx=50.0, cy=50.0, width=100, height=100)
    mask = np.zeros((100, 100), bool)
    mask[40:60, 30:70] = True
    points = points_from_depth(np.where(mask, 2.0, 4.0).astype(np.float32), camera)
    image = np.where(mask[..., None], np.uint8(250), np.uint8(20)).repeat(3, axis=-1)
    return Photograph(
        name="room",
        image=image,
        points=points if known else None,
        camera=camera if known else None,
        masks=(mask,),
    )


def test_an_emptied_place_knows_the_size_and_centre_of_what_stood_there_and_shows_the_wall() -> None:
    room = _room()
    place = emptied(room, room.masks[0])
    assert not isinstance(place, str)
    assert np.allclose(place.room, [1.0, 0.5, 0.0], atol=0.08) and np.allclose(
        place.centroid, [0, 0, 2], atol=0.05
    )
    assert np.abs(place.image.astype(int) - 20).max() <= 4 and np.allclose(place.depth, 4.0, atol=1e-3)
    assert np.allclose(place.points[..., 2], 4.0, atol=1e-3)


def test_a_nearer_neighbour_is_not_spread_before_the_place_of_the_object() -> None:
    room = _room()
    assert room.points is not None and room.camera is not None
    depth = room.points[..., 2].copy()
    depth[:, 70:] = 1.0  # a pillar beside the box, nearer than it
    near = Photograph(**{**room.__dict__, "points": points_from_depth(depth, room.camera)})
    place = emptied(near, room.masks[0])
    assert not isinstance(place, str) and place.depth[room.masks[0]].min() >= 2.0
    assert behind(depth, room.masks[0])[room.masks[0]].min() < 1.5  # what the rim alone would say


def test_places_that_cannot_be_measured_say_why() -> None:
    room, small = _room(), np.zeros((100, 100), bool)
    small[50, 50:55] = True
    assert emptied(_room(known=False), room.masks[0]) == "without_points"
    assert emptied(room, small) == "small_place"
    assert room.points is not None
    room.points[room.masks[0]] = np.nan
    assert emptied(room, room.masks[0]) == "unmeasured_place"


def test_the_packaged_photographs_give_a_real_scene_with_masks_and_sensor_depth() -> None:
    files = {file.name: file for file in packaged_photographs()}
    assert "coffee" in files
    tote = files["tote"].read()
    assert len(tote.masks) == 8 and tote.points is not None and tote.camera is not None
    inside = tote.points[tote.masks[0], 2]
    assert 0.3 < float(np.nanmedian(inside)) < 1.5
