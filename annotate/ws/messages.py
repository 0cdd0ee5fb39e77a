"""The messages a page gets over its WebSocket; frontend/src/net/events.generated.ts is written from these types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, get_args, get_origin, get_type_hints

RowKind = Literal[
    "image.changed",
    "point_map.changed",
    "target.changed",
    "batch.changed",
    "batch_part.changed",
    "task.changed",
    "assignment.changed",
    "artist_case.changed",
    "round.changed",
    "dataset.changed",
    "run.changed",
    "checkpoint.changed",
    "job.changed",
    "guideline.changed",
    "quiz_attempt.changed",
    "standing.changed",
    "review.changed",
    "arena.changed",
    "arena_match.changed",
]


class Hello(TypedDict):
    """The first message of a connection."""

    type: Literal["hello"]
    seq: int


class Pong(TypedDict):
    """The answer to the page's ``{"type": "ping"}``."""

    type: Literal["pong"]
    seq: int


class RowChanged(TypedDict):
    """A row has a new status; ``id`` is its uuid where it has one (assignments, images, jobs), else its number."""

    type: RowKind
    seq: int
    id: str
    status: str


class QueueChanged(TypedDict):
    """Work of a stage came or went."""

    type: Literal["queue.changed"]
    seq: int
    stage: Literal["object", "pick", "pose"]


class RunProgress(TypedDict):
    """How far a training run is."""

    type: Literal["run.progress"]
    seq: int
    id: str
    step: int
    total: int


class DeploymentChanged(TypedDict):
    """What serves has changed; the generation is left out where only the row's status is known."""

    type: Literal["deployment.changed"]
    seq: int
    id: str
    status: str
    generation: NotRequired[int]


ServerMessage = Hello | Pong | RowChanged | QueueChanged | RunProgress | DeploymentChanged

MESSAGES: tuple[type, ...] = get_args(ServerMessage)


def kinds_of(message: type) -> tuple[str, ...]:
    """The values of ``type`` that a message may have."""
    return get_args(get_type_hints(message)["type"])


#: kind > the fields that a message of it carries, of those the engine publishes.
FIELDS: Mapping[str, frozenset[str]] = {
    kind: frozenset(get_type_hints(message)) - {"type", "seq"}
    for message in MESSAGES
    for kind in kinds_of(message)
}


def message_of(body: Mapping[str, Any], *, seq: int) -> dict[str, Any] | None:
    """The engine's event as a message, with nothing in it that the page does not know; None for an unknown kind."""
    fields = FIELDS.get(str(body.get("type")))
    if fields is None:
        return None
    return {"type": body["type"], "seq": seq, **{name: body[name] for name in fields if name in body}}


def typescript() -> str:
    """The messages as TypeScript."""
    parts = [
        "/** What the server says over the WebSocket. Written by `manage.py write_event_types`; do not edit. */"
    ]
    parts += [_interface(message) for message in MESSAGES]
    parts.append(f"export type ServerMessage = {' | '.join(message.__name__ for message in MESSAGES)};")
    return "\n\n".join(parts) + "\n"


def _interface(message: type) -> str:
    hints = get_type_hints(message, include_extras=True)
    lines = [f"  {_member(name, hint)}" for name, hint in hints.items()]
    return "\n".join([f"/** {message.__doc__} */", f"export interface {message.__name__} {{", *lines, "}"])


def _member(name: str, hint: Any) -> str:
    if get_origin(hint) is NotRequired:
        return f"{name}?: {_type(get_args(hint)[0])};"
    return f"{name}: {_type(hint)};"


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(f'"{value}"' for value in get_args(hint))
    return {int: "number", str: "string"}[hint]
