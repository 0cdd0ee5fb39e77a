"""From a photograph, its mask and its point map to what the geometry model sees: crop and full view, box, normaliser.

The normalised point map frame is (P - shift) / scale with shift = per-axis median of the masked points and scale =
twice the median, over masked points, of the largest absolute coordinate after the shift. Layouts live in that frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CROP_FACTOR = 1.2
CLIP = 4.0  # normalised coordinates beyond this say "far" and no more
TYPICAL_FOCAL = 1.4  # of the longer image side, where nothing is known


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """The similarity that takes camera-frame points to the normalised point map: (P - shift) / scale."""

    shift: NDArray[np.float64]  # 3
    scale: float


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square window of an image, in pixels; it may reach outside."""

    left: float
    top: float
    side: float


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One target ready for the model (channels first, float32) and the normaliser that decodes its layout."""

    crop: NDArray[np.float32]  # 8 x S x S
    full: NDArray[np.float32]  # 8 x S x S
    box: NDArray[np.float32]  # 4
    normaliser: Normaliser


def condition(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], points: NDArray[np.floating] | None, *, size: int = 64
) -> Condition:
    """Prepare one target. Without points the layout is that of a flat cut-out at distance one; the model is told.

    Raises ValueError when the mask is empty or the shapes disagree.
    """
    if image.ndim != 3 or image.shape[2] != 3 or mask.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and mask {mask.shape} do not fit together")
    if points is not None and points.shape != image.shape:
        raise ValueError(f"points must be {image.shape}, not {points.shape}")
    if not mask.any():
        raise ValueError("the mask marks no pixel")
    height, width = mask.shape
    known = points is not None and bool(np.isfinite(points[mask]).all(axis=-1).sum() >= 8)
    given = points if known and points is not None else flat_points(height, width)
    normaliser = normaliser_of(given, mask)
    crop_window, full_window = crop_square(mask), full_square(height, width)
    views = [
        assemble(
            resample_colour(image, window, size),
            resample_mask(mask, window, size),
            (resample_points(given, window, size) - normaliser.shift) / normaliser.scale,
            known=known,
        )
        for window in (crop_window, full_window)
    ]
    return Condition(
        crop=views[0],
        full=views[1],
        box=box_values(crop_window, full_window, known=known),
        normaliser=normaliser,
    )


def normaliser_of(points: NDArray[np.floating], mask: NDArray[np.bool_]) -> Normaliser:
    """Shift and scale from the valid masked points; identity when there is none."""
    chosen = points[mask].astype(np.float64)
    chosen = chosen[np.isfinite(chosen).all(axis=1)]
    if len(chosen) == 0:
        return Normaliser(shift=np.zeros(3), scale=1.0)
    shift = np.median(chosen, axis=0)
    scale = 2.0 * float(np.median(np.abs(chosen - shift).max(axis=1)))
    return Normaliser(shift=shift, scale=max(scale, 1e-6))


def assemble(
    colour: NDArray[np.uint8], mask: NDArray[np.bool_], normalised: NDArray[np.floating], *, known: bool
) -> NDArray[np.float32]:
    """Stack a view: RGB in [-1, 1], mask, normalised xyz (0 where unknown), validity."""
    view = np.zeros((8, *mask.shape), np.float32)
    view[:3] = colour.transpose(2, 0, 1) / np.float32(127.5) - 1.0
    view[3] = mask
    if known:
        valid = np.isfinite(normalised).all(axis=-1)
        view[4:7] = np.where(valid[..., None], np.clip(normalised, -CLIP, CLIP), 0.0).transpose(2, 0, 1)
        view[7] = valid
    return view


def crop_square(mask: NDArray[np.bool_], *, factor: float = CROP_FACTOR) -> Square:
    """The square about the mask's bounding box, ``factor`` times its longer side."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    side = max(2.0, factor * max(bottom - top, right - left))
    return Square(left=(left + right - side) / 2, top=(top + bottom - side) / 2, side=float(side))


def full_square(height: int, width: int) -> Square:
    """The whole image, padded to a square about its centre."""
    side = max(height, width)
    return Square(left=(width - side) / 2, top=(height - side) / 2, side=float(side))


def box_values(crop: Square, full: Square, *, known: bool) -> NDArray[np.float32]:
    """Crop centre (-1 .. 1) and side (0 .. 1) within the full view, and whether a point map is known."""
    u = 2.0 * (crop.left + crop.side / 2 - full.left) / full.side - 1.0
    v = 2.0 * (crop.top + crop.side / 2 - full.top) / full.side - 1.0
    return np.array([u, v, crop.side / full.side, float(known)], np.float32)


