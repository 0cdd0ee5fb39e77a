"""Samples for the texture flow: a crop of a procedural photograph, a slightly wrong shape, and the true cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.conditioning import crop_square
from modelzoo.contracts import Intrinsics
from modelzoo.models.cells import active_cells
from modelzoo.texture_conditioning import crop_camera
from training.data.cells import ObjectCells, cells_of, display_colour, object_field, perturbed
from training.data.raycast import Rendering
from training.data.scenes import Scene, SceneKind, make_scene, points_from_depth, render_scene

MIN_MASK_PIXELS = 60  # of the 64 x 64 view that finds the crop


@dataclass(frozen=True, kw_only=True)
class TexturedSample:
    """One target: the crop, its camera and true pose, the shape the model is given and what is really there."""

    rgb: NDArray[np.uint8]  # S x S x 3
    mask: NDArray[np.bool_]  # S x S
    depth: NDArray[np.float32]  # S x S, NaN where unknown
    camera: NDArray[np.float32]  # 4, see texture_conditioning.crop_camera
    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]
    scale: float
    occupancy: NDArray[np.float16]  # R x R x R, probabilities of the shape that is given
    cells: ObjectCells

    def without_volumes(self) -> TexturedSample:
        """Only the photograph, the pose and where the cells lie: what is small enough to keep thousands of."""
        nothing = np.empty(0, np.float32)
        bare = ObjectCells(
            coords=self.cells.coords, field=nothing, colour=nothing, surface=nothing, normal=nothing
        )
        return replace(self, occupancy=np.empty(0, np.float16), cells=bare)


def draw_textured_sample(*, stream: int, index: int, size: int, grid: int) -> TexturedSample | None:
    """A repeatable sample on ``grid`` cells of 4 voxels a side, or None when too little of its target shows."""
    rng = np.random.default_rng([stream, index])
    kind: SceneKind = ("isolated", "composited", "shifted")[int(rng.choice(3, p=[0.3, 0.4, 0.3]))]
    scene = make_scene(rng, kind)
    found = render_scene(scene, rng, intrinsics=scene.intrinsics(64), supersample=1)
    if found.mask.sum() < MIN_MASK_PIXELS:
        return None
    window = crop_square(found.mask)
    whole = scene.intrinsics(64)
    zoom = size / window.side
    crop = Intrinsics(
        fx=whole.fx * zoom,
        fy=whole.fy * zoom,
        cx=(whole.cx - window.left) * zoom,
        cy=(whole.cy - window.top) * zoom,
        width=size,
        height=size,
    )
    seen = render_scene(scene, rng, intrinsics=crop, supersample=2 if rng.random() < 0.5 else 1)
    field = object_field(scene.target, resolution=4 * grid)
    given = perturbed(field, rng, amplitude=float(rng.choice([0.3, 0.8, 1.5])))
    coords = active_cells(torch.from_numpy(given > 0)[None], grid=grid, max_cells=1536)[0].numpy()
    content = cells_of(scene.target, coords, grid=grid)
    gain = _exposure(scene, seen, crop)
    return TexturedSample(
        rgb=seen.rgb,
        mask=seen.mask,
        depth=seen.depth,
        camera=crop_camera(whole, window),
        rotation=scene.rotation.astype(np.float32),
        translation=scene.translation.astype(np.float32),
        scale=scene.scale,
        occupancy=(1 / (1 + np.exp(-np.clip(3 * given, -12, 12)))).astype(np.float16),
        cells=replace(content, colour=np.clip(content.colour * gain, 0, 1)),
    )


def _exposure(scene: Scene, seen: Rendering, camera: Intrinsics) -> NDArray[np.float32]:
    """What evens out exposure and tint (3): true colours times this have the photograph's mean over the mask.

    A photograph does not tell a bright thing in shade from a dark one in the sun, and people compare a candidate with
    the photograph; only shading within the object is left for the model to take out.
    """
    shown = seen.mask & np.isfinite(seen.depth)
    if shown.sum() < MIN_MASK_PIXELS:
        return np.ones(3, np.float32)
    points = points_from_depth(seen.depth, camera)[shown]
    true = display_colour(scene.target, (points - scene.translation) @ scene.rotation / scene.scale)
    ratio = (seen.rgb[shown].mean(axis=0) / 255) / np.maximum(true.mean(axis=0), 0.02)
    return np.asarray(np.clip(ratio, 0.25, 3.0), dtype=np.float32)


def jittered_pose(
    sample: TexturedSample, rng: Generator, *, amount: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The sample's pose with errors as the layout model makes them, times ``amount``: degrees, shift and size."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = amount * np.deg2rad(rng.normal(0, 9.0))
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    shift = amount * sample.scale * rng.normal(0, [0.04, 0.04, 0.08])
    grow = float(np.exp(amount * rng.normal(0, 0.05)))
    return (
        (sample.rotation @ turn).astype(np.float32),
        (sample.translation + shift).astype(np.float32),
        sample.scale * grow,
    )
