"""A loop that learns from what people accepted of it, in numbers alone: what its own bias does, with and without brake.

Shapes are points. A model is the points it was trained on: a candidate for a target is one of them near to what the
photograph shows of it, a little changed; what is trained on much comes up much. People take the best of N when it is
near enough, the target's artist models some of the rest, and what was accepted so far is the next model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ranking.bias import coverage, effective_number

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


#: Shapes whose differences are counted.
SAMPLE = 150


@dataclass(frozen=True, kw_only=True)
class World:
    """How targets lie, how well people see, and how much artists and a library give."""

    classes: int = 24
    dimensions: int = 6
    hidden: int = 3  # of them that no photograph shows: people cannot judge them, artists know them
    zipf: float = 1.2  # class k comes with a share of 1 / k ** zipf
    within: float = 0.25  # spread of a class
    blur: float = 0.35  # of what a photograph shows
    reach: float = 0.45  # over which a model looks for a point near what it sees
    change: float = 0.1  # of a candidate against the point it is made of
    smooths: float = (
        0.3  # how far a candidate is drawn to the middle of what was learnt nearby: models lose detail
    )
    eye: float = 0.08  # noise of a person's look
    accepts: float = 0.55  # the largest distance that is near enough
    targets: int = 300  # a round
    candidates: int = 8
    artists: int = 20  # models a round
    library: int = 0  # of a target's candidates by another source, which knows every class alike
    start: int = 60  # demonstrations that the first model was trained on, by people


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One round: our own share of all demonstrations that are trained on, and what the model trained on them can do."""

    own_share: float
    accepted: float  # of targets, by picking
    coverage: float  # of held-out human-made shapes by what is trained on
    different: float  # effective number of shapes trained on
    error: float  # of the best of N on the held-out shapes, equal for all classes
    tail_error: float  # of the rarer half of the classes


def turn_rounds(
    world: World, *, rounds: int, least_foreign: float, rng: np.random.Generator
) -> tuple[Turn, ...]:
    """The loop for some rounds. ``least_foreign``: the brake, as dataset versions hold it; 0 is none.

    The same generator state gives the same targets, photographs and start in every arm.
    """
    centres = rng.normal(size=(world.classes, world.dimensions))
    audit_class = np.repeat(np.arange(world.classes), 8)
    audit = centres[audit_class] + rng.normal(size=(len(audit_class), world.dimensions)) * world.within
    targets = [_targets(world, centres, world.targets, rng) for _ in range(rounds)]
    people, _ = _targets(world, centres, world.start, rng)
    human = [people]
    own = [np.empty((0, world.dimensions))]
    marks = [np.empty(0)]
    trained = people
    found = []
    for number, (shapes, _) in enumerate(targets):
        draw = np.random.default_rng([number, int(1000 * least_foreign), int(rng.integers(2**31))])
        winners, distances, from_library = _best_of(world, trained, shapes, centres, draw)
        is_taken = distances + draw.normal(size=len(shapes)) * world.eye < world.accepts
        hard = np.flatnonzero(~is_taken)[: world.artists]
        human += [shapes[hard], winners[is_taken & from_library]]
        own.append(winners[is_taken & ~from_library])
        marks.append(distances[is_taken & ~from_library])
        foreign, mine = np.concatenate(human), np.concatenate(own)
        mine = mine[_let_pass(np.concatenate(marks), num_foreign=len(foreign), least_foreign=least_foreign)]
        trained = np.concatenate([foreign, mine])
        best, _, _ = _best_of(world, trained, audit, centres, draw, with_library=False)
        errors = np.linalg.norm(best - audit, axis=1)
        tail = audit_class >= world.classes // 2
        found.append(
            Turn(
                own_share=len(mine) / len(trained),
                accepted=float(is_taken.mean()),
                coverage=coverage(trained, audit),
                different=effective_number(
                    trained[draw.permutation(len(trained))[:SAMPLE]], bandwidth=world.within * 2
                ),
                error=float(errors.mean()),
                tail_error=float(errors[tail].mean()),
            )
        )
    return tuple(found)


def arms(
    world: World, *, rounds: int, brakes: Sequence[float], seeds: Sequence[int]
) -> dict[float, NDArray[np.float64]]:
    """By brake: (seeds, rounds, 6) in the order of Turn's fields. One seed begins alike in all arms."""
    return {
        least: np.array(
            [
                [
                    (t.own_share, t.accepted, t.coverage, t.different, t.error, t.tail_error)
                    for t in turn_rounds(
                        world, rounds=rounds, least_foreign=least, rng=np.random.default_rng(seed)
                    )
                ]
                for seed in seeds
            ]
        )
        for least in brakes
    }


def _targets(world: World, centres: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    shares = 1.0 / np.arange(1, world.classes + 1) ** world.zipf
    kind = rng.choice(world.classes, size=count, p=shares / shares.sum())
    return centres[kind] + rng.normal(size=(count, world.dimensions)) * world.within, kind


def _best_of(
    world: World,
    trained: Floats,
    shapes: Floats,
    centres: Floats,
    rng: np.random.Generator,
    *,
    with_library: bool = True,
) -> tuple[Floats, Floats, Bools]:
    """Each target's nearest candidate by what is shown, how near that is, and whether the library gave it."""
    shown = world.dimensions - world.hidden
    seen = shapes[:, :shown] + rng.normal(size=(len(shapes), shown)) * world.blur
    squares = ((seen[:, None] - trained[None, :, :shown]) ** 2).sum(axis=2)
    weights = np.exp(-(squares - squares.min(axis=1, keepdims=True)) / (2 * world.reach**2))
    weights /= weights.sum(axis=1, keepdims=True)  # one trained on twice comes up twice as often
    ends = weights.cumsum(axis=1)
    draws = rng.random((len(shapes), world.candidates)) * ends[:, -1:]
    chosen = np.stack([np.searchsorted(row, each) for row, each in zip(ends, draws, strict=True)])
    made = trained[np.minimum(chosen, len(trained) - 1)]
    made = made + world.smooths * ((weights @ trained)[:, None] - made)
    made = made + rng.normal(size=made.shape) * world.change
    library = world.library if with_library else 0
    if library:
        kind = rng.integers(world.classes, size=(len(shapes), library))
        made[:, :library] = centres[kind] + rng.normal(size=(*kind.shape, world.dimensions)) * world.within
    distances = np.linalg.norm((made - shapes[:, None])[:, :, :shown], axis=2)
    best = distances.argmin(axis=1)
    rows = np.arange(len(shapes))
    return made[rows, best], distances[rows, best], best < library


def _let_pass(distances: Floats, *, num_foreign: int, least_foreign: float) -> Ints:
    """Which of our own demonstrations the brake lets pass: the best ones, as many as the share allows."""
    if least_foreign <= 0:
        return np.arange(len(distances))
    allowed = int(num_foreign * (1 - least_foreign) / least_foreign + 1e-9)
    return np.argsort(distances, kind="stable")[:allowed]
