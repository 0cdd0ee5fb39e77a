"""Procedural coloured objects of three worlds, at most sixteen primitives each, repeatable by seed.

An object lives in the canonical frame: Z-up, bounding box centred, longest side .94 of the unit cube, its design front
towards -Y. Hidden sides get unpredictable attachments, so that one photograph admits several right answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.data.draft import Draft, Family, turn_x, turn_z
from training.data.families import FAMILIES
from training.data.foreign_families import FOREIGN_FAMILIES
from training.data.primitives import CYLINDER, Primitives, occupancy, surface_field

World = Literal["rendered", "shifted", "foreign"]
FILL = 0.94


@dataclass(frozen=True, kw_only=True)
class _Kinds:
    """Which families a world has, how often, and how far its objects stray from them."""

    families: Mapping[str, Family]
    weights: Mapping[str, float] = field(default_factory=dict)  # 1 for those that are not named
    spread: float = 1.0  # of the ranges that sizes are drawn from
    attachments: float = 1.0  # how often, as a multiple of the usual rates
    stretch: float = 0.07  # standard deviation of the log of each side


#: ``rendered`` is what training draws; ``shifted`` has the same families, stretched, from wider ranges and in other
#: numbers; ``foreign`` has families of its own. The last two stand for what people annotate.
_WORLDS: Mapping[World, _Kinds] = {
    "rendered": _Kinds(families=FAMILIES),
    "shifted": _Kinds(
        families=FAMILIES,
        weights={"blocks": 2.0, "vehicle": 1.8, "sofa": 1.6, "animal": 1.5},
        spread=1.45,
        attachments=1.75,
        stretch=0.18,
    ),
    "foreign": _Kinds(families=FOREIGN_FAMILIES, attachments=0.5, stretch=0.1),
}


@dataclass(frozen=True, kw_only=True)
class ProceduralObject:
    """One object and how it came to be."""

    family: str
    solids: Primitives


def make_object(rng: Generator, *, world: World = "rendered", quarter_turns: int = 0) -> ProceduralObject:
    """Draw an object of a world.

    ``quarter_turns`` turns it about Z before it is fitted, which is how its nearest face comes to the front.
    """
    kinds = _WORLDS[world]
    names = list(kinds.families)
    weights = np.array([kinds.weights.get(name, 1.0) for name in names])
    family = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    draft = Draft(rng=rng, spread=kinds.spread)
    kinds.families[family](draft)
    _attach(draft, family=family, rate=kinds.attachments)
    solids = draft.build()
    stretch = np.exp(rng.normal(0.0, kinds.stretch, 3))
    turn = turn_z(quarter_turns * np.pi / 2)
    return ProceduralObject(family=family, solids=fitted(solids.mapped(turn @ np.diag(stretch), np.zeros(3))))


def fitted(solids: Primitives) -> Primitives:
    """The same solids, moved and scaled so that their box is centred with its longest side at ``FILL``."""
    low, high = solids.bounds()
    scale = FILL / float((high - low).max())
    moved = solids.mapped(np.eye(3) * scale, -scale * (low + high) / 2)
    extent = 1.0 / np.sqrt((moved.inverse**2).sum(axis=2))
    return Primitives(**{**moved.__dict__, "extent": extent})


def object_occupancy(item: ProceduralObject, *, resolution: int = 64) -> NDArray[np.bool_]:
    """Solid occupancy [x, y, z] of the object's unit cube."""
    return occupancy(item.solids, resolution=resolution)


def object_colour(item: ProceduralObject, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Unlit colour (M x 3, RGB in [0, 1]) of the surface nearest to each of M canonical-frame points."""
    return surface_field(item.solids, points)[1]


def object_field(
    item: ProceduralObject, points: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signed distance (M, negative inside) and unlit colour (M x 3) at M canonical-frame points."""
    return surface_field(item.solids, points)


def _attach(d: Draft, *, family: str, rate: float) -> None:
    """Boxes, knobs and pipes on the back and the sides: what one photograph cannot tell."""
    low, high = d.build().bounds()
    middle, half = (low + high) / 2, (high - low) / 2
    blocks = family == "blocks"
    for axis, sign, probability in ((1, 1, 0.3), (0, 1, 0.12), (0, -1, 0.12), (1, -1, 0.05)):
        if not d.chance(min(0.9, (0.4 if blocks else probability) * rate)):
            continue
        size = np.array([d.between(0.03, 0.14) for _ in range(3)])
        spot = middle + d.rng.uniform(-0.6, 0.6, 3) * half
        spot[axis] = middle[axis] + sign * (half[axis] - 0.25 * size[axis])
        kind = int(d.rng.integers(0, 3))
        turn = turn_x(np.pi / 2) if kind == CYLINDER else None
        d.add(
            kind,
            (spot[0], spot[1], spot[2]),
            (size[0], size[1], size[2]),
            colour=int(d.rng.integers(0, 3)),
            turn=turn,
        )
