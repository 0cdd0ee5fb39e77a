"""The held-out objects that an evaluation kept to be looked at: the parent's candidates above the checkpoint's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import blobs


@dataclass(frozen=True, kw_only=True)
class ExampleShape:
    """One place of the grid; ``mesh_url`` is empty where there is no surface."""

    label: str
    mesh_url: str
    note: str


@dataclass(frozen=True, kw_only=True)
class EvaluationExample:
    """One object: two rows of ``columns`` shapes, each row led by the truth. ``change`` is of the shown mean IoU."""

    case: str
    family: str
    photo_url: str
    change: float | None
    columns: int
    shapes: tuple[ExampleShape, ...]


def examples_of(evaluation: dict[str, Any] | None) -> tuple[EvaluationExample, ...]:
    """The report's examples with their addresses; none in reports that were made before there were any."""
    return tuple(_example(each) for each in (evaluation or {}).get("examples", []))


def _example(each: dict[str, Any]) -> EvaluationExample:
    truth = ExampleShape(label="truth", mesh_url=_url(each["truth"]), note="")
    before = _row("parent", each["parent"], each["parent_ious"])
    after = _row("this", each["checkpoint"], each["checkpoint_ious"])
    means = [sum(ious) / len(ious) for ious in (each["parent_ious"], each["checkpoint_ious"]) if ious]
    return EvaluationExample(
        case=each["case"],
        family=each["family"],
        photo_url=blobs.url(each["photo"]),
        change=means[1] - means[0] if len(means) > 1 else None,
        columns=1 + len(before),
        shapes=(truth, *before, truth, *after),
    )


def _row(name: str, keys: list[str | None], ious: list[float]) -> tuple[ExampleShape, ...]:
    return tuple(
        ExampleShape(
            label=f"{name} {number}", mesh_url=_url(key), note=f"IoU {iou:.2f}" if key else "no surface"
        )
        for number, (key, iou) in enumerate(zip(keys, ious, strict=True), start=1)
    )


def _url(key: str | None) -> str:
    return blobs.url(key) if key else ""
