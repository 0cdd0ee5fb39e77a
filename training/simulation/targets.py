"""Fresh targets for simulated annotation: photograph, mask, point map and the hidden truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzoo.conditioning import Condition, condition
from modelzoo.contracts import Intrinsics
from modelzoo.registry import Models
from training.data.objects import object_occupancy
from training.data.samples import HELD_OUT_STREAM
from training.data.scenes import AnnotatedWorld, Scene, make_scene, points_from_depth, render_scene

STREAM = 800_000  # streams from here to the held-out ones are for simulation alone
IMAGE_SIZE = 192
MIN_MASK_PIXELS, MIN_VISIBLE = 300, 0.3


@dataclass(frozen=True, kw_only=True)
class SimulatedTarget:
    """One masked object, what the model sees of it (``condition``), and what only the simulation knows (``scene``,
    ``truth``: solid occupancy R x R x R). ``name`` is unique over the seeds of a world."""

    name: str
    image: NDArray[np.uint8]  # H x W x 3
    mask: NDArray[np.bool_]  # H x W
    points: NDArray[np.float32]  # H x W x 3, camera frame, NaN at the sky
    camera: Intrinsics
    condition: Condition
    scene: Scene
    truth: NDArray[np.bool_]


def fresh_targets(
    models: Models, *, count: int, seed: int, start: int = 0, world: AnnotatedWorld = "shifted"
) -> tuple[SimulatedTarget, ...]:
    """``count`` targets of a world, numbered from ``start`` of the stream of ``seed``, always the same.

    Raises ValueError for a seed whose stream would be one of the held-out ones.
    """
    if not 0 <= seed < HELD_OUT_STREAM - STREAM - 1:
        raise ValueError(f"seed {seed} does not belong to the streams of simulation")
    preset = models.geometry.preset
    return tuple(
        simulated_target(
            seed=seed, number=number, world=world, size=preset.image_size, resolution=preset.resolution
        )
        for number in range(start, start + count)
    )


def simulated_target(
    *, seed: int, number: int, world: AnnotatedWorld = "shifted", size: int = 64, resolution: int = 64
) -> SimulatedTarget:
    """Target ``number`` of a seed's stream; ``size`` is of the condition's views, ``resolution`` of the truth."""
    for attempt in range(100):
        rng = np.random.default_rng([STREAM + 1 + seed, number, attempt])
        scene = make_scene(rng, world)
        camera = scene.intrinsics(IMAGE_SIZE)
        seen = render_scene(scene, rng, intrinsics=camera)
        if seen.mask.sum() >= MIN_MASK_PIXELS and seen.visible >= MIN_VISIBLE:
            break
    else:
        raise RuntimeError(f"no visible target in 100 draws of target {number} of seed {seed}")
    points = points_from_depth(seen.depth, camera)
    return SimulatedTarget(
        name=f"{seed}-{number}",
        image=seen.rgb,
        mask=seen.mask,
        points=points,
        camera=camera,
        condition=condition(seen.rgb, seen.mask, points, size=size),
        scene=scene,
        truth=object_occupancy(scene.target, resolution=resolution),
    )
