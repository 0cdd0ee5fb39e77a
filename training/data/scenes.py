"""Procedural scenes: an object alone (isolated), among others (composited), or "real" (shifted, foreign)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from training.data.draft import random_colour
from training.data.objects import ProceduralObject, World, make_object
from training.data.primitives import PLAIN, Floats, Primitives, concatenate
from training.data.raycast import CLUTTER, OCCLUDER, TARGET, Light, Planes, Rendering, Sky, render

SceneKind = Literal["isolated", "composited", "shifted", "foreign"]
#: Worlds that stand for what people meet, and that training renders neither of: ``shifted`` has the families that it
#: renders, stretched and in wider ranges; ``foreign`` has families that it never saw.
AnnotatedWorld = Literal["shifted", "foreign"]
_WORLD_OF_TARGET: Mapping[SceneKind, World] = {
    "isolated": "rendered",
    "composited": "rendered",
    "shifted": "shifted",
    "foreign": "foreign",
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A target object, its pose and everything around it, all in the OpenCV camera frame (metres).

    ``x_camera = rotation @ (scale * x_object) + translation``; the target's nearest face looks at the camera, so that
    the camera's azimuth in the object frame is within 45 degrees of -Y.
    """

    kind: SceneKind
    target: ProceduralObject
    rotation: Floats  # 3 x 3
    translation: Floats  # 3
    scale: float
    focal: float  # in units of the image side
    solids: Primitives
    labels: NDArray[np.int64]
    planes: Planes
    light: Light
    sky: Sky
    noise: float
    gamma: float

    def intrinsics(self, size: int) -> Intrinsics:
        """The camera of the whole (square) view at ``size`` pixels."""
        focal = self.focal * size
        return Intrinsics(fx=focal, fy=focal, cx=size / 2, cy=size / 2, width=size, height=size)


def make_scene(rng: Generator, kind: SceneKind) -> Scene:
    """Draw a scene. The object may turn out hidden; callers look at the rendering's mask."""
    wide = kind in ("shifted", "foreign")
    target = make_object(rng, world=_WORLD_OF_TARGET[kind], quarter_turns=int(rng.integers(0, 4)))
    low, high = target.solids.bounds()
    scale = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
    focal = float(np.exp(rng.uniform(np.log(1.0), np.log(2.2))))
    alone = kind == "isolated"
    elevation = np.deg2rad(rng.uniform(8, 50) if alone else rng.uniform(0 if wide else 2, 60 if wide else 55))
    azimuth = np.deg2rad(rng.uniform(-45, 45)) - np.pi / 2
    share = rng.uniform(0.5, 0.92) if alone else rng.uniform(0.22, 0.85)
    distance = focal * scale * float(np.linalg.norm(high - low)) / share
    centre = np.array([0.0, 0.0, -low[2] * scale])
    backward = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    eye = centre + distance * backward
    spread = (1.0 - share) * (0.3 if alone else 0.45)
    offset = rng.uniform(-spread, spread, 2)
    rotation = _look(eye, centre, roll=0.0 if alone else rng.normal(0, 0.06), offset=offset / focal)
    solids, labels = [target.solids.mapped(np.eye(3) * scale, centre)], [TARGET] * len(target.solids)
    if not alone:
        for part, label in _surroundings(rng, scale, distance, eye, centre, backward, wide):
            solids.append(part)
            labels += [label] * len(part)
    world = concatenate(solids)
    return Scene(
        kind=kind,
        target=target,
        rotation=rotation,
        translation=rotation @ (centre - eye),
        scale=scale,
        focal=focal,
        solids=world.mapped(rotation, -rotation @ eye),
        labels=np.array(labels, dtype=np.int64),
        planes=_planes(rng, rotation, eye, backward, scale, alone=alone),
        light=_light(rng, rotation, alone=alone),
        sky=_sky(rng, alone=alone),
        noise=0.0 if alone else float(rng.uniform(0.0, 0.06 if wide else 0.03)),
        gamma=1.0 if alone else float(np.exp(rng.normal(0, 0.18))),
    )


def render_scene(scene: Scene, rng: Generator, *, intrinsics: Intrinsics, supersample: int = 2) -> Rendering:
    """Render with the scene's sensor noise and gamma applied to the colours."""
    seen = render(
        scene.solids,
        scene.labels,
        scene.planes,
        scene.light,
        scene.sky,
        intrinsics=intrinsics,
        supersample=supersample,
    )
    if scene.noise == 0.0 and scene.gamma == 1.0:
        return seen
    values = (seen.rgb / 255.0) ** scene.gamma + rng.normal(0.0, scene.noise, seen.rgb.shape)
    rgb = np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return Rendering(rgb=rgb, depth=seen.depth, mask=seen.mask, num_target_rays=seen.num_target_rays)


