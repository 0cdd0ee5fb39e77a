"""Views, normaliser and layouts."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.conditioning import (
    Normaliser,
    condition,
    crop_square,
    decode_layout,
    encode_layout,
    flat_points,
    normaliser_of,
)
from modelzoo.frames import rotation_from_wxyz


def _photo(height: int = 60, width: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[20:40, 50:80] = True
    points = flat_points(height, width) * 3.0
    points[mask, 2] += rng.normal(0, 0.1, mask.sum())
    return image, mask, points


def test_a_layout_survives_encoding_and_decoding() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        rotation = rotation_from_wxyz(rng.normal(size=4))
        translation, scale = rng.normal(size=3) * 4, float(np.exp(rng.normal()))
        normaliser = Normaliser(shift=rng.normal(size=3), scale=float(np.exp(rng.normal())))
        back = decode_layout(encode_layout(rotation, translation, scale, normaliser), normaliser)
        assert np.allclose(back[0], rotation, atol=1e-5)
        assert np.allclose(back[1], translation, atol=1e-4)
        assert back[2] == pytest.approx(scale, rel=1e-5)


def test_any_thirteen_numbers_decode_to_a_rotation() -> None:
    rotation, _, scale = decode_layout(
        np.random.default_rng(2).normal(size=13).astype(np.float32), Normaliser(shift=np.zeros(3), scale=1.0)
    )
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert scale > 0


@pytest.mark.parametrize("column", [np.zeros(3), np.array([0.0, 2.0, 0.0])])
def test_a_layout_of_nothing_still_decodes_to_a_rotation(column: np.ndarray) -> None:
    layout = np.zeros(13, np.float32)
    layout[:3] = layout[3:6] = column
    rotation, _, _ = decode_layout(layout, Normaliser(shift=np.zeros(3), scale=1.0))
    assert np.allclose(rotation.T @ rotation, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1.0)


def test_scaling_the_point_map_changes_the_normaliser_and_nothing_the_model_sees() -> None:
    image, mask, points = _photo()
    near, far = condition(image, mask, points), condition(image, mask, points * 7.0)
    assert np.allclose(near.crop, far.crop, atol=1e-5) and np.allclose(near.full, far.full, atol=1e-5)
    assert far.normaliser.scale == pytest.approx(7.0 * near.normaliser.scale)


def test_the_normaliser_centres_the_masked_points() -> None:
    _, mask, points = _photo()
    found = normaliser_of(points, mask)
    assert np.allclose(np.median(points[mask], axis=0), found.shift)


def test_without_a_point_map_the_channels_are_empty_and_the_flag_says_so() -> None:
    image, mask, _ = _photo()
    seen = condition(image, mask, None)
    assert not seen.crop[4:].any() and not seen.full[4:].any()
    assert seen.box[3] == 0.0
    assert seen.normaliser.shift[2] == pytest.approx(1.0)


def test_the_mask_fills_the_middle_of_the_crop() -> None:
    _, mask, _ = _photo()
    window = crop_square(mask)
    assert window.side == pytest.approx(36.0)
    assert (window.left + window.side / 2, window.top + window.side / 2) == pytest.approx((65.0, 30.0))


def test_the_full_view_is_padded_with_black_to_a_square() -> None:
    image, mask, points = _photo(60, 120)
    seen = condition(image, mask, points)
    assert np.all(seen.full[:3, :15] == -1.0) and not seen.full[7, :15].any()
    assert seen.full[7, 20:44].all()


def test_an_empty_mask_is_refused() -> None:
    image, mask, points = _photo()
    with pytest.raises(ValueError, match="no pixel"):
        condition(image, np.zeros_like(mask), points)
