"""Who makes a target's candidates: which source how many of them, and how many our own model draws to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from engine.errors import BadInput
from engine.models.mix import Reward

OWN, RETRIEVAL = "candid8", "retrieval"
MOST_DRAWS = 64


class HasMix(Protocol):
    """A project, a round, or what was read of one."""

    @property
    def num_candidates(self) -> int: ...

    @property
    def source_mix(self) -> dict[str, int]: ...

    @property
    def num_draws(self) -> int | None: ...

    @property
    def reward(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class CandidateMix:
    """``counts`` names every source and adds up to N. With ``num_draws`` our own model draws so many shapes and keeps
    the best by ``reward``."""

    counts: Mapping[str, int]
    num_draws: int | None = None
    reward: str = ""

    @property
    def num_candidates(self) -> int:
        return sum(self.counts.values())

    @property
    def others(self) -> dict[str, int]:
        """Sources with workers of their own."""
        return {source: count for source, count in self.counts.items() if source not in (OWN, RETRIEVAL)}

    def text(self) -> str:
        """As people write it: "candid8 6, retrieval 2"."""
        return ", ".join(f"{source} {count}" for source, count in self.counts.items())


def known_sources() -> tuple[str, ...]:
    """What a mix may name: our own model, retrieval, and the ports that have a worker here."""
    return (OWN, RETRIEVAL, *settings.CANDIDATE_SOURCES)


def checked_mix(
    *, num_candidates: int, source_mix: Mapping[str, int], num_draws: int | None, reward: str
) -> CandidateMix:
    """The mix, or BadInput ``bad_num_candidates``, ``bad_mix``, ``bad_draws``. No source: our own model alone."""
    if not 2 <= num_candidates <= 64:
        raise BadInput(f"A round shows 2 to 64 candidates, not {num_candidates}.", code="bad_num_candidates")
    counts = dict(source_mix) or {OWN: num_candidates}
    for source, count in counts.items():
        if source not in known_sources():
            raise BadInput(
                f"{source!r} is no source here. There are {', '.join(known_sources())}; a port with a worker of its "
                "own is named in CANDIDATE_SOURCES.",
                code="bad_mix",
            )
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BadInput(
                f"{source} gives a whole number of candidates from 1 on, not {count!r}.", code="bad_mix"
            )
    if sum(counts.values()) != num_candidates:
        raise BadInput(
            f"The sources give {sum(counts.values())} candidates together, and the round shows {num_candidates}: "
            "they must add up.",
            code="bad_mix",
        )
    _check_draws(counts.get(OWN, 0), num_draws=num_draws, reward=reward)
    return CandidateMix(counts=counts, num_draws=num_draws, reward=reward)


def mix_of(row: HasMix) -> CandidateMix:
    """The mix of a project or a round, which was checked when it was written."""
    return CandidateMix(
        counts=row.source_mix or {OWN: row.num_candidates}, num_draws=row.num_draws, reward=row.reward
    )


def mix_from_text(text: str) -> dict[str, int]:
    """What "candid8 6, retrieval 2" says, with or without colons; raises BadInput ``bad_mix``. No text: no source."""
    mix: dict[str, int] = {}
    for part in filter(None, (part.replace(":", " ").replace("=", " ").strip() for part in text.split(","))):
        source, _, number = part.rpartition(" ")
        source, is_number = source.strip(), number.isascii() and number.isdigit() and len(number) < 4
        if not source or not is_number or source in mix:
            raise BadInput(
                f"{part!r} does not name a source once with its number, as in: candid8 6, retrieval 2.",
                code="bad_mix",
            )
        mix[source] = int(number)
    return mix


def _check_draws(own: int, *, num_draws: int | None, reward: str) -> None:
    if num_draws is None and not reward:
        return
    if num_draws is None or reward not in Reward.values:
        raise BadInput(
            "A pre-filter is how many are drawn and the reward that keeps the best "
            f"({', '.join(Reward.values)}): both, or neither.",
            code="bad_draws",
        )
    if not own:
        raise BadInput(f"A pre-filter draws with {OWN}, which this mix leaves out.", code="bad_draws")
    if not own < num_draws <= MOST_DRAWS:
        raise BadInput(
            f"To keep {own} of them, {own + 1} to {MOST_DRAWS} are drawn, not {num_draws}.", code="bad_draws"
        )
