"""What the models take and give, in plain numpy: the only part of modelzoo that engine may import (no torch here).

Frames, everywhere in this project: the object frame is canonical, a unit cube [-0.5, 0.5]^3, Z-up; the camera
frame is OpenCV (x right, y down, z forward); GLB files are Y-up. A pose maps object points into the camera frame,
``x_camera = R @ (scale * x_object) + translation``, with R from ``rotation_wxyz`` and column vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Unit = str  # "m" when the point map is metric, "pointmap" when it is known up to one scale
Solver = Literal["euler", "midpoint", "shortcut"]

MIN_IMAGE_PX, MIN_MASK_PX = 8, 2  # per side, of the photograph and of the mask's bounding box


class RequestRefused(ValueError):
    """A request that no model can answer, refused before any compute. ``code`` is stable, for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SamplingFailed(RuntimeError):
    """Sampling gave numbers that are not finite, for these ``seeds``, again and again. ``code`` is stable."""

    code = "sampling_not_finite"

    def __init__(self, seeds: Sequence[int], message: str) -> None:
        super().__init__(message)
        self.seeds = tuple(seeds)


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
    """How candidates are drawn; stored with each candidate, so that it can be drawn again.

    Models see batches of exactly ``batch_rows`` candidates, the last one filled up, so that a candidate's numbers do
    not depend on its company; 0 makes one batch of whatever size, equal up to rounding only.
    """

    geometry_steps: int = 8
    geometry_rescale_t: float = 4.0
    geometry_cfg_strength: float = 1.0
    texture_steps: int = 2
    texture_rescale_t: float = 2.0
    texture_cfg_strength: float = 0.0
    geometry_solver: Solver = "euler"
    geometry_cfg_until: float = 0.5
    texture_solver: Solver = "euler"
    texture_cfg_until: float = 0.5
    batch_rows: int = 8
    source_options: dict[str, Any] = field(
        default_factory=dict
    )  # JSON: what a foreign source was told besides

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SamplerSettings:
        """Settings as they were stored, also by earlier versions. Raises ValueError for a field unknown here."""
        unknown = set(document) - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"unknown sampler settings: {', '.join(sorted(unknown))}")
        return cls(**document)


@dataclass(frozen=True, kw_only=True)
class CandidateRequest:
    """One target: photograph, mask and, when there is one, its point map at the photograph's size.

    Raises RequestRefused, whose ``code`` says what is wrong and whose message says what would be right.
    """

    image: NDArray[np.uint8]  # H x W x 3, sRGB
    mask: NDArray[np.bool_]  # H x W
    seeds: tuple[int, ...]  # one per candidate
    points: NDArray[np.float32] | None = None  # H x W x 3, OpenCV camera frame, NaN where unknown
    unit: Unit = "pointmap"
    approximate: bool = False  # the points are a guess: they place a candidate, they do not shape it
    settings: SamplerSettings = field(default_factory=SamplerSettings)

    def __post_init__(self) -> None:
        _check_image(self.image)
        _check_mask(self.mask, self.image.shape[:2])
        if self.points is not None:
            _check_points(self.points, self.image.shape)
        if not self.seeds:
            raise RequestRefused("seeds_missing", "seeds must name at least one candidate")
        if not all(0 <= seed < 2**63 for seed in self.seeds):
            raise RequestRefused("seed_out_of_range", f"seeds must be from 0 to 2^63 - 1, not {self.seeds}")


def _check_image(image: NDArray[Any]) -> None:
    if image.dtype != np.uint8:
        raise RequestRefused("image_dtype", f"image must be uint8 sRGB from 0 to 255, not {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise RequestRefused("image_shape", f"image must be H x W x 3, not {image.shape}")
    if min(image.shape[:2]) < MIN_IMAGE_PX:
        raise RequestRefused(
            "image_too_small",
            f"image must have at least {MIN_IMAGE_PX} pixels a side, not {image.shape[:2]}",
        )


def _check_mask(mask: NDArray[Any], size: tuple[int, ...]) -> None:
    if mask.dtype != np.bool_:
        raise RequestRefused("mask_dtype", f"mask must be bool, not {mask.dtype}: compare its levels first")
    if mask.shape != size:
        raise RequestRefused(
            "mask_shape", f"mask must have the photograph's size {tuple(size)}, not {mask.shape}"
        )
    if not mask.any():
        raise RequestRefused("mask_empty", "mask must mark at least one pixel")
    height, width = (int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1 for axis in (1, 0))
    if min(height, width) < MIN_MASK_PX:
        raise RequestRefused(
            "mask_too_small",
            f"mask must span at least {MIN_MASK_PX} x {MIN_MASK_PX} pixels, not {width} x {height}",
        )


def _check_points(points: NDArray[Any], shape: tuple[int, ...]) -> None:
    if points.dtype != np.float32:
        raise RequestRefused("points_dtype", f"points must be float32, not {points.dtype}")
    if points.shape != shape:
        raise RequestRefused(
            "points_shape", f"points must have the photograph's size {tuple(shape)}, not {points.shape}"
        )
    if not np.isfinite(points).all(axis=-1).any():
        raise RequestRefused(
            "points_all_unknown", "points know no pixel: pass None where there is no point map"
        )


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
