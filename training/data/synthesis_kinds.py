"""The four kinds of synthetic photographs of the paper, each example drawn by number: Iso-3DO, FO, OS-R and OS-A.

Every maker draws one composition or says in one word why what it drew is not kept. Sources: sections on Iso-3DO and
RP-3DO of the paper's appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from training.data.annotated import AnnotatedTargets
from training.data.composed import Composed
from training.data.composition import (
    MIN_INSERTED_SHARE,
    any_rotation,
    fitted_scale,
    insertion_refusal,
    nearest_wins,
    occlusion_refusal,
    pasted,
    size_refusal,
)
from training.data.lighting import fitted_light, lit_by_fit, lit_by_lamp, random_light
from training.data.photographs import Photographs
from training.data.placeable import ObjectSource, Placeable
from training.data.scenes import points_from_depth
from training.data.surfaces import Placement
from training.data.vacated import Vacated, vacated
from training.data.views import facing, sphere_directions

SynthesisKind = Literal["iso", "fo", "os-r", "os-a"]
KINDS: tuple[SynthesisKind, ...] = ("iso", "fo", "os-r", "os-a")
VIEWS_PER_OBJECT = 24
LOWEST, HIGHEST = -0.35, 0.94  # sine of the elevation of an isolated object's views
ZOOMS = (1.5, 2.2, 3.2, 5.0)  # how much wider than the real object the picture is that another is put into
STRENGTH_SPREAD = 0.15  # of the lamp's, in logarithms
DISTANCE = 10.0  # of a flying pair's target in its own sizes: any unit will do, the photograph has none


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What compositions are made from; ``side`` is that of the picture, in pixels."""

    objects: ObjectSource
    photographs: Photographs | None
    annotated: AnnotatedTargets | None
    side: int
    max_tilt_deg: float


def compose(
    kind: SynthesisKind, number: int, from_: Ingredients, rng: Generator, *, seed: int
) -> Composed | str:
    """Try to draw example ``number`` of a kind; a word when what was drawn breaks the kind's rules."""
    match kind:
        case "iso":
            return isolated_view(number, from_, rng, seed=seed)
        case "fo":
            return flying_pair(from_, rng, target_occludes=number % 3 == 0)
        case "os-r":
            return swapped_object(from_, rng)
        case "os-a":
            return annotated_object(number, from_, rng)