def points_from_depth(depth: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Camera-frame points (H x W x 3) of a z-depth image; pixel centres at +.5."""
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise ValueError(f"depth is {depth.shape}, intrinsics say {(intrinsics.height, intrinsics.width)}")
    u = (np.arange(intrinsics.width, dtype=np.float32) + 0.5 - intrinsics.cx) / intrinsics.fx
    v = (np.arange(intrinsics.height, dtype=np.float32) + 0.5 - intrinsics.cy) / intrinsics.fy
    return np.stack([u[None] * depth, v[:, None] * depth, depth], axis=-1).astype(np.float32)


def _look(eye: Floats, at: Floats, *, roll: float, offset: Floats) -> Floats:
    """Rotation world to OpenCV camera that shows ``at`` at normalised image coordinates ``offset``."""
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    base = np.stack([right, np.cross(forward, right), forward])
    c, s = np.cos(roll), np.sin(roll)
    rolled = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ base
    ray = np.array([offset[0], offset[1], 1.0])
    ray /= np.linalg.norm(ray)
    axis = np.cross([0.0, 0.0, 1.0], ray)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    shown: Floats = (np.eye(3) + k + k @ k / (1.0 + ray[2])) @ rolled
    return shown


def _surroundings(
    rng: Generator,
    scale: float,
    distance: float,
    eye: Floats,
    centre: Floats,
    backward: Floats,
    wide: bool,
) -> list[tuple[Primitives, int]]:
    parts = []
    for _ in range(int(rng.integers(2, 11 if wide else 8))):
        angle, reach = rng.uniform(0, 2 * np.pi), scale * rng.uniform(0.85, 2.8)
        spot = np.array([np.cos(angle) * reach, np.sin(angle) * reach, 0.0])
        away = eye - spot
        if np.dot(away, backward) < 0.35 * distance:
            continue
        if rng.random() < 0.25:
            other = make_object(rng, world="shifted" if wide else "rendered").solids
            size = scale * float(np.exp(rng.normal(-0.2, 0.3)))
            turn = rng.uniform(0, 2 * np.pi)
            c, s = np.cos(turn), np.sin(turn)
            spin = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * size
            parts.append((other.mapped(spin, spot + np.array([0, 0, -other.bounds()[0][2] * size])), CLUTTER))
        else:
            half = scale * rng.uniform(0.08, 0.4, 3)
            parts.append((_single(rng, half, spot + np.array([0, 0, half[2]])), CLUTTER))
    if rng.random() < (0.7 if wide else 0.55):
        along = rng.uniform(0.35, 0.75) * distance
        size = scale * along / distance * rng.uniform(0.1, 0.42)
        edge = centre + scale * rng.uniform(-0.5, 0.5, 3)
        toward = (eye - edge) / np.linalg.norm(eye - edge)
        parts.append(
            (_single(rng, size * rng.uniform(0.4, 1.2, 3), edge + toward * (distance - along)), OCCLUDER)
        )
    return parts


def _single(rng: Generator, half: Floats, centre: Floats) -> Primitives:
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    forward = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.diag(half)
    return Primitives(
        kind=rng.integers(0, 3, 1),
        inverse=np.linalg.inv(forward)[None],
        centre=centre[None],
        carve_kind=np.array([-1]),
        carve_centre=np.zeros((1, 3)),
        carve_half=np.ones((1, 3)),
        colour=np.array([[random_colour(rng), random_colour(rng)]]),
        pattern=rng.choice(5, size=1, p=[0.6, 0.1, 0.1, 0.1, 0.1]) if half.min() > 0 else np.array([PLAIN]),
        frequency=rng.uniform(10, 40, 1) / half.max(),
        extent=half[None],
    )


def _planes(
    rng: Generator, rotation: Floats, eye: Floats, backward: Floats, scale: float, *, alone: bool
) -> Planes:
    """Ground (z = 0) and sometimes a wall behind the object, moved into the camera frame."""
    rows: list[tuple[Floats, float, Floats]] = []
    if not alone:
        if rng.random() < 0.88:
            rows.append((np.array([0.0, 0.0, 1.0]), 0.0, np.eye(3)[:2]))
        if rng.random() < 0.6:
            turn = np.arctan2(backward[1], backward[0]) + rng.uniform(-0.7, 0.7)
            normal = np.array([np.cos(turn), np.sin(turn), 0.0])
            side = np.array([-normal[1], normal[0], 0.0])
            rows.append((normal, -scale * rng.uniform(0.75, 4.0), np.stack([side, [0.0, 0.0, 1.0]])))
    count = len(rows)
    normal = np.array([row[0] for row in rows]).reshape(count, 3) @ rotation.T
    shift = np.array([row[1] - row[0] @ eye for row in rows]).reshape(count)
    colours = []
    for _ in range(count):
        first = np.array(random_colour(rng)) * 0.6 + 0.25
        second = first * rng.uniform(0.5, 1.2) if rng.random() < 0.7 else np.array(random_colour(rng))
        colours.append([first, second])
    return Planes(
        normal=normal,
        offset=shift,
        axes=np.array([row[2] for row in rows]).reshape(count, 2, 3) @ rotation.T,
        colour=np.array(colours).reshape(count, 2, 3),
        frequency=np.exp(rng.uniform(np.log(0.5), np.log(12.0), count)) / scale,
    )


def _light(rng: Generator, rotation: Floats, *, alone: bool) -> Light:
    if alone:
        return Light(
            direction=_unit(np.array([-0.4, -0.8, -0.5])), ambient=0.45, tint=np.ones(3), shadows=False
        )
    direction = rng.normal(size=3)
    direction[2] = abs(direction[2]) + 0.5
    return Light(
        direction=rotation @ _unit(direction),
        ambient=float(rng.uniform(0.3, 0.75)),
        tint=np.clip(rng.normal(1.0, 0.1, 3), 0.7, 1.3),
        shadows=bool(rng.random() < 0.6),
    )


def _sky(rng: Generator, *, alone: bool) -> Sky:
    if alone:
        pastel = 0.55 + 0.4 * rng.random(3)
        return Sky(colours=np.stack([pastel] * 3), frequency=1.0, amount=0.0, seed=0)
    colours = np.array([random_colour(rng) for _ in range(3)])
    if rng.random() < 0.6:
        colours[:2] = 0.5 * colours[:2] + 0.45
    frequency = float(np.exp(rng.uniform(np.log(2.0), np.log(30.0))))
    return Sky(
        colours=colours,
        frequency=frequency,
        amount=float(rng.uniform(0.0, 0.9)),
        seed=int(rng.integers(1, 999)),
    )


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)
