"""What only the simulation knows of a photograph: the object's true shape, colours, mask and pose."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from modelzoo.exports.glb import glb_from_mesh
from training.data.procedural_meshes import object_mesh
from training.metrics.surface import surface_points
from training.simulation.targets import SimulatedTarget, simulated_target

NAME = "simulated-{seed}-{number}.png"
NAMED = re.compile(r"simulated-(\d+)-(\d+)\.png")
SURFACE_POINTS = 2_000
MOST_SEEN = 1_500
MODELLED = 64  # voxels a side that an artist's surface comes from: as fine as candidates are

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class HiddenTruth:
    """One target of the shifted world behind the photograph called ``name``."""

    name: str
    target: SimulatedTarget

    @property
    def label(self) -> str:
        return self.target.scene.target.family

    @cached_property
    def surface(self) -> Floats:
        """Points (N x 3) on the true surface, object frame."""
        rng = np.random.default_rng([len(self.name), self.target.mask.sum()])
        return surface_points(self.target.truth, count=SURFACE_POINTS, rng=rng)

    @cached_property
    def surface_tree(self) -> cKDTree:
        """Of ``surface``: every candidate is held against it."""
        return cKDTree(self.surface)

    @cached_property
    def seen(self) -> tuple[Floats, Floats]:
        """Object-frame points (M x 3) that the photograph shows, and their colours there (M x 3, sRGB in [0, 1])."""
        scene, rows = self.target.scene, np.flatnonzero(self.target.mask.ravel())
        rows = rows[:: max(1, len(rows) // MOST_SEEN)]
        camera = self.target.points.reshape(-1, 3)[rows].astype(np.float64)
        known = np.isfinite(camera).all(axis=1)
        own = (camera[known] - scene.translation) @ scene.rotation / scene.scale
        return own, self.target.image.reshape(-1, 3)[rows][known] / 255.0

    def photograph(self) -> bytes:
        """PNG, as somebody hands it in."""
        return png_of(self.target.image)

    def mask(self) -> bytes:
        """PNG of the photograph's size, white where the object is."""
        return png_of(self.target.mask.astype(np.uint8) * 255)

    def point_map(self) -> bytes:
        """NPZ of camera-frame points (H x W x 3, metres) and the camera's matrix (3 x 3)."""
        camera = self.target.camera
        matrix = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
        stream = io.BytesIO()
        np.savez(stream, points=self.target.points, intrinsics=matrix)
        return stream.getvalue()

    def model(self) -> bytes:
        """The true shape as an artist would hand it in: GLB."""
        return glb_from_mesh(object_mesh(self.target.scene.target, resolution=MODELLED), name=self.label)


def hidden_truths(*, seed: int, start: int, count: int) -> Iterator[HiddenTruth]:
    """Targets numbered from ``start`` of the stream of ``seed``; the same numbers give the same truths."""
    for number in range(start, start + count):
        yield truth_behind(NAME.format(seed=seed, number=number))


def truth_behind(name: str) -> HiddenTruth:
    """What lies behind the photograph of that name; ValueError for one that no simulation handed in."""
    found = NAMED.fullmatch(name)
    if found is None:
        raise ValueError(f"{name} is no photograph of a simulation: its truth is not known")
    target = simulated_target(seed=int(found[1]), number=int(found[2]))
    return HiddenTruth(name=name, target=target)


def png_of(array: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