def isolated_view(number: int, from_: Ingredients, rng: Generator, *, seed: int) -> Composed | str:
    """View ``number % 24`` of object ``number // 24``, centred before a plain ground, under a lamp of its own."""
    own = np.random.default_rng([seed, number // VIEWS_PER_OBJECT])  # the same for all views of the object
    item = from_.objects.numbered(number // VIEWS_PER_OBJECT, own)
    direction = _turned(
        sphere_directions(VIEWS_PER_OBJECT)[number % VIEWS_PER_OBJECT], own.uniform(0, 2 * np.pi)
    )
    rotation = facing(-direction)
    camera = _camera(rng, from_.side)
    low, high = item.extent(np.eye(3))
    distance = camera.fx / camera.width * float(np.linalg.norm(high - low)) / rng.uniform(0.6, 0.95)
    at = Placement(rotation=rotation, translation=np.array([0.0, 0.0, distance]), scale=1.0)
    surface = item.seen(at, camera)
    colours = lit_by_lamp(surface, random_light(rng), strength=_strength(rng))
    ground = np.broadcast_to(255 * (0.55 + 0.4 * rng.random(3)), (camera.height, camera.width, 3))
    points = points_from_depth(np.where(surface.mask, surface.depth, np.nan).astype(np.float32), camera)
    return Composed(
        image=pasted(np.rint(ground).astype(np.uint8), colours, surface.mask),
        mask=surface.mask,
        points=points,
        camera=camera,
        item=item,
        at=at,
        depth=surface.depth,
    )


def flying_pair(from_: Ingredients, rng: Generator, *, target_occludes: bool) -> Composed | str:
    """An object before another, both in any orientation, over a photograph.

    The target is the hinder one, or, with ``target_occludes``, the nearer one, which is then seen whole.
    """
    assert from_.photographs is not None
    camera = _camera(rng, from_.side)
    back, front = from_.objects.draw(rng), from_.objects.draw(rng)
    middle = rng.uniform(-0.3, 0.3, 2)  # of the picture's side
    size = rng.uniform(0.25, 0.75)
    back_at = _flying(back, middle, size, DISTANCE, camera, rng, from_.max_tilt_deg)
    beside = middle + rng.uniform(-0.4, 0.4, 2) * size
    nearer = DISTANCE * rng.uniform(0.4, 0.7)
    front_at = _flying(front, beside, size * rng.uniform(0.35, 1.0), nearer, camera, rng, from_.max_tilt_deg)
    behind, before = back.seen(back_at, camera), front.seen(front_at, camera)
    left = nearest_wins(behind.depth, np.where(before.mask, before.depth, np.nan))
    refusal = occlusion_refusal(behind.mask, left)
    if refusal is None and target_occludes:
        refusal = size_refusal(before.mask) or _incomplete(before.mask, left)
    if refusal is not None:
        return refusal
    light, strength = random_light(rng), _strength(rng)
    image = pasted(
        from_.photographs.background(rng, size=from_.side),
        lit_by_lamp(behind, light, strength=strength),
        left,
    )
    image = pasted(image, lit_by_lamp(before, light, strength=strength), before.mask & ~left)
    item, at, surface = (front, front_at, before) if target_occludes else (back, back_at, behind)
    return Composed(
        image=image,
        mask=before.mask & ~left if target_occludes else left,
        points=None,
        camera=camera,
        item=item,
        at=at,
        depth=surface.depth,
    )


def swapped_object(from_: Ingredients, rng: Generator) -> Composed | str:
    """A random object in the place of a real one, as large as it, kept when it stands or is occluded there."""
    assert from_.photographs is not None
    targets = from_.photographs.targets
    number, mask = targets[int(rng.integers(len(targets)))]
    place = vacated(from_.photographs, number, mask, zoom=float(rng.choice(ZOOMS)), side=from_.side)
    if isinstance(place, str):
        return place
    item = from_.objects.draw(rng)
    rotation = any_rotation(rng, max_tilt_deg=from_.max_tilt_deg)
    low, high = item.extent(rotation)
    scale = fitted_scale(place.room, high - low)
    at = Placement(rotation=rotation, translation=place.centroid - scale * (low + high) / 2, scale=scale)
    if at.translation[2] + scale * low[2] <= 0:
        return "behind_the_camera"
    surface = item.seen(at, place.camera)
    refusal = insertion_refusal(surface.depth, place.depth)
    if refusal is not None:
        return refusal
    colours = lit_by_lamp(surface, random_light(rng), strength=_strength(rng))
    return _inserted(place, item, at, surface.depth, colours, nearest_wins(surface.depth, place.depth))


def annotated_object(number: int, from_: Ingredients, rng: Generator) -> Composed | str:
    """An accepted mesh at its annotated pose in its own photograph, under that photograph's light."""
    assert from_.annotated is not None
    zoom = ZOOMS[number // len(from_.annotated) % len(ZOOMS)]
    target = from_.annotated.target(number % len(from_.annotated), zoom=zoom)
    if isinstance(target.place, str):
        return target.place
    place = target.place
    surface = target.item.seen(target.at, place.camera)
    light = fitted_light(surface, target.photograph, target.mask)
    if light is None:
        return "unlit"
    # Where the real one was seen, so is its mesh; only beside it is the guessed scene asked.
    visible = surface.mask & (target.mask | nearest_wins(surface.depth, place.depth))
    if visible.sum() < MIN_INSERTED_SHARE * surface.mask.sum():
        return "hidden"
    colours = lit_by_fit(surface, light * _strength(rng))
    return _inserted(place, target.item, target.at, surface.depth, colours, visible)


def _inserted(
    place: Vacated,
    item: Placeable,
    at: Placement,
    depth: NDArray[np.float32],
    colours: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> Composed:
    own = points_from_depth(np.where(visible, depth, np.nan).astype(np.float32), place.camera)
    return Composed(
        image=pasted(place.image, colours, visible),
        mask=visible,
        points=np.where(visible[..., None], own, place.points).astype(np.float32),
        camera=place.camera,
        item=item,
        at=at,
        depth=depth,
    )


def _flying(
    item: Placeable,
    middle: NDArray[np.float64],
    size: float,
    distance: float,
    camera: Intrinsics,
    rng: Generator,
    max_tilt_deg: float,
) -> Placement:
    """An object in any orientation whose box is ``size`` picture sides long and ``middle`` of them off the centre."""
    rotation = any_rotation(rng, max_tilt_deg=max_tilt_deg)
    low, high = item.extent(rotation)
    focal = camera.fx / camera.width
    scale = size * distance / focal / float((high - low)[:2].max())
    centre = np.array([middle[0] * distance / focal, middle[1] * distance / focal, distance])
    return Placement(rotation=rotation, translation=centre - scale * (low + high) / 2, scale=scale)


def _camera(rng: Generator, side: int) -> Intrinsics:
    focal = side * float(np.exp(rng.uniform(np.log(1.0), np.log(2.2))))
    return Intrinsics(fx=focal, fy=focal, cx=side / 2, cy=side / 2, width=side, height=side)


def _strength(rng: Generator) -> float:
    return float(np.exp(rng.normal(0.0, STRENGTH_SPREAD)))


def _turned(direction: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """A direction of the sphere, turned about the vertical and brought into the band of elevations that is seen."""
    height = LOWEST + (HIGHEST - LOWEST) * (direction[2] + 1) / 2
    azimuth = np.arctan2(direction[1], direction[0]) + turn
    across = np.sqrt(1 - height**2)
    return np.array([across * np.cos(azimuth), across * np.sin(azimuth), height])


def _incomplete(mask: NDArray[np.bool_], hidden_by: NDArray[np.bool_]) -> str | None:
    """Why a target that should be seen whole is not, or None."""
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        return "cut"
    return "interlocked" if (mask & hidden_by).any() else None
