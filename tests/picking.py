"""Picks as a person sends them: what was shown, a submit, a task handed over."""

from __future__ import annotations

from typing import Any

from engine.models import (
    Assignment,
)
from engine.selectors.tasks import PickTask, task_payload
from engine.services.stage2 import PickResult, escalate_pick, submit_pick
from tests.factories import NOW


def shown(held: Assignment) -> list[int]:
    payload = task_payload(held)
    assert isinstance(payload, PickTask)
    return [candidate.id for candidate in payload.candidates]


def submit(held: Assignment, *, result: PickResult | None = None, **options: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": "key-1",
        "seconds": 20.0,
        "result": result or pick(held),
        "now": NOW,
    }
    return submit_pick(**{**values, **options})


def pick(held: Assignment, **changes: Any) -> PickResult:
    values = {"winner": shown(held)[0], "mode": "grid", "shape_rating": 4, "texture_rating": 4}
    return PickResult(**{**values, **changes})


def escalate(
    held: Assignment, reason: str = "none_good", note: str = "a handle is missing", **options: Any
) -> Assignment:
    values: dict[str, Any] = {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "now": NOW,
    }
    return escalate_pick(reason=reason, note=note, **{**values, **options})
