"""Layout metrics of posed shapes (sam3d facts 7.1): box IoU, ICP rotation, ADD-S both ways, and plain pose errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.metrics.alignment import centred_start, icp
from training.metrics.boxes import OrientedBox, aligned_box_iou, oriented_box_iou
from training.metrics.pose import ADD_S_BAR, diameter, rotation_error_deg, scale_error, translation_error
from training.metrics.sampling import SampledSurface

LAYOUT_POINTS = 2_000  # of each posed surface
ICP_LOOKING = 800  # of those, that look for their nearest in each round of ICP

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """x_camera = rotation @ (scale * x_object) + translation."""

    rotation: Floats  # 3 x 3
    translation: Floats  # 3
    scale: float

    def place(self, points: Floats) -> Floats:
        """Object points (N x 3) in the camera frame."""
        placed: Floats = self.scale * (points @ self.rotation.T) + self.translation
        return placed


@dataclass(frozen=True, kw_only=True)
class LayoutMetrics:
    """One posed guess against its posed truth."""

    rotation_deg: float  # between the two rotations, blind to symmetry
    translation: float  # between the two object origins, as a share of the truth's longest side
    log_scale: float
    iou3d: float  # of the axis-aligned boxes in the camera frame, as the paper has it
    iou3d_oriented: float  # of the boxes in their own object frames
    icp_rot: float  # degrees that ICP turns the posed guess to lie on the posed truth
    adds: float  # both ways, over the truth's diameter
    adds_01: float  # 1 where that is below a tenth


#: What a guess without any surface gets: ADD-S as if it lay a diameter away. Rotation and translation are as drawn.
NO_SURFACE = {"iou3d": 0.0, "iou3d_oriented": 0.0, "icp_rot": 180.0, "adds": 1.0, "adds_01": 0.0}


class TrueLayout:
    """A posed truth prepared once for many guesses. ``surface`` is in the object frame, any unit the layout scales."""

    def __init__(self, surface: SampledSurface, layout: Layout, *, rng: Generator) -> None:
        self.layout = layout
        self.extent = _extent(layout.place(surface.points))
        self.points = layout.place(_some(surface.points, rng))
        self.tree = cKDTree(self.points)
        self.diameter = diameter(self.points)
        self.box = _box(surface, layout)
        self.size = float((surface.high - surface.low).max()) * layout.scale

    def measure(self, guess: SampledSurface, layout: Layout, *, rng: Generator) -> LayoutMetrics:
        """Truth and guess in one camera frame and unit; the two object frames may differ in scale and middle."""
        points = layout.place(_some(guess.points, rng))
        looking = points[:ICP_LOOKING]
        turned = icp(looking, self.tree, kind="rigid", start=centred_start(points, self.points))
        both_ways = self.tree.query(points)[0].mean() + cKDTree(points).query(self.points)[0].mean()
        adds = float(both_ways / (2.0 * self.diameter))
        return LayoutMetrics(
            rotation_deg=rotation_error_deg(layout.rotation, self.layout.rotation),
            translation=translation_error(layout.translation, self.layout.translation, size=self.size),
            log_scale=scale_error(layout.scale, self.layout.scale),
            iou3d=aligned_box_iou(_extent(layout.place(guess.points)), self.extent),
            iou3d_oriented=oriented_box_iou(_box(guess, layout), self.box),
            icp_rot=turned.angle_deg,
            adds=adds,
            adds_01=float(adds < ADD_S_BAR),
        )


def _some(points: Floats, rng: Generator) -> Floats:
    return points[rng.choice(len(points), min(LAYOUT_POINTS, len(points)), replace=False)]


def _extent(points: Floats) -> tuple[Floats, Floats]:
    return points.min(axis=0), points.max(axis=0)


def _box(surface: SampledSurface, layout: Layout) -> OrientedBox:
    half = np.maximum((surface.high - surface.low) / 2, 1e-9) * layout.scale
    return OrientedBox(centre=layout.place(surface.middle[None])[0], rotation=layout.rotation, half=half)
