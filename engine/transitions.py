"""The one function that moves a status: allowed move, conditional update, journal row, event, one transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models
from django.db.models import TextChoices, sql
from django.utils import timezone

from engine import events
from engine.errors import IllegalTransition, StaleTransition
from engine.models.journal import StateChange
from engine.states import is_allowed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who moves the row: a person, or a named process such as 'worker' or 'beat'."""

    user_id: int | None = None
    name: str = ""


def transition(
    row: models.Model,
    to: TextChoices,
    *,
    by: Actor,
    reason: str = "",
    changes: dict[str, Any] | None = None,
    guard: dict[str, Any] | None = None,
) -> None:
    """Moves ``row`` to ``to`` with ``changes`` to other fields, or raises and changes nothing.

    Costs one SQL statement: the update and its journal row are one data-modifying CTE. ``guard`` adds conditions to
    the update (a live lease token, say). Must run inside a transaction. Raises IllegalTransition when the machine
    has no such move, StaleTransition when the row is no longer where ``row`` says. ``row`` is brought up to date.
    """
    assert connection.in_atomic_block, "transition() needs a surrounding transaction"
    old = getattr(row, "status")
    machine = type(to)
    if not is_allowed(old, to, machine=machine):
        raise IllegalTransition(f"A {row._meta.verbose_name} cannot go from {old} to {to.value}.")
    fields = {"status": to.value, **(changes or {})}
    if _move(row, old=str(old), fields=fields, guard=guard or {}, by=by, reason=reason) != 1:
        raise StaleTransition(f"This {row._meta.verbose_name} was changed by someone else in the meantime.")
    for name, value in fields.items():
        setattr(row, name, value)
    events.publish_change(row)
    log.info(
        "%s %s: %s > %s", row._meta.model_name, row.pk, old, to.value, extra={"by": by.name, "reason": reason}
    )


def record_creation(row: models.Model, *, by: Actor, reason: str = "") -> None:
    """Writes the journal row of a row's first status and announces it. Must run inside a transaction."""
    StateChange.objects.create(
        model=row._meta.model_name,
        object_id=row.pk,
        old="",
        new=str(getattr(row, "status")),
        actor_id=by.user_id,
        actor_name=by.name,
        reason=reason,
    )
    events.publish_change(row)


def _move(
    row: models.Model, *, old: str, fields: dict[str, Any], guard: dict[str, Any], by: Actor, reason: str
) -> int:
    """The conditional update and the journal row as one statement; the number of rows moved."""
    rows = type(row)._default_manager.filter(pk=row.pk, status=old, **guard)
    update = rows.query.chain(sql.UpdateQuery)
    update.add_update_values(fields)
    update_sql, update_params = update.get_compiler(connection=connection).as_sql()
    key, journal = row._meta.pk.column, StateChange._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'WITH moved AS ({update_sql} RETURNING "{key}") '
            f'INSERT INTO "{journal}" (model, object_id, "old", "new", actor_id, actor_name, reason, at) '
            f'SELECT %s, "{key}", %s, %s, %s, %s, %s, %s FROM moved',
            [
                *update_params,
                row._meta.model_name,
                old,
                fields["status"],
                by.user_id,
                by.name,
                reason,
                timezone.now(),
            ],
        )
        return int(cursor.rowcount)



