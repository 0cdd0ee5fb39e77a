"""What the models take and give, in plain numpy: the only part of modelzoo that engine may import (no torch here).

Frames, everywhere in this project: the object frame is canonical, a unit cube [-0.5, 0.5]^3, Z-up; the camera
frame is OpenCV (x right, y down, z forward); GLB files are Y-up. A pose maps object points into the camera frame,
``x_camera = R @ (scale * x_object) + translation``, with R from ``rotation_wxyz`` and column vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Unit = str  # "m" when the point map is metric, "pointmap" when it is known up to one scale


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """Pinhole camera of an image of ``width`` x ``height``, all in pixels; pixel centres at +0.5."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.fx <= 0 or self.fy <= 0 or self.width <= 0 or self.height <= 0:
            raise ValueError("intrinsics need a positive focal length and a positive image size")

    def resized(self, *, width: int, height: int) -> Intrinsics:
        """The same camera for the image resized to ``width`` x ``height``."""
        u, v = width / self.width, height / self.height
        return Intrinsics(
            fx=self.fx * u, fy=self.fy * v, cx=self.cx * u, cy=self.cy * v, width=width, height=height
        )


@dataclass(frozen=True, kw_only=True)
class PointMapData:
    """H x W x 3 float32 points in the OpenCV camera frame, NaN where unknown."""

    points: NDArray[np.float32]
    intrinsics: Intrinsics
    metric: bool
    approximate: bool
    source: str

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or self.points.shape[2] != 3:
            raise ValueError(f"a point map is H x W x 3, not {self.points.shape}")

    @property
    def unit(self) -> Unit:
        return "m" if self.metric else "pointmap"


@dataclass(frozen=True, kw_only=True)
class Pose:
    """T_camera_object as a similarity: rotation (w, x, y, z), translation and one positive scale."""

    rotation_wxyz: tuple[float, float, float, float]
    translation: tuple[float, float, float]
    scale: float
    unit: Unit = "pointmap"
    frame: str = "camera_opencv"

    def __post_init__(self) -> None:
        norm = float(np.linalg.norm(self.rotation_wxyz))
        if not np.isfinite(norm) or abs(norm - 1.0) > 1e-3:
            raise ValueError(f"rotation_wxyz must be a unit quaternion, its norm is {norm:.4f}")
        if not np.all(np.isfinite(self.translation)):
            raise ValueError("translation must be three finite numbers")
        if not np.isfinite(self.scale) or self.scale <= 0:
            raise ValueError(f"scale must be positive, not {self.scale}")


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How candidates are drawn; stored with each candidate, so that it can be drawn again."""

    geometry_steps: int = 8
    geometry_rescale_t: float = 4.0
    geometry_cfg_strength: float = 1.0
    texture_steps: int = 2
    texture_rescale_t: float = 2.0
    texture_cfg_strength: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CandidateRequest:
    """One target: photograph, mask and, when there is one, its point map at the photograph's size."""

    image: NDArray[np.uint8]  # H x W x 3, sRGB
    mask: NDArray[np.bool_]  # H x W
    seeds: tuple[int, ...]  # one per candidate
    points: NDArray[np.float32] | None = None  # H x W x 3, OpenCV camera frame, NaN where unknown
    unit: Unit = "pointmap"
    approximate: bool = False  # the points are a guess: they place a candidate, they do not shape it
    settings: SamplerSettings = field(default_factory=SamplerSettings)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be H x W x 3 uint8, not {self.image.shape} {self.image.dtype}")
        if self.mask.shape != self.image.shape[:2] or self.mask.dtype != np.bool_:
            raise ValueError(
                f"mask must be {self.image.shape[:2]} bool, not {self.mask.shape} {self.mask.dtype}"
            )
        if not self.mask.any():
            raise ValueError("mask must mark at least one pixel")
        if self.points is not None and self.points.shape != self.image.shape:
            raise ValueError(f"points must be {self.image.shape}, not {self.points.shape}")
        if not self.seeds:
            raise ValueError("seeds must name at least one candidate")


@dataclass(frozen=True, kw_only=True)
class GeneratedCandidate:
    """One candidate, ready to be stored. ``fallbacks`` names every shortcut taken, so that a label can say so."""

    seed: int
    pose: Pose
    latents: bytes  # safetensors: shape (64 or more tokens), layout, slat coords and feats
    mesh_glb: bytes  # GLB, Y-up, vertex colours, full resolution
    preview_glb: bytes  # the same, decimated for the grid of eight
    splat_ply: bytes  # standard 3D Gaussian PLY in the object frame (Z-up)
    num_vertices: int
    num_faces: int
    num_splats: int
    settings: SamplerSettings
    fallbacks: tuple[str, ...] = ()


class CandidateSource(Protocol):
    """Whatever proposes candidates: our own model, retrieval, a port of a foreign model."""

    name: str

    def generate(self, request: CandidateRequest) -> Sequence[GeneratedCandidate]: ...


class LayoutSource(Protocol):
    """Whatever proposes a pose for a given shape in a given photograph."""

    name: str

    def propose_layout(self, request: CandidateRequest, *, latents: bytes) -> Sequence[Pose]:
        """One pose per seed of ``request``, for the shape stored in ``latents``."""
        ...


class PointMapSource(Protocol):
    """Whatever gives a photograph its point map: a sensor's file, an operator's estimator, our small depth net."""

    name: str

    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData: ...
