"""A target's views by preset: our own conditioning, or the one that the released SAM 3D weights were trained with.

The released one differs in crop, resampling, normaliser and axes (sam3d facts 1.1, 1.2). Two things are our reading of
them: the crop's corner is rounded down, and the point map is normalised over the whole photograph before it is cropped.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modelzoo.conditioning import (
    CROP_FACTOR,
    Condition,
    Normaliser,
    Square,
    box_values,
    condition,
    decode_layout,
    flat_points,
)
from modelzoo.ports.axes import layout_from_released, points_from_pytorch3d, pytorch3d_from_points
from modelzoo.presets import ModelPreset

SMALLEST_BOX = 2  # pixels between the first and the last masked row or column


def prepare(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    points: NDArray[np.floating] | None,
    *,
    preset: ModelPreset,
) -> Condition:
    """Views at the preset's size and the normaliser (OpenCV axes, whatever the preset's) that decodes its layouts.

    ``image`` H x W x 3, ``mask`` H x W, ``points`` H x W x 3 in the OpenCV camera frame, NaN where unknown, or None.
    Raises ValueError when the mask is empty or too small or the shapes disagree.
    """
    size = preset.geometry.image_size
    if preset.axes == "opencv":
        return condition(image, mask, points, size=size)
    return released_condition(image, mask, points, size=size)


def decoded_layout(
    layout: NDArray[np.floating], normaliser: Normaliser, *, preset: ModelPreset
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Rotation, translation and scale in the OpenCV camera frame of a raw layout (13) that the preset's model drew."""
    return decode_layout(layout if preset.axes == "opencv" else layout_from_released(layout), normaliser)


def released_condition(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], points: NDArray[np.floating] | None, *, size: int
) -> Condition:
    """As ``prepare``, for the released weights: points in the views are PyTorch3D camera points, normalised.

    A point map of another size than the photograph is resized. Without one the layout is that of a flat cut-out at
    distance one, and the views hold no points.
    """
    if image.ndim != 3 or image.shape[2] != 3 or mask.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and mask {mask.shape} do not fit together")
    if points is not None and (points.ndim != 3 or points.shape[2] != 3):
        raise ValueError(f"points are H x W x 3, not {points.shape}")
    height, width = mask.shape
    window = released_square(mask)
    known = points is not None
    given = points if points is not None else flat_points(height, width)
    theirs = pytorch3d_from_points(resized_points(given, height=height, width=width))
    inner = object_centric_normaliser(theirs, mask)
    normalised = (theirs - inner.shift) / inner.scale
    side = max(height, width)
    whole = Square(left=-((side - width) // 2), top=-((side - height) // 2), side=side)
    crop, full = (
        _view(
            _resized(_cut(image / 255.0, part, outside=0.0), size, mode="bilinear"),
            _resized(_cut(mask[..., None], part, outside=0.0), size, mode="nearest"),
            _resized(_cut(normalised, part, outside=outside), size, mode="nearest"),
            known=known,
        )
        for part, outside in ((window, 0.0), (whole, np.nan))
    )
    return Condition(
        crop=crop,
        full=full,
        box=box_values(window, whole, known=known),
        normaliser=Normaliser(shift=points_from_pytorch3d(inner.shift), scale=inner.scale),
    )


def released_square(mask: NDArray[np.bool_]) -> Square:
    """Whole pixels: side ``int(1.2 x longest side)`` of the box from first to last masked pixel, about its centre.

    Raises ValueError for an empty mask or one whose box is thinner than two pixels.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("the mask marks no pixel")
    top, bottom, left, right = int(rows[0]), int(rows[-1]), int(cols[0]), int(cols[-1])
    tall, wide = bottom - top, right - left
    if min(tall, wide) < SMALLEST_BOX:
        raise ValueError(f"the mask spans {wide} x {tall} pixels; both must be at least {SMALLEST_BOX}")
    side = int(max(tall, wide) * CROP_FACTOR)
    return Square(left=(left + right - side) // 2, top=(top + bottom - side) // 2, side=side)


def object_centric_normaliser(points: NDArray[np.floating], mask: NDArray[np.bool_]) -> Normaliser:
    """Shift: per-axis median of the masked points. Scale: median over all pixels of the largest shifted coordinate.

    Medians pass over NaN and take the lower of two middle values. Identity when no masked point is known.
    """
    values = torch.from_numpy(np.ascontiguousarray(points, dtype=np.float64)).reshape(-1, 3)
    chosen = values[torch.from_numpy(np.ascontiguousarray(mask)).reshape(-1)]
    if not torch.isfinite(chosen).all(dim=1).any():
        return Normaliser(shift=np.zeros(3), scale=1.0)
    shift = chosen.nanmedian(dim=0).values
    largest = (values - shift).abs().amax(dim=1)
    scale = float(largest.nanmedian())
    return Normaliser(shift=shift.numpy(), scale=scale if scale > 0 else 1.0)


def resized_points(points: NDArray[np.floating], *, height: int, width: int) -> NDArray[np.float64]:
    """A point map at another size: bilinear with zeros for unknown points, and unknown where the nearest one is."""
    known: NDArray[np.float64] = np.where(np.isfinite(points), points, np.nan).astype(np.float64)
    if known.shape[:2] == (height, width):
        return known
    planes = torch.from_numpy(np.ascontiguousarray(known)).permute(2, 0, 1)[None]
    unknown = planes.isnan().any(dim=1, keepdim=True)
    smooth = F.interpolate(planes.nan_to_num(0.0), size=(height, width), mode="bilinear")
    nearest = F.interpolate(unknown.double(), size=(height, width), mode="nearest") > 0.5
    out: NDArray[np.float64] = smooth.masked_fill(nearest, torch.nan)[0].permute(1, 2, 0).numpy()
    return out


def _cut(values: NDArray[np.generic], window: Square, *, outside: float) -> Tensor:
    """A window of whole pixels (H x W x C) as 1 x C x side x side; ``outside`` the photograph."""
    height, width, channels = values.shape
    left, top, side = int(window.left), int(window.top), int(window.side)
    out = torch.full((1, channels, side, side), outside, dtype=torch.float32)
    first_row, last_row = max(top, 0), min(top + side, height)
    first_col, last_col = max(left, 0), min(left + side, width)
    inside = torch.from_numpy(values[first_row:last_row, first_col:last_col].astype(np.float32))
    out[0, :, first_row - top : last_row - top, first_col - left : last_col - left] = inside.permute(2, 0, 1)
    return out


def _resized(planes: Tensor, size: int, *, mode: Literal["bilinear", "nearest"]) -> Tensor:
    return F.interpolate(planes, size=(size, size), mode=mode, antialias=mode == "bilinear")[0]


def _view(colour: Tensor, mask: Tensor, points: Tensor, *, known: bool) -> NDArray[np.float32]:
    """RGB in [-1, 1], mask, normalised points (0 where unknown), validity; nothing of points that are not known."""
    valid = torch.isfinite(points).all(dim=0, keepdim=True) & known
    filled = torch.where(valid, points, 0.0)
    view: NDArray[np.float32] = torch.cat([colour * 2.0 - 1.0, mask, filled, valid.float()]).numpy()
    return view
