"""Gold hidden among work: marked in silence, answered with what an ordinary answer would have got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection, models

from engine import events
from engine.errors import BadInput, NotFound
from engine.models import GoldAnswer, Project
from engine.services import gold
from engine.services.gold import Mark
from engine.services.own_work import OwnWork
from engine.services.tasks import announce_queue
from engine.states import Stage


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """What was sent, in the form that the mark reads; what the person's own list and an undo need of it."""

    sent: Mapping[str, Any]
    kept: Mapping[str, Any]


def set_share(*, project_id: int, floor: float, ceiling: float) -> Project:
    """Sets how much of new work is hidden gold, at least and at most. 0 and 0 hide none."""
    if not 0 <= floor <= ceiling <= 0.5:
        raise BadInput("Between 0 and half of the work may be gold, and the least not more than the most.")
    if not Project.objects.filter(pk=project_id).update(gold_floor=floor, gold_ceiling=ceiling):
        raise NotFound("There is no such project.")
    return Project.objects.get(pk=project_id)


def marked(work: OwnWork, given: Hidden) -> Callable[[], None]:
    """Marks the answer now, which reads blobs, and returns what writes the mark inside the transaction.

    Watchers of the project hear what they hear of any answer.
    """
    item = work.row.gold
    assert item is not None, "only hidden gold is marked here"
    return partial(_record, work, gold.mark(work, item, given.sent), given.kept)


def marked_escalation(work: OwnWork, *, reason: str) -> Callable[[], None]:
    """As ``marked``, of a person who handed it over: right only for a pick of which everything is to be avoided."""
    kept = {"escalated": reason}
    if work.row.stage == Stage.PICK:
        return marked(work, Hidden(sent={"winner": None}, kept=kept))
    return partial(_record, work, Mark(is_right=False, figures=kept, reference={}), kept)


def unused_ids(model: type[models.Model], *, how_many: int) -> list[int]:
    """Numbers that rows of ``model`` would have got, and that none will have. One statement."""
    if not how_many:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, how_many],
        )
        return [row[0] for row in cursor.fetchall()]


def _record(work: OwnWork, mark: Mark, kept: Mapping[str, Any]) -> None:
    held = work.row
    GoldAnswer.objects.create(assignment=held, is_right=mark.is_right, figures=mark.figures, sent=dict(kept))
    events.publish_change(held.task)
    announce_queue(project_id=held.project_id, stage=held.stage)
