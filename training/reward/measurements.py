"""What can be measured of a candidate without knowing the truth: does it fit the mask and the point map, is it whole?

A candidate's solid, posed as predicted, is looked at through the target's camera by casting a ray for every pixel of a
small window around the mask; what the rays meet is compared with what the camera saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from modelzoo.conditioning import Normaliser, crop_square, decode_layout
from modelzoo.contracts import Intrinsics
from training.simulation.targets import SimulatedTarget

WINDOW_FACTOR, WINDOW_SIZE = 1.6, 48  # of the mask's longer side; pixels
HIDDEN_MARGIN = 0.05  # of the object's size: what was seen this much nearer hides what lies behind
WORST_DEPTH = 0.3  # of the object's size, also for mask pixels that the candidate does not cover

#: In the order of a row of ``measured``.
NAMES = (
    "silhouette_iou",
    "covered",
    "spill",
    "depth_error",
    "depth_bias",
    "log_volume",
    "roughness",
    "fragments",
    "consensus",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A window of S x S pixels: rays (S x S x 3, z = 1), what the mask marks, and z-depth seen (NaN unknown)."""

    rays: Floats
    mask: NDArray[np.bool_]
    depth: Floats
    normaliser: Normaliser


def sight_of(target: SimulatedTarget) -> Sight:
    """The window around a target's mask; pixels beyond the photograph are unknown and unmarked."""
    return window_on(target.mask, target.points[..., 2], target.camera, target.condition.normaliser)


def window_on(
    mask: NDArray[np.bool_], depth: NDArray[np.floating], camera: Intrinsics, normaliser: Normaliser
) -> Sight:
    """The same from a mask and z-depth (H x W each, NaN unknown) with their camera."""
    if mask.shape != depth.shape or mask.shape != (camera.height, camera.width) or not mask.any():
        raise ValueError(
            f"mask {mask.shape} and depth {depth.shape} do not fit the camera, or nothing is marked"
        )
    window = crop_square(mask, factor=WINDOW_FACTOR)
    centres = (np.arange(WINDOW_SIZE) + 0.5) * window.side / WINDOW_SIZE
    u, v = window.left + centres, window.top + centres
    cols, rows = np.floor(u).astype(int), np.floor(v).astype(int)
    inside = ((rows >= 0) & (rows < camera.height))[:, None] & ((cols >= 0) & (cols < camera.width))[None]
    at = np.clip(rows, 0, camera.height - 1)[:, None], np.clip(cols, 0, camera.width - 1)[None]
    across, down = np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
    return Sight(
        rays=np.stack([across, down, np.ones_like(across)], axis=-1),
        mask=mask[at] & inside,
        depth=np.where(inside, depth[at], np.nan).astype(np.float64),
        normaliser=normaliser,
    )


def first_hits(
    grid: NDArray[np.bool_], rotation: Floats, translation: Floats, scale: float, rays: Floats
) -> Floats:
    """z-depth (S x S) where each ray enters the posed solid (R x R x R in the unit cube), infinite where never."""
    assert grid.ndim == 3 and rays.ndim == 3 and rays.shape[2] == 3, (grid.shape, rays.shape)
    depth: Floats = _first_hits(
        np.ascontiguousarray(grid).view(np.uint8),
        -(rotation.T @ translation) / scale,
        np.ascontiguousarray(rays.reshape(-1, 3) @ rotation / scale),
    )
    return depth.reshape(rays.shape[:2])


def fit_to_sight(hits: Floats, sight: Sight, *, size: float) -> dict[str, float]:
    """How what a candidate shows (z-depth S x S, infinite for nothing) agrees with what was seen.

    A pixel outside the mask where something nearer was seen may hide the candidate and counts neither way; so does one
    outside the photograph.
    """
    shown, mask, seen = np.isfinite(hits), sight.mask, sight.depth
    with np.errstate(invalid="ignore"):
        hidden = ~mask & shown & (seen < hits - HIDDEN_MARGIN * size)
    spill = int((shown & ~mask & ~hidden).sum())
    both, marked = shown & mask, max(1, int(mask.sum()))
    known = both & np.isfinite(seen)
    gap = (hits[known] - seen[known]) / size
    errors = np.full(marked, WORST_DEPTH)
    errors[: len(gap)] = np.minimum(np.abs(gap), WORST_DEPTH)
    return {
        "silhouette_iou": int(both.sum()) / max(1, marked + spill),
        "covered": int(both.sum()) / marked,
        "spill": spill / max(1, int(shown.sum())),
        "depth_error": float(errors.mean()),
        "depth_bias": float(np.clip(np.median(gap), -WORST_DEPTH, WORST_DEPTH)) if len(gap) else -WORST_DEPTH,
    }


