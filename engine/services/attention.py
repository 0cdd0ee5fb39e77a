"""How a person looked at candidates before judging them, and for how long; kept with the judgement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import BadInput

LOOKS = ("colour", "splat", "clay", "normals")
#: A day in milliseconds, beyond which a duration is a mistake.
MAX_MILLISECONDS = 86_400_000
#: Turns of the camera, or looks at the photograph, beyond which a count is a mistake.
MAX_TIMES = 100_000
#: A day: longer is a forgotten tab, not work.
MAX_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Durations in milliseconds, counts of gestures. A candidate that is not named was not looked at in that way."""

    dwell: Mapping[int, int] = field(default_factory=dict)  # large on the screen, or under the pointer
    orbits: Mapping[int, int] = field(default_factory=dict)  # turns of the camera that began on it
    orbits_of_all: int = 0  # turns of the camera by key, over the whole grid
    looks: Mapping[str, int] = field(default_factory=dict)  # how long each look was on
    photo_camera: int = 0  # how long the candidates were seen from where the photograph was taken
    flickers: int = 0  # times the photograph was laid over them


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What came before a task was handed over; ``inspected`` is how long each candidate was looked at large."""

    seconds: float | None = None
    inspected: Mapping[int, int] = field(default_factory=dict)
    attention: Attention | None = None


NOT_TOLD = Looked()


def check_looked(looked: Looked, *, ids: Sequence[int]) -> None:
    """Raises BadInput unless all of it is possible for somebody who was shown the candidates ``ids``, none of them."""
    if looked.seconds is not None:
        check_seconds(looked.seconds)
    if not ids and (looked.inspected or looked.attention is not None):
        raise BadInput("inspected and attention are of candidates to pick from: leave them out here.")
    check_inspected(looked.inspected, ids=ids)
    if looked.attention is not None:
        check_attention(looked.attention, ids=ids)


def check_seconds(seconds: float) -> None:
    """Raises BadInput for a time that nobody works on one task."""
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise BadInput(f"seconds must be between 0 and {MAX_SECONDS:.0f}, not {seconds}.")


def check_inspected(inspected: Mapping[int, int], *, ids: Sequence[int]) -> None:
    """Raises BadInput unless it maps candidates of ``ids`` to durations."""
    for one, milliseconds in inspected.items():
        if one not in ids or not 0 <= milliseconds <= MAX_MILLISECONDS:
            raise BadInput(
                f"inspected must map candidates of {', '.join(map(str, sorted(ids)))} to milliseconds, "
                f"not {one} to {milliseconds}."
            )


def check_attention(attention: Attention, *, ids: Sequence[int]) -> None:
    """Raises BadInput unless all of it is possible for somebody who was shown the candidates ``ids``."""
    for name, found, most in (
        ("dwell", attention.dwell, MAX_MILLISECONDS),
        ("orbits", attention.orbits, MAX_TIMES),
    ):
        for one, number in found.items():
            if one not in ids or not 0 <= number <= most:
                raise BadInput(
                    f"attention.{name} must map candidates of {', '.join(map(str, sorted(ids)))} to numbers "
                    f"from 0 to {most}, not {one} to {number}."
                )
    for look, number in attention.looks.items():
        if look not in LOOKS or not 0 <= number <= MAX_MILLISECONDS:
            raise BadInput(
                f"attention.looks must map {', '.join(LOOKS)} to milliseconds, not {look!r} to {number}."
            )
    for name, number, most in (
        ("orbits_of_all", attention.orbits_of_all, MAX_TIMES),
        ("photo_camera", attention.photo_camera, MAX_MILLISECONDS),
        ("flickers", attention.flickers, MAX_TIMES),
    ):
        if not 0 <= number <= most:
            raise BadInput(f"attention.{name} must be from 0 to {most}, not {number}.")


def inspected_json(inspected: Mapping[int, int] | None) -> dict[str, int]:
    """As a row keeps it."""
    return {str(one): milliseconds for one, milliseconds in (inspected or {}).items()}


def attention_json(attention: Attention | None) -> dict[str, Any]:
    """As a row keeps it and as the page sent it; empty when nothing is known."""
    if attention is None:
        return {}
    return {
        "dwell": {str(one): number for one, number in attention.dwell.items()},
        "orbits": {str(one): number for one, number in attention.orbits.items()},
        "orbits_of_all": attention.orbits_of_all,
        "looks": dict(attention.looks),
        "photo_camera": attention.photo_camera,
        "flickers": attention.flickers,
    }


def num_orbits(kept: Mapping[str, Any]) -> int:
    """Turns of the camera, on one or on all, of attention as a row keeps it; 0 when nothing is known."""
    turns: int = kept.get("orbits_of_all", 0) + sum(kept.get("orbits", {}).values())
    return turns
