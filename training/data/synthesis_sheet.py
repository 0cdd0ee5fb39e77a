"""One picture of what shards hold: per example the full view, the crop with its mask, the points and the shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.samples import Example
from training.data.shards import ShardSource

TILE, GAP = 128, 8
JPEG_QUALITY = 88
UNKNOWN = 40  # grey where no point is known
OUTLINE = np.array([255, 64, 160])

Picture = NDArray[np.uint8]


def write_sheet(path: Path, sources: Sequence[ShardSource], *, columns: int, first: int = 0) -> None:
    """A row per folder of shards, ``columns`` examples each from example ``first`` on. Raises ValueError for none."""
    if not sources or columns < 1 or any(len(source) < first + columns for source in sources):
        raise ValueError(f"there are not {columns} examples from number {first} on in every folder")
    rows = [
        np.concatenate([_framed(source.example(first + number)) for number in range(columns)], axis=1)
        for source in sources
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path, quality=JPEG_QUALITY)


def example_tiles(example: Example) -> list[Picture]:
    """Four tiles: the full view with the mask's outline, the crop faded outside the mask, the crop's nearness, and the
    true shape from its front as depth."""
    inside = example.full_mask
    edge = inside & ~(_moved(inside, 0) & _moved(inside, 1))
    full = np.where(edge[..., None], OUTLINE, example.full_rgb)
    crop = np.where(example.crop_mask[..., None], example.crop_rgb, 255 - (255 - example.crop_rgb) // 4)
    return [
        _tile(full),
        _tile(crop),
        _tile(_nearness(example.crop_points[..., 2])),
        _tile(_front(example.occupancy)),
    ]


def _framed(example: Example) -> Picture:
    tiles = example_tiles(example)
    square = np.concatenate([np.concatenate(tiles[:2], axis=1), np.concatenate(tiles[2:], axis=1)])
    return np.pad(square, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _tile(picture: NDArray[np.generic]) -> Picture:
    image = Image.fromarray(picture.astype(np.uint8))
    return np.asarray(image.resize((TILE, TILE), Image.Resampling.NEAREST))


def _nearness(depth: NDArray[np.float32]) -> Picture:
    """Near is bright; the normalised point map's middle is in the middle of the greys."""
    grey = np.where(np.isfinite(depth), 150 - 70 * np.tanh(np.nan_to_num(depth)), UNKNOWN)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)


def _front(occupancy: NDArray[np.bool_]) -> Picture:
    """The solid seen from -Y, up is up; near voxels are bright."""
    side = occupancy.shape[1]
    hit = occupancy.any(axis=1)
    shade = np.where(hit, 235 - 170 * occupancy.argmax(axis=1) / side, 255)
    return np.repeat(shade.T[::-1][..., None], 3, axis=-1).astype(np.uint8)


def _moved(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Where both neighbours along an axis are in the mask."""
    return np.roll(mask, 1, axis=axis) & np.roll(mask, -1, axis=axis)
