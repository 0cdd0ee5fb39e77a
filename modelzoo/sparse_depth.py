"""Scattered camera-frame points as a point map: the nearest point in each pixel, and holes filled from next door."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from modelzoo.contracts import Intrinsics
from modelzoo.frames import pixel_grid, project, unproject

Floats = NDArray[np.float64]


def projected(cloud: Floats, camera: Intrinsics) -> Floats:
    """(H, W, 3): of the points (N, 3) that fall into a pixel the nearest one, NaN where none does."""
    assert cloud.ndim == 2 and cloud.shape[1] == 3, cloud.shape
    cloud = cloud[np.isfinite(cloud).all(axis=1) & (cloud[:, 2] > 0)]
    places = np.floor(project(cloud, camera))
    inside = (places >= 0).all(axis=1) & (places[:, 0] < camera.width) & (places[:, 1] < camera.height)
    cloud, pixels = cloud[inside], places[inside].astype(np.int64)
    order = np.argsort(-cloud[:, 2], kind="stable")  # far first, so that near ones overwrite them
    points = np.full((camera.height, camera.width, 3), np.nan)
    points[pixels[order, 1], pixels[order, 0]] = cloud[order]
    return points


def filled(points: Floats, camera: Intrinsics, *, radius_px: float) -> Floats:
    """Unknown pixels take the depth of the nearest known pixel within ``radius_px``, on their own rays.

    Known points stay as they are; what is farther from all of them stays NaN.
    """
    assert points.shape == (camera.height, camera.width, 3), points.shape
    known = np.asarray(np.isfinite(points).all(axis=-1))
    if radius_px <= 0 or not known.any():
        return points
    distance, (rows, cols) = distance_transform_edt(~known, return_indices=True)
    depth = np.where(distance <= radius_px, points[rows, cols, 2], np.nan)
    rays = unproject(pixel_grid(width=camera.width, height=camera.height), depth, camera)
    return np.where(known[..., None], points, rays)
