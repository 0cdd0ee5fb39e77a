"""Colours known at some voxels of the canonical cube, read at any point of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

FAINTEST = 0.05  # trilinear share of known voxels below which the nearest known one decides

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ColourVolume:
    """``voxels`` (N, 3) are indices in a cube of ``resolution`` per side, ``colours`` (N, 3) their sRGB in [0, 1]."""

    voxels: NDArray[np.int64]
    colours: Floats
    resolution: int

    def __post_init__(self) -> None:
        n = len(self.voxels)
        if not n or self.voxels.shape != (n, 3) or self.colours.shape != (n, 3):
            raise ValueError(
                f"colours need N > 0 voxels (N, 3), not {self.voxels.shape} and {self.colours.shape}"
            )

    def at(self, points: NDArray[np.floating]) -> Floats:
        """Colours (M, 3) at object points (M, 3): trilinear in the known voxels, the nearest where none is around."""
        assert points.ndim == 2 and points.shape[1] == 3, points.shape
        places = (points + 0.5) * self.resolution - 0.5
        sampled = np.stack(
            [map_coordinates(channel, places.T, order=1, mode="nearest") for channel in self._volume]
        )
        weight = sampled[3]
        result = (sampled[:3] / np.maximum(weight, 1e-3)).T
        missing = weight < FAINTEST
        if missing.any():
            result[missing] = self.colours[self._nearest.query(places[missing])[1]]
        return np.asarray(np.clip(result, 0.0, 1.0), dtype=np.float32)

    @cached_property
    def _volume(self) -> Floats:
        """(4, R, R, R): colours, and one where they are known."""
        volume = np.zeros((4, *[self.resolution] * 3), dtype=np.float32)
        x, y, z = self.voxels.T
        volume[:3, x, y, z] = self.colours.T
        volume[3, x, y, z] = 1.0
        return volume

    @cached_property
    def _nearest(self) -> cKDTree:
        return cKDTree(self.voxels)
