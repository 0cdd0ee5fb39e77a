"""How simulated people differ: how sharp, biased, careless, quick. Nothing here is measured of real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["careful", "biased", "lazy", "spammer"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """``noise`` is the standard deviation of one look, in units of a candidate's worth.

    ``careless`` is the share of answers given without looking, ``first_cell`` what the first place on the screen adds
    to a look, ``generosity`` what is added to every mark; ``hurry`` divides the time an answer takes. Whose best look
    lies below ``none_below`` hands the target to an artist: what would get the mark 1 is no answer.
    """

    kind: Kind
    noise: float = 0.08
    careless: float = 0.0
    first_cell: float = 0.0
    generosity: float = 0.0
    hurry: float = 1.0
    none_below: float = 0.35  # where the mark 2 begins (people.MARKS)
    indifference: float = 0.25  # two looks closer than this times the noise are called equal
    rotation_deg: float = 5.0
    translation: float = 0.03  # of the object's size
    log_scale: float = 0.03
    mask_px: int = 1  # how far a mask's edge may be off

    def __post_init__(self) -> None:
        if self.noise < 0 or not 0 <= self.careless <= 1 or self.hurry <= 0:
            raise ValueError("noise must not be negative, careless must be a share, hurry positive")


CAREFUL = Profile(kind="careful")
BIASED = Profile(kind="biased", first_cell=0.06, generosity=0.08)
LAZY = Profile(kind="lazy", noise=0.16, careless=0.15, hurry=2.0, rotation_deg=10.0, mask_px=3)
SPAMMER = Profile(kind="spammer", careless=1.0, hurry=20.0, none_below=-1.0, rotation_deg=40.0, mask_px=6)


def crew(count: int) -> tuple[Profile, ...]:
    """``count`` people: mostly careful ones, one biased of three, one lazy of four, and from five on one spammer."""
    if count < 1:
        raise ValueError("a crew needs at least one person")
    people = [BIASED if number % 3 == 2 else LAZY if number % 4 == 3 else CAREFUL for number in range(count)]
    if count >= 5:
        people[-1] = SPAMMER
    return tuple(people)


def with_noise(profile: Profile, noise: float) -> Profile:
    """The same person with other eyes; a lazy one stays twice as blunt as a careful one."""
    return replace(profile, noise=noise * profile.noise / CAREFUL.noise)