def flat_points(height: int, width: int) -> NDArray[np.float32]:
    """Points of an upright wall at distance one, seen with a typical focal length."""
    focal = TYPICAL_FOCAL * max(height, width)
    u = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    v = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / focal
    return np.stack([*np.meshgrid(u, v), np.ones((height, width), np.float32)], axis=-1)


def resample_colour(image: NDArray[np.uint8], window: Square, size: int) -> NDArray[np.uint8]:
    """Area-averaged colours of a window; black outside the image."""
    return np.asarray(_cut(Image.fromarray(image), window).resize((size, size), Image.Resampling.BOX))


def resample_mask(mask: NDArray[np.bool_], window: Square, size: int) -> NDArray[np.bool_]:
    """A window's mask: a pixel is in when at least half of its area is; never empty when a nearest sample is not."""
    levels = Image.fromarray(mask.astype(np.uint8) * 255)
    share = np.asarray(_cut(levels, window).resize((size, size), Image.Resampling.BOX)) >= 128
    return share if share.any() else _nearest(mask, window, size, False)


def resample_points(points: NDArray[np.floating], window: Square, size: int) -> NDArray[np.float64]:
    """Nearest points of a window (never averaged across an edge); NaN outside the image."""
    return _nearest(points.astype(np.float64), window, size, np.nan)


def encode_layout(
    rotation: NDArray[np.floating], translation: NDArray[np.floating], scale: float, normaliser: Normaliser
) -> NDArray[np.float32]:
    """Thirteen numbers: first two columns of R, (t - shift) / S, three times log(s / S), log |t / S|.

    S is the normaliser's scale; x_camera = R (s x_object) + t. The last number, the translation scale, is learned as in
    the released model and not read.
    """
    if rotation.shape != (3, 3) or scale <= 0:
        raise ValueError("a layout needs a 3 x 3 rotation and a positive scale")
    translation = np.asarray(translation, dtype=np.float64)
    offset = (translation - normaliser.shift) / normaliser.scale
    distance = float(np.log(max(float(np.linalg.norm(translation)) / normaliser.scale, 1e-6)))
    log_scale = float(np.log(scale / normaliser.scale))
    return np.concatenate([rotation[:, 0], rotation[:, 1], offset, [log_scale] * 3, [distance]]).astype(
        np.float32
    )


def decode_layout(
    layout: NDArray[np.floating], normaliser: Normaliser
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Rotation (3 x 3, orthonormal by Gram-Schmidt), translation and scale (mean of the axes) in the camera frame."""
    if layout.shape != (13,):
        raise ValueError(f"a layout is 13 numbers, not {layout.shape}")
    values = layout.astype(np.float64)
    first = _unit(values[:3], np.array([1.0, 0.0, 0.0]))
    second = _unit(values[3:6] - first * float(first @ values[3:6]), _across(first))
    rotation = np.stack([first, second, np.cross(first, second)], axis=1)
    return (
        rotation,
        values[6:9] * normaliser.scale + normaliser.shift,
        float(np.exp(values[9:12]).mean() * normaliser.scale),
    )


def _unit(vector: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else otherwise


def _across(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit vector at right angles to ``axis``: y where it can be."""
    other = np.eye(3)[1 if abs(axis[1]) < 0.9 else 2]
    made = other - axis * float(axis @ other)
    return np.asarray(made / np.linalg.norm(made))


def _cut(image: Image.Image, window: Square) -> Image.Image:
    left, top = int(np.floor(window.left)), int(np.floor(window.top))
    side = max(1, round(window.side))
    return image.crop((left, top, left + side, top + side))


def _nearest(values: NDArray[Any], window: Square, size: int, outside: float) -> NDArray[Any]:
    height, width = values.shape[:2]
    rows = np.floor(window.top + (np.arange(size) + 0.5) * window.side / size).astype(int)
    cols = np.floor(window.left + (np.arange(size) + 0.5) * window.side / size).astype(int)
    out: NDArray[Any] = values[
        np.clip(rows, 0, height - 1)[:, None], np.clip(cols, 0, width - 1)[None]
    ].copy()
    beyond = ((rows < 0) | (rows >= height))[:, None] | ((cols < 0) | (cols >= width))[None]
    out[beyond] = outside
    return out
