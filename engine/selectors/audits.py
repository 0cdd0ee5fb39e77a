"""What was measured of a checkpoint on audit sets: human-made shapes that no dataset version trains on."""

from __future__ import annotations

from typing import Any

#: Where an evaluation keeps its audits, oldest first; nothing is ever taken out of the list.
AUDITS = "audits"


def audits_of(evaluation: dict[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """Newest first; each is the report of the measuring with its version, its project and its time."""
    return tuple(reversed((evaluation or {}).get(AUDITS, [])))
