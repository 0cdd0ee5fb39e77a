"""Assisted masks keep to what the person drew; point clouds keep to what was seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.pictures import COLUMNS, DISC, HEIGHT, ROWS, WIDTH
from workers.grabcut import Guidance, refine
from workers.point_cloud import PointCloud, cloud_from_point_map, decoded, encoded


def picture() -> np.ndarray:
    noise = np.random.default_rng(1).integers(-15, 15, (HEIGHT, WIDTH, 1))
    return (np.where(DISC[..., None], [200, 40, 40], [40, 150, 60]) + noise).clip(0, 255).astype(np.uint8)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def wall_with_a_step() -> np.ndarray:
    """Left half one metre away, right half two, one column of flying pixels between them."""
    z = np.where(COLUMNS < WIDTH // 2, 1.0, 2.0)
    z[:, WIDTH // 2] = 1.5
    return np.stack([(COLUMNS - WIDTH / 2) / 150 * z, (ROWS - HEIGHT / 2) / 150 * z, z], axis=-1).astype(
        np.float32
    )


def test_a_box_finds_the_object_in_it() -> None:
    assert overlap(refine(picture(), Guidance(box=(50, 20, 130, 100))), DISC) > 0.9


def test_a_rough_mask_is_drawn_to_the_outline() -> None:
    rough = (COLUMNS - 94) ** 2 + (ROWS - 63) ** 2 < 40**2
    assert overlap(refine(picture(), Guidance(mask=rough)), DISC) > overlap(rough, DISC) + 0.05


def test_strokes_are_kept_to_the_pixel() -> None:
    kept, left_out = np.zeros_like(DISC), np.zeros_like(DISC)
    kept[5:8, 60:70], left_out[58:62, 85:95] = True, True
    mask = refine(picture(), Guidance(box=(40, 0, 140, 110), foreground=kept, background=left_out))
    assert mask[kept].all() and not mask[left_out].any()


def test_nothing_outside_the_box_is_taken() -> None:
    mask = refine(picture(), Guidance(box=(90, 20, 130, 100)))
    assert not mask[:, :89].any() and mask.any()


def test_the_same_request_gives_the_same_mask() -> None:
    guidance = Guidance(box=(50, 20, 130, 100))
    np.testing.assert_array_equal(refine(picture(), guidance), refine(picture(), guidance))


def test_a_box_beside_the_picture_finds_nothing() -> None:
    assert not refine(picture(), Guidance(box=(500, 500, 600, 600))).any()


def test_a_refinement_without_guidance_is_refused() -> None:
    with pytest.raises(ValueError, match="needs"):
        Guidance()


def test_a_cloud_comes_back_from_its_file_to_half_a_step() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(500, 3)).astype(np.float32)
    colours = rng.integers(0, 256, (500, 3)).astype(np.uint8)
    found = decoded(encoded(PointCloud(points=points, colours=colours, approximate=True)))
    step = np.ptp(points, axis=0) / 65535
    assert (np.abs(found.points - points) <= step * 0.51 + 1e-6).all()
    np.testing.assert_array_equal(found.colours, colours)
    assert found.approximate


def test_a_damaged_cloud_file_is_refused() -> None:
    data = encoded(
        PointCloud(points=np.zeros((3, 3), np.float32), colours=np.zeros((3, 3), np.uint8), approximate=False)
    )
    for damaged in (data[:-1], b"XXXX" + data[4:], b""):
        with pytest.raises(ValueError, match="c8pc"):
            decoded(damaged)


def test_flying_pixels_and_unknown_points_are_left_out() -> None:
    points = wall_with_a_step()
    points[:10] = np.nan
    cloud = cloud_from_point_map(points, picture(), approximate=False)
    assert np.isfinite(cloud.points).all()
    assert set(np.unique(cloud.points[:, 2].round(2))) == {1.0, 2.0}


def test_a_large_map_is_thinned_and_keeps_its_extent() -> None:
    points = wall_with_a_step()
    cloud = cloud_from_point_map(points, picture(), approximate=False, most=2000)
    assert 800 < len(cloud.points) <= 2000
    assert np.ptp(cloud.points[:, 0]) > 0.9 * np.ptp(points[..., 0])


def test_a_map_without_points_gives_an_empty_cloud() -> None:
    empty = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    assert len(decoded(encoded(cloud_from_point_map(empty, picture(), approximate=True))).points) == 0


def test_however_large_the_photograph_its_colours_are_told_apart_on_a_small_crop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a refinement costs is told by the pixels that GrabCut looks at, not by a clock."""
    looked_at: list[int] = []
    grab_cut = cv2.grabCut

    def counted(picture: np.ndarray, *rest: object) -> object:
        looked_at.append(picture.shape[0] * picture.shape[1])
        return grab_cut(picture, *rest)

    monkeypatch.setattr(cv2, "grabCut", counted)
    large = np.kron(picture(), np.ones((8, 8, 1), np.uint8))
    mask = refine(large, Guidance(box=(400, 160, 1040, 800)))
    assert overlap(mask, np.kron(DISC, np.ones((8, 8), bool))) > 0.9
    assert looked_at and max(looked_at) <= 400 * 400
