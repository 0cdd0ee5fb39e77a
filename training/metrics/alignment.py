"""Point-to-point ICP with a closed-form fit, and the normalisation that comes before it (sam3d facts 7.1).

Which variant and which start the paper used is not stated. Here: rigid, from where both already lie (shapes, each in
[-1, 1]) or from coinciding centroids (posed shapes); every source point counts, none is rejected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.metrics.pose import rotation_error_deg
from training.metrics.sampling import SampledSurface

Floats = NDArray[np.float64]
Kind = Literal["rigid", "similarity"]

ROUNDS = 30
SETTLED = 1e-4  # relative change of the residual from one round to the next


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """x_target = scale * rotation @ x_source + translation; ``residual`` is the RMS of the last nearest distances."""

    rotation: Floats  # 3 x 3
    translation: Floats  # 3
    scale: float = 1.0
    residual: float = float("nan")

    def apply(self, points: Floats) -> Floats:
        """Source points (N x 3) in the target's frame."""
        moved: Floats = self.scale * (points @ self.rotation.T) + self.translation
        return moved

    @property
    def angle_deg(self) -> float:
        """How far the rotation turns, in degrees."""
        return rotation_error_deg(np.eye(3), self.rotation)


STAY = Alignment(rotation=np.eye(3), translation=np.zeros(3))


def to_unit_range(surface: SampledSurface, points: Floats) -> Floats:
    """Points of a surface's frame, moved and scaled so that its box is centred and its longest side is [-1, 1]."""
    longest = float((surface.high - surface.low).max())
    if longest <= 0:
        raise ValueError("a surface of no extent cannot be normalised")
    scaled: Floats = 2.0 * (points - surface.middle) / longest
    return scaled


def fit(source: Floats, target: Floats, *, kind: Kind) -> Alignment:
    """Least-squares alignment of N x 3 points onto N x 3 partners (Umeyama 1991); never a mirror image."""
    assert source.shape == target.shape and source.shape[1] == 3, (source.shape, target.shape)
    from_middle, to_middle = source.mean(axis=0), target.mean(axis=0)
    centred, partner = source - from_middle, target - to_middle
    left, stretch, right = np.linalg.svd(partner.T @ centred)
    keep = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * keep) @ right
    spread = float((centred**2).sum())
    scale = float((stretch * keep).sum()) / spread if kind == "similarity" and spread > 0 else 1.0
    return Alignment(rotation=rotation, translation=to_middle - scale * rotation @ from_middle, scale=scale)


def centred_start(source: Floats, target: Floats) -> Alignment:
    """The shift that lays one centroid on the other."""
    return Alignment(rotation=np.eye(3), translation=target.mean(axis=0) - source.mean(axis=0))


def icp(
    source: Floats, target: cKDTree, *, kind: Kind, start: Alignment = STAY, rounds: int = ROUNDS
) -> Alignment:
    """Iterated closest points of N x 3 ``source`` on the target's points, until the residual settles.

    Finds the nearest local minimum: where the start is far off, so is the answer.
    """
    found, before = start, np.inf
    for _ in range(rounds):
        distances, partners = target.query(found.apply(source))
        residual = float(np.sqrt((distances**2).mean()))
        if residual >= (1.0 - SETTLED) * before:
            break
        found, before = fit(source, target.data[partners], kind=kind), residual
    distances, _ = target.query(found.apply(source))
    return Alignment(
        rotation=found.rotation,
        translation=found.translation,
        scale=found.scale,
        residual=float(np.sqrt((distances**2).mean())),
    )
