"""Stores how a person wants their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.errors import BadInput
from engine.models import PersonalSettings

MAX_COMMANDS = 400
MAX_KEYS = 4
MAX_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What shall change; None stays as it is. ``keys`` replaces all keys of one's own."""

    keys: Mapping[str, Sequence[str]] | None = None
    single_keys: bool | None = None
    language: str | None = None
    theme: str | None = None
    motion: str | None = None


def save_settings(*, user_id: int, wishes: Wishes) -> PersonalSettings:
    """The person's settings with ``wishes`` fulfilled. Raises BadInput for keys that no keyboard has.

    Whether two commands meet on one key is the page's question: it alone knows which can be reached at a time.
    """
    if wishes.keys is not None:
        _check_keys(wishes.keys)
    changes = {name: value for name, value in vars(wishes).items() if value is not None}
    saved, _ = PersonalSettings.objects.update_or_create(user_id=user_id, defaults=changes)
    return saved


def _check_keys(keys: Mapping[str, Sequence[str]]) -> None:
    if len(keys) > MAX_COMMANDS:
        raise BadInput(f"At most {MAX_COMMANDS} commands can have keys of your own, not {len(keys)}.")
    for command, strokes in keys.items():
        if not 0 < len(command) <= MAX_NAME or len(strokes) > MAX_KEYS:
            raise BadInput(f"A command has a name of 1 to {MAX_NAME} characters and at most {MAX_KEYS} keys.")
        for stroke in strokes:
            if not 0 < len(stroke) <= MAX_NAME or not stroke.isprintable():
                raise BadInput(f"{stroke[:MAX_NAME]!r} is not the name of a key of {command}.")
