"""Small corrections of a proposed layout against the mask and the point map, kept only where they measurably help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from modelzoo.conditioning import Square, crop_square, resample_mask
from modelzoo.contracts import Intrinsics

RASTER = 48  # pixels per side of the crop in which silhouettes are compared
CROP_FACTOR = 1.6  # wider than the mask, so that a silhouette that is too large is seen to be
MIN_GAIN = 0.01  # of mask IoU
MAX_MOVE = (0.02, 50.0)  # in depth; a layout without a point map stands at distance one

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """x_camera = rotation @ (scale * x_object) + translation."""

    rotation: Floats
    translation: Floats
    scale: float

    def place(self, points: Floats) -> Floats:
        """Object points (N, 3) in the camera frame."""
        placed: Floats = self.scale * (points @ self.rotation.T) + self.translation
        return placed


@dataclass(frozen=True, kw_only=True)
class FittedLayout:
    """The layout, its mask IoU before and after, and the name of each correction that was kept."""

    layout: Layout
    iou_before: float
    iou_after: float
    steps: tuple[str, ...]


def fit_layout(
    layout: Layout,
    surface: Floats,
    *,
    mask: NDArray[np.bool_],
    points: NDArray[np.floating] | None,
    intrinsics: Intrinsics,
) -> FittedLayout:
    """Shift and resize in the image so that the silhouette of ``surface`` (N, 3) meets the mask, then move in depth.

    Rotation stays the model's. The second correction keeps the silhouette: translation and scale grow together until
    the surface's near side meets the masked points.
    """
    window = crop_square(mask, factor=CROP_FACTOR)
    wanted = resample_mask(mask, window, RASTER)
    before = _iou(layout, surface, intrinsics, window, wanted)
    best, after = _fit_silhouette(layout, surface, intrinsics, window, wanted, before)
    steps = []
    if after >= before + MIN_GAIN:
        steps.append("layout_fitted_to_mask")
    else:
        best, after = layout, before
    ratio = None if points is None else _depth_ratio(best, surface, points, mask, intrinsics, window)
    if ratio is not None and abs(ratio - 1) > 0.005:
        best = Layout(rotation=best.rotation, translation=best.translation * ratio, scale=best.scale * ratio)
        steps.append("layout_fitted_to_depth")
    return FittedLayout(layout=best, iou_before=before, iou_after=after, steps=tuple(steps))


def _fit_silhouette(
    layout: Layout,
    surface: Floats,
    intrinsics: Intrinsics,
    window: Square,
    wanted: NDArray[np.bool_],
    start: float,
) -> tuple[Layout, float]:
    """From the better of the given layout and the one whose box meets the mask's, in ever smaller steps."""
    candidates = [layout, _box_fitted(layout, surface, intrinsics, window, wanted)]
    scores = [start, _iou(candidates[1], surface, intrinsics, window, wanted)]
    best, score = max(zip(candidates, scores, strict=True), key=lambda pair: pair[1])
    for step in (0.06, 0.03, 0.015):
        for _ in range(4):
            tried = [_nudged(best, du, dv, ds) for du, dv, ds in _moves(step)]
            found = [_iou(one, surface, intrinsics, window, wanted) for one in tried]
            if max(found) <= score:
                break
            best, score = tried[int(np.argmax(found))], max(found)
    return best, score


def _moves(step: float) -> list[tuple[float, float, float]]:
    return [(step, 0, 0), (-step, 0, 0), (0, step, 0), (0, -step, 0), (0, 0, step), (0, 0, -step)]


def _nudged(layout: Layout, right: float, down: float, grow: float) -> Layout:
    """Moves in object sizes, growth in logarithms."""
    shift = layout.scale * np.array([right, down, 0.0])
    return Layout(
        rotation=layout.rotation,
        translation=layout.translation + shift,
        scale=layout.scale * float(np.exp(grow)),
    )


def _box_fitted(
    layout: Layout, surface: Floats, intrinsics: Intrinsics, window: Square, wanted: NDArray[np.bool_]
) -> Layout:
    pixels, depth = _pixels(layout, surface, intrinsics, window)
    if not len(pixels):
        return layout
    rows, cols = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    target_low = np.array([cols[0], rows[0]], float)
    target_high = np.array([cols[-1] + 1, rows[-1] + 1], float)
    grow = float(np.max(target_high - target_low) / max(np.max(high - low), 1e-6))
    shift = ((target_low + target_high) - (low + high)) / 2 * window.side / RASTER
    distance = float(np.median(depth))
    move = np.array([shift[0] * distance / intrinsics.fx, shift[1] * distance / intrinsics.fy, 0.0])
    return Layout(
        rotation=layout.rotation,
        translation=layout.translation + move,
        scale=layout.scale * float(np.clip(grow, 0.5, 2)),
    )


def _pixels(layout: Layout, surface: Floats, intrinsics: Intrinsics, window: Square) -> tuple[Floats, Floats]:
    """Raster coordinates (M, 2) and depths (M,) of the surface points in front of the camera."""
    placed = layout.place(surface)
    placed = placed[placed[:, 2] > 1e-6]
    z = placed[:, 2]
    u = (intrinsics.fx * placed[:, 0] / z + intrinsics.cx - window.left) * RASTER / window.side
    v = (intrinsics.fy * placed[:, 1] / z + intrinsics.cy - window.top) * RASTER / window.side
    return np.stack([u, v], axis=-1), z


def _silhouette(
    layout: Layout, surface: Floats, intrinsics: Intrinsics, window: Square
) -> tuple[NDArray[np.bool_], Floats]:
    """Which raster pixels the surface covers (small holes closed) and the nearest depth in each."""
    pixels, z = _pixels(layout, surface, intrinsics, window)
    place = np.floor(pixels).astype(int)
    inside = ((place >= 0) & (place < RASTER)).all(axis=1)
    flat = place[inside, 1] * RASTER + place[inside, 0]
    nearest = np.full(RASTER * RASTER, np.inf)
    np.minimum.at(nearest, flat, z[inside])
    covered = np.isfinite(nearest).reshape(RASTER, RASTER)
    return np.asarray(binary_closing(np.pad(covered, 2), iterations=1)[2:-2, 2:-2]), nearest.reshape(
        RASTER, RASTER
    )


def _iou(
    layout: Layout, surface: Floats, intrinsics: Intrinsics, window: Square, wanted: NDArray[np.bool_]
) -> float:
    covered, _ = _silhouette(layout, surface, intrinsics, window)
    union = int((covered | wanted).sum())
    return float((covered & wanted).sum()) / union if union else 0.0


def _depth_ratio(
    layout: Layout,
    surface: Floats,
    points: NDArray[np.floating],
    mask: NDArray[np.bool_],
    intrinsics: Intrinsics,
    window: Square,
) -> float | None:
    """Median of the point map's depth over the surface's, where both are known; None when that is almost nowhere."""
    _, nearest = _silhouette(layout, surface, intrinsics, window)
    rows, cols = np.nonzero(mask & np.isfinite(points).all(axis=-1))
    v = np.floor((rows + 0.5 - window.top) * RASTER / window.side).astype(int)
    u = np.floor((cols + 0.5 - window.left) * RASTER / window.side).astype(int)
    drawn = nearest[np.clip(v, 0, RASTER - 1), np.clip(u, 0, RASTER - 1)]
    known = np.isfinite(drawn)
    if known.sum() < 20:
        return None
    return float(np.clip(np.median(points[rows[known], cols[known], 2] / drawn[known]), *MAX_MOVE))
