"""The one way to move a status: allowed move, conditional update, journal row, event, one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
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

REASON_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who moves the row: a person, or a named process such as 'worker' or 'beat'."""

    user_id: int | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One row's way to ``to``, with ``changes`` to other fields and ``guard``, more conditions on the update."""

    row: models.Model
    to: TextChoices
    changes: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


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
    transition_together(
        [Move(row=row, to=to, changes=changes or {}, guard=guard or {}, reason=reason)], by=by
    )


def transition_together(moves: Sequence[Move], *, by: Actor) -> None:
    """Makes all ``moves`` in one SQL statement. Raises as transition() does; the caller's transaction must then end.

    Rows of other kinds may move together; no row twice.
    """
    assert connection.in_atomic_block, "transition() needs a surrounding transaction"
    for move in moves:
        old = _status(move.row)
        if not is_allowed(old, move.to, machine=type(move.to)):
            raise IllegalTransition(
                f"A {move.row._meta.verbose_name} cannot go from {old} to {move.to.value}."
            )
    if moves and _move(moves, by=by) != len(moves):
        names = " or ".join(dict.fromkeys(str(move.row._meta.verbose_name) for move in moves))
        raise StaleTransition(f"This {names} was changed by someone else in the meantime.")
    for move in moves:
        _settle(move, by=by)


def record_creation(row: models.Model, *, by: Actor, reason: str = "") -> None:
    """Writes the journal row of a row's first status and announces it. Must run inside a transaction."""
    record_creations([row], by=by, reason=reason)


def record_creations(rows: Iterable[models.Model], *, by: Actor, reason: str = "") -> None:
    """record_creation() for many rows in one SQL statement."""
    created = list(rows)
    StateChange.objects.bulk_create(
        StateChange(
            model=row._meta.model_name or "",
            object_id=row.pk,
            old="",
            new=_status(row),
            actor_id=by.user_id,
            actor_name=by.name,
            reason=reason[:REASON_LENGTH],
        )
        for row in created
    )
    for row in created:
        events.publish_change(row)


def record_remark(row: models.Model, *, by: Actor, reason: str) -> None:
    """Writes a journal row of a change that moves no status, and announces it. Must run inside a transaction."""
    status = _status(row)
    StateChange.objects.create(
        model=row._meta.model_name or "",
        object_id=row.pk,
        old=status,
        new=status,
        actor_id=by.user_id,
        actor_name=by.name,
        reason=reason[:REASON_LENGTH],
    )
    events.publish_change(row)


def _status(row: models.Model) -> str:
    return str(row.status)  # type: ignore[attr-defined]  # the rows that move share this field, but no base class


def _settle(move: Move, *, by: Actor) -> None:
    row, old = move.row, _status(move.row)
    for name, value in {"status": move.to.value, **move.changes}.items():
        setattr(row, name, value)
    events.publish_change(row)
    log.info(
        "%s %s: %s > %s",
        row._meta.model_name,
        row.pk,
        old,
        move.to.value,
        extra={"by": by.name or by.user_id, "reason": move.reason},
    )


def _move(moves: Sequence[Move], *, by: Actor) -> int:
    """The conditional updates and their journal rows as one statement; the number of rows moved."""
    updates: list[str] = []
    entries: list[str] = []
    update_params: list[Any] = []
    entry_params: list[Any] = []
    now = timezone.now()
    for number, move in enumerate(moves):
        old = _status(move.row)
        rows = type(move.row)._default_manager.filter(pk=move.row.pk, status=old, **move.guard)
        update: Any = rows.query.chain(sql.UpdateQuery)  # its stubs lack what Django's own update() calls
        update.add_update_values({"status": move.to.value, **move.changes})
        update_sql, params = update.get_compiler(connection=connection).as_sql()
        key = move.row._meta.pk.column
        updates.append(f'moved_{number} AS ({update_sql} RETURNING "{key}" AS id)')
        update_params += params
        # The casts: in a UNION an untyped NULL or literal would become text.
        entries.append(
            f"SELECT %s::text, id, %s::text, %s::text, %s::bigint, %s::text, %s::text, %s::timestamptz "
            f"FROM moved_{number}"
        )
        entry_params += [
            move.row._meta.model_name,
            old,
            move.to.value,
            by.user_id,
            by.name,
            move.reason[:REASON_LENGTH],
            now,
        ]
    with connection.cursor() as cursor:
        cursor.execute(
            f'WITH {", ".join(updates)} INSERT INTO "{StateChange._meta.db_table}" '
            '(model, object_id, "old", "new", actor_id, actor_name, reason, at) '
            + " UNION ALL ".join(entries),
            [*update_params, *entry_params],
        )
        return int(cursor.rowcount)