def wholeness(grid: NDArray[np.bool_]) -> dict[str, float]:
    """Log volume (of the cube), exposed faces over volume^(2/3) (tenths), and the share of what is not in one piece."""
    solid = int(grid.sum())
    if solid == 0:
        return {"log_volume": float(np.log(1 / grid.size)), "roughness": 0.0, "fragments": 0.0}
    faces = sum(
        int(np.diff(grid.view(np.int8), axis=axis, prepend=0, append=0).astype(bool).sum())
        for axis in range(3)
    )
    coarse = grid.reshape(grid.shape[0] // 2, 2, grid.shape[1] // 2, 2, grid.shape[2] // 2, 2).any(
        axis=(1, 3, 5)
    )
    parts, count = label(coarse)
    largest = np.bincount(parts.ravel())[1:].max() if count else 0
    return {
        "log_volume": float(np.log(solid / grid.size)),
        "roughness": float(faces / solid ** (2 / 3)) / 10.0,
        "fragments": 1.0 - float(largest) / float(coarse.sum()),
    }


def consensus(packed: NDArray[np.uint8]) -> Floats:
    """For each of N candidates (N x bytes of bits) the mean IoU with the others of its target; 0 when it has none."""
    count = len(packed)
    if count < 2:
        return np.zeros(count)
    words = packed.view(np.uint64) if packed.shape[1] % 8 == 0 else packed
    sizes = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    overlap = np.zeros((count, count))
    for first in range(count):
        both = np.bitwise_count(words[first] & words[first + 1 :]).sum(axis=1, dtype=np.int64)
        either = sizes[first] + sizes[first + 1 :] - both
        overlap[first, first + 1 :] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    total: Floats = (overlap + overlap.T).sum(axis=1) / (count - 1)
    return total


def measured(sight: Sight, grids: NDArray[np.bool_], layouts: NDArray[np.floating]) -> Floats:
    """N x M: every measurement (``NAMES``) of one target's candidates, solids N x R x R x R and raw layouts N x 13."""
    if len(grids) != len(layouts):
        raise ValueError(f"{len(grids)} solids have {len(layouts)} layouts")
    agreed = consensus(np.packbits(grids.reshape(len(grids), -1), axis=1))
    rows = []
    for grid, layout, shared in zip(grids, layouts, agreed, strict=True):
        rotation, translation, scale = decode_layout(layout, sight.normaliser)
        hits = first_hits(grid, rotation, translation, scale, sight.rays)
        values = fit_to_sight(hits, sight, size=scale) | wholeness(grid) | {"consensus": float(shared)}
        rows.append([values[name] for name in NAMES])
    return np.array(rows)


@numba.njit(cache=True)
def _first_hits(grid, origin, directions):  # type: ignore[no-untyped-def]
    """Voxel walk (Amanatides and Woo 1987) of rays origin + z direction, in the frame of the unit cube."""
    side = grid.shape[0]
    found = np.full(directions.shape[0], np.inf)
    cell, step = np.zeros(3, np.int64), np.zeros(3, np.int64)
    next_z, delta = np.zeros(3), np.zeros(3)
    for ray in range(directions.shape[0]):
        enter, leave = 1e-6, np.inf
        for axis in range(3):
            along, start = directions[ray, axis], origin[axis]
            if abs(along) < 1e-12:
                if abs(start) > 0.5:
                    leave = -1.0
                continue
            near, far = (-0.5 - start) / along, (0.5 - start) / along
            if near > far:
                near, far = far, near
            enter, leave = max(enter, near), min(leave, far)
        if enter >= leave:
            continue
        for axis in range(3):
            along = directions[ray, axis]
            place = (origin[axis] + enter * along + 0.5) * side
            cell[axis] = min(side - 1, max(0, int(np.floor(place))))
            step[axis] = 1 if along > 0 else -1
            if abs(along) < 1e-12:
                next_z[axis], delta[axis] = np.inf, np.inf
            else:
                edge = cell[axis] + (1 if along > 0 else 0)
                next_z[axis] = (edge / side - 0.5 - origin[axis]) / along
                delta[axis] = 1.0 / (side * abs(along))
        z = enter
        while True:
            if grid[cell[0], cell[1], cell[2]]:
                found[ray] = z
                break
            axis = 0
            if next_z[1] < next_z[axis]:
                axis = 1
            if next_z[2] < next_z[axis]:
                axis = 2
            z = next_z[axis]
            cell[axis] += step[axis]
            if cell[axis] < 0 or cell[axis] >= side:
                break
            next_z[axis] += delta[axis]
    return found
