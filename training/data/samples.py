"""One procedural training example: scene, two views, point map (sometimes spoilt), layout and occupancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.conditioning import (
    CROP_FACTOR,
    Normaliser,
    Square,
    box_values,
    crop_square,
    encode_layout,
    normaliser_of,
)
from modelzoo.contracts import Intrinsics
from training.data.objects import object_occupancy
from training.data.primitives import value_noise
from training.data.scenes import Scene, SceneKind, make_scene, points_from_depth, render_scene

MIN_MASK_PIXELS = 60  # of 64 x 64 crop pixels
MIN_VISIBLE = 0.25
HELD_OUT_STREAM = 900_000  # streams from here on are never trained on


@dataclass(frozen=True, kw_only=True)
class Example:
    """A target as the model sees it, with its answer. Normalised points are NaN where unknown."""

    kind: SceneKind
    family: str
    crop_rgb: NDArray[np.uint8]  # S x S x 3
    crop_mask: NDArray[np.bool_]  # S x S
    crop_points: NDArray[np.float32]  # S x S x 3, normalised
    full_rgb: NDArray[np.uint8]
    full_mask: NDArray[np.bool_]
    full_points: NDArray[np.float32]
    box: NDArray[np.float32]  # 4
    layout: NDArray[np.float32]  # 13, in the normalised frame
    normaliser: Normaliser
    occupancy: NDArray[
        np.bool_
    ]  # R x R x R, solid; axis 0 is the object's left to right, along which it is mirrored


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How often each world is drawn, and how often the point map is spoilt as a depth sensor would.

    ``foreign`` is for evaluations alone: a run that would train on it is refused (training/configs.py).
    """

    isolated: float = 0.25
    composited: float = 0.75
    shifted: float = 0.0
    foreign: float = 0.0
    spoilt_points: float = 0.35

    def draw_kind(self, rng: Generator) -> SceneKind:
        level = rng.random() * (self.isolated + self.composited + self.shifted + self.foreign)
        if level < self.isolated:
            return "isolated"
        if level < self.isolated + self.composited:
            return "composited"
        return "shifted" if level < self.isolated + self.composited + self.shifted else "foreign"


def make_example(
    *, stream: int, index: int, mixture: Mixture, size: int = 64, resolution: int = 64
) -> Example:
    """Example ``index`` of ``stream``, always the same; draws again until enough of the target shows."""
    for attempt in range(100):
        rng = np.random.default_rng([stream, index, attempt])
        example = _try_example(rng, mixture, size, resolution)
        if example is not None:
            return example
    raise RuntimeError(f"no visible target in 100 draws of example {index} of stream {stream}")


def _try_example(rng: Generator, mixture: Mixture, size: int, resolution: int) -> Example | None:
    scene = make_scene(rng, mixture.draw_kind(rng))
    spoilt = rng.random() < mixture.spoilt_points
    camera = scene.intrinsics(size)
    full = render_scene(scene, rng, intrinsics=camera, supersample=2)
    if full.mask.sum() < 8 or full.visible < MIN_VISIBLE:
        return None
    window = _jittered(crop_square(full.mask, factor=CROP_FACTOR), rng)
    zoom = size / window.side
    crop_camera = Intrinsics(
        fx=camera.fx * zoom,
        fy=camera.fy * zoom,
        cx=(camera.cx - window.left) * zoom,
        cy=(camera.cy - window.top) * zoom,
        width=size,
        height=size,
    )
    crop = render_scene(scene, rng, intrinsics=crop_camera, supersample=2)
    if crop.mask.sum() < MIN_MASK_PIXELS:
        return None
    middle = float(np.median(crop.depth[crop.mask]))
    warp = _DepthWarp(rng, middle) if spoilt else None
    crop_points = _points(crop.depth, crop_camera, warp, rng)
    full_points = _points(full.depth, camera, warp, rng)
    normaliser = normaliser_of(crop_points, crop.mask)
    whole = Square(left=0.0, top=0.0, side=float(size))
    inside = _inside(window, size)
    return Example(
        kind=scene.kind,
        family=scene.target.family,
        crop_rgb=np.where(inside[..., None], crop.rgb, 0).astype(np.uint8),
        crop_mask=crop.mask & inside,
        crop_points=_normalised(np.where(inside[..., None], crop_points, np.nan), normaliser),
        full_rgb=full.rgb,
        full_mask=full.mask,
        full_points=_normalised(full_points, normaliser),
        box=box_values(window, whole, known=True),
        layout=encode_layout(scene.rotation, scene.translation, scene.scale, normaliser),
        normaliser=normaliser,
        occupancy=object_occupancy(scene.target, resolution=resolution),
    )


class _DepthWarp:
    """What a sensor does to depth: slightly wrong relief, slow error, grain. The target stays where it is.

    Maps guessed from one photograph are far worse, and are never shown to the model (docs/log.md).
    """

    def __init__(self, rng: Generator, middle: float) -> None:
        self.middle = middle
        self.relief = float(rng.uniform(0.9, 1.1))
        self.sway = float(rng.uniform(0.0, 0.03))
        self.frequency = float(rng.uniform(1.0, 5.0))
        self.seed = int(rng.integers(1, 10_000))
        self.grain = float(rng.uniform(0.0, 0.008))

    def __call__(self, depth: NDArray[np.float32], camera: Intrinsics, rng: Generator) -> NDArray[np.float32]:
        rays = points_from_depth(np.ones_like(depth), camera)
        coarse = rays[::8, ::8, :2] * self.frequency
        sway = np.array([[value_noise(float(x), float(y), 0.5, self.seed) for x, y in row] for row in coarse])
        smooth = np.kron(sway, np.ones((8, 8))) - 0.5
        relative = np.log(depth / self.middle) * self.relief + self.sway * smooth
        relative += rng.normal(0.0, self.grain, depth.shape)
        spoilt: NDArray[np.float32] = (self.middle * np.exp(relative)).astype(np.float32)
        return spoilt


def _points(
    depth: NDArray[np.float32], camera: Intrinsics, warp: _DepthWarp | None, rng: Generator
) -> NDArray[np.float32]:
    return points_from_depth(depth if warp is None else warp(depth, camera, rng), camera)


def _normalised(points: NDArray[np.floating], normaliser: Normaliser) -> NDArray[np.float32]:
    return np.clip((points - normaliser.shift) / normaliser.scale, -60.0, 60.0).astype(np.float32)


def _jittered(window: Square, rng: Generator) -> Square:
    side = window.side * float(np.exp(rng.normal(0.0, 0.05)))
    left = window.left + (window.side - side) / 2 + float(rng.normal(0.0, 0.02)) * side
    top = window.top + (window.side - side) / 2 + float(rng.normal(0.0, 0.02)) * side
    return Square(left=left, top=top, side=side)


def _inside(window: Square, size: int) -> NDArray[np.bool_]:
    """Which crop pixels lie within the full view (outside is black and unknown, as in a photograph)."""
    centres = (np.arange(size) + 0.5) * window.side / size
    u, v = window.left + centres, window.top + centres
    return ((v >= 0) & (v < size))[:, None] & ((u >= 0) & (u < size))[None]


def scene_of(*, stream: int, index: int, kind: SceneKind) -> Scene:
    """A scene by number, for those who need more than an example (texture, depth)."""
    return make_scene(np.random.default_rng([stream, index]), kind)
