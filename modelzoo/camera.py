"""The pinhole camera that a point map implies, and a stated guess where there is no point map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from modelzoo.frames import pixel_grid

MIN_POINTS = 32
MAX_POINTS = 20_000


def intrinsics_from_points(points: NDArray[np.floating]) -> Intrinsics | None:
    """Focal lengths and centre that project the (H, W, 3) camera points onto their own pixels, by least squares.

    None when too few points are known or they do not behave like a pinhole camera's.
    """
    assert points.ndim == 3 and points.shape[2] == 3, points.shape
    height, width = points.shape[:2]
    valid = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
    if valid.sum() < MIN_POINTS:
        return None
    chosen, pixels = points[valid].astype(np.float64), pixel_grid(width=width, height=height)[valid]
    stride = max(1, len(chosen) // MAX_POINTS)
    chosen, pixels = chosen[::stride], pixels[::stride]
    across, down = (_line(chosen[:, axis] / chosen[:, 2], pixels[:, axis]) for axis in (0, 1))
    if across is None or down is None or min(across[0], down[0]) < 0.1 * max(height, width):
        return None
    (fx, cx), (fy, cy) = across, down
    return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height)


def typical_intrinsics(*, height: int, width: int, focal_factor: float) -> Intrinsics:
    """A centred camera whose focal length is ``focal_factor`` times the longer side."""
    focal = focal_factor * max(height, width)
    return Intrinsics(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float] | None:
    """Slope and offset of y = slope x + offset."""
    spread = float(x.var())
    if spread < 1e-8:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread
    return slope, float(y.mean() - slope * x.mean())
