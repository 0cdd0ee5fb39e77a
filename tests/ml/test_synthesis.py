"""Procedural objects, scenes and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from modelzoo.conditioning import Normaliser, decode_layout
from training.configs import STAGES
from training.data.draft import Family
from training.data.families import FAMILIES
from training.data.foreign_families import FOREIGN_FAMILIES
from training.data.objects import World, make_object, object_field, object_occupancy
from training.data.samples import Mixture, make_example
from training.data.scenes import make_scene, points_from_depth, render_scene


def test_the_same_numbers_make_the_same_example_and_others_another() -> None:
    first = make_example(stream=3, index=5, mixture=Mixture(), resolution=32)
    again = make_example(stream=3, index=5, mixture=Mixture(), resolution=32)
    other = make_example(stream=3, index=6, mixture=Mixture(), resolution=32)
    for name in ("crop_rgb", "crop_points", "full_rgb", "layout", "occupancy"):
        assert np.array_equal(getattr(first, name), getattr(again, name), equal_nan=name == "crop_points")
    assert not np.array_equal(first.crop_rgb, other.crop_rgb)


@pytest.mark.parametrize(
    ("world", "families"),
    [("rendered", FAMILIES), ("shifted", FAMILIES), ("foreign", FOREIGN_FAMILIES)],
)
def test_every_family_of_a_world_fills_its_cube_and_stays_inside(
    world: World, families: Mapping[str, Family]
) -> None:
    seen = set()
    for index in range(150):
        item = make_object(np.random.default_rng(index), world=world)
        seen.add(item.family)
        low, high = item.solids.bounds()
        assert np.allclose(low + high, 0.0, atol=1e-9)
        assert (high - low).max() == pytest.approx(0.94)
        assert len(item.solids) <= 16
        assert object_occupancy(item, resolution=32).any()
    assert seen == set(families)


def test_the_foreign_world_shares_no_family_with_what_is_rendered_and_no_run_may_train_on_it() -> None:
    assert not set(FOREIGN_FAMILIES) & set(FAMILIES)
    with pytest.raises(ValueError, match="never trained on"):
        replace(STAGES["midtrain"], mixture=Mixture(foreign=0.1))


def test_the_signed_distance_has_the_sign_of_the_occupancy() -> None:
    centres = (np.argwhere(np.ones((32, 32, 32))) + 0.5) / 32 - 0.5
    for index in range(8):
        item = make_object(np.random.default_rng(index), world="shifted" if index % 2 else "rendered")
        distance, colour = object_field(item, centres)
        assert np.array_equal((distance <= 0).reshape(32, 32, 32), object_occupancy(item, resolution=32))
        assert colour.min() >= 0.0 and colour.max() <= 1.0


@pytest.mark.parametrize("kind", ["isolated", "composited", "shifted", "foreign"])
def test_visible_points_lie_on_the_posed_object_and_its_nearest_face_is_in_front(kind: str) -> None:
    checked = 0
    for index in range(12):
        rng = np.random.default_rng([77, index])
        scene = make_scene(rng, kind)  # type: ignore[arg-type]
        camera = scene.intrinsics(64)
        seen = render_scene(scene, rng, intrinsics=camera)
        if seen.mask.sum() < 30:
            continue
        checked += 1
        points = points_from_depth(seen.depth, camera)[seen.mask]
        local = (points - scene.translation) @ scene.rotation / scene.scale
        distance, _ = object_field(scene.target, local)
        assert np.abs(distance).max() < 1e-3
        viewer = scene.rotation.T @ -scene.translation
        assert abs(np.degrees(np.arctan2(viewer[0], -viewer[1]))) <= 45.0 + 1e-6
    assert checked >= 6


def test_an_example_decodes_to_a_pose_that_explains_its_points() -> None:
    example = make_example(stream=4, index=1, mixture=Mixture(spoilt_points=0.0), resolution=64)
    rotation, translation, scale = decode_layout(example.layout, Normaliser(shift=np.zeros(3), scale=1.0))
    points = example.crop_points[example.crop_mask]
    local = (points[np.isfinite(points).all(axis=1)] - translation) @ rotation / scale
    assert np.abs(local).max() < 0.53


def test_training_and_held_out_streams_share_no_example() -> None:
    held_out = make_example(stream=900_001, index=0, mixture=Mixture(), resolution=32)
    trained = make_example(stream=7, index=0, mixture=Mixture(), resolution=32)
    assert not np.array_equal(held_out.occupancy, trained.occupancy)
