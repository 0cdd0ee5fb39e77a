"""A photograph's point map as the small coloured point cloud (.c8pc) that stage 3 shows."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

MAGIC, VERSION, APPROXIMATE = b"C8PC", 1, 1
HEADER = struct.Struct("<4sIII3f3f")
MOST_POINTS, MOST_ESTIMATED = 1_000_000, 300_000  # an estimate has no detail that more points would show
FAR_QUANTILE, FAR_FACTOR = 0.99, 1.5  # a few readings at the horizon would waste the grid's resolution
FLYING_RATIO = 0.04  # a point whose depth jumps this share on opposite sides floats between two surfaces
LONELY_NEIGHBOURS, LONELY_SIGMA = 8, 3.0

Points = NDArray[np.float32]  # (N, 3), OpenCV camera frame
Colours = NDArray[np.uint8]  # (N, 3), sRGB


@dataclass(frozen=True, kw_only=True)
class PointCloud:
    points: Points
    colours: Colours
    approximate: bool


def cloud_from_point_map(
    points: NDArray[np.float32], image: NDArray[np.uint8], *, approximate: bool, most: int | None = None
) -> PointCloud:
    """Cleans an H x W x 3 point map (NaN where unknown), colours it by the photograph and thins it.

    To ``most`` points, else to a million of a measured map and to fewer of an estimate.
    """
    assert points.shape == image.shape, (points.shape, image.shape)
    known = np.isfinite(points).all(axis=2) & (points[:, :, 2] > 0) & ~flying(points[:, :, 2])
    xyz, rgb = points[known], image[known]
    if len(xyz):
        near = xyz[:, 2] <= FAR_FACTOR * np.quantile(xyz[:, 2], FAR_QUANTILE)
        xyz, rgb = xyz[near], rgb[near]
        allowed = most or (MOST_ESTIMATED if approximate else MOST_POINTS)
        thin = _voxel_thinned(xyz, most=allowed)
        xyz, rgb = xyz[thin], rgb[thin]
        keep = ~_lonely(xyz)
        xyz, rgb = xyz[keep], rgb[keep]
    return PointCloud(points=np.ascontiguousarray(xyz, np.float32), colours=rgb, approximate=approximate)


def encoded(cloud: PointCloud) -> bytes:
    """Little endian: magic, version, count, flags, origin, step; then u16 positions; then u8 colours."""
    count = len(cloud.points)
    low = cloud.points.min(axis=0) if count else np.zeros(3, np.float32)
    extent = cloud.points.max(axis=0) - low if count else np.ones(3, np.float32)
    step = np.maximum(extent.astype(np.float64), 1e-9) / 65535
    grid = np.rint((cloud.points.astype(np.float64) - low) / step).clip(0, 65535).astype("<u2")
    flags = APPROXIMATE if cloud.approximate else 0
    return HEADER.pack(MAGIC, VERSION, count, flags, *low, *step) + grid.tobytes() + cloud.colours.tobytes()


def decoded(data: bytes) -> PointCloud:
    """The inverse of `encoded`, to half a step; raises ValueError when ``data`` is no such file."""
    if len(data) < HEADER.size:
        raise ValueError("a .c8pc file has a header of 40 bytes")
    magic, version, count, flags, *numbers = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or len(data) != HEADER.size + 9 * count:
        raise ValueError(f"not a .c8pc file of version {VERSION} with {count} points")
    grid = np.frombuffer(data, "<u2", 3 * count, HEADER.size).reshape(-1, 3)
    colours = np.frombuffer(data, np.uint8, 3 * count, HEADER.size + 6 * count).reshape(-1, 3)
    points = (np.array(numbers[:3]) + grid * np.array(numbers[3:])).astype(np.float32)
    return PointCloud(points=points, colours=colours, approximate=bool(flags & APPROXIMATE))


def flying(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels that hang between a near and a far neighbour, as sensors and networks put them along outlines."""
    hanging = np.zeros(depth.shape, dtype=bool)
    for axis in (0, 1):
        middle = np.moveaxis(depth, axis, 0)
        before, here, after = middle[:-2], middle[1:-1], middle[2:]
        with np.errstate(invalid="ignore"):
            rise, fall = (after - here) / here, (here - before) / here
            between = (np.minimum(np.abs(rise), np.abs(fall)) > FLYING_RATIO) & (rise * fall > 0)
        np.moveaxis(hanging, axis, 0)[1:-1] |= between
    return hanging


def _voxel_thinned(points: Points, *, most: int) -> NDArray[np.intp]:
    """The first point of each cell of a grid that grows with depth, so that near surfaces stay dense."""
    if len(points) <= most:
        return np.arange(len(points))
    scaled = np.concatenate([points[:, :2] / points[:, 2:], np.log(points[:, 2:])], axis=1)
    span = np.maximum(np.ptp(scaled, axis=0), 1e-6)
    cell = float(np.sqrt(span[0] * span[1] / most))
    while True:
        cells = np.floor((scaled - scaled.min(axis=0)) / cell).astype(np.int64)
        _, first = np.unique(cells @ np.array([1, 1 << 20, 1 << 40]), return_index=True)
        if len(first) <= most:
            return np.sort(first)
        cell *= max(1.05, float(np.sqrt(len(first) / most)))


def _lonely(points: Points) -> NDArray[np.bool_]:
    """Points much farther from their neighbours than others at their depth are."""
    if len(points) <= LONELY_NEIGHBOURS:
        return np.zeros(len(points), dtype=bool)
    distances, _ = cKDTree(points).query(points, k=LONELY_NEIGHBOURS + 1)
    spread = np.log(distances[:, 1:].mean(axis=1) / points[:, 2] + 1e-9)
    return np.asarray(spread > np.median(spread) + LONELY_SIGMA * max(float(spread.std()), 1e-6))
