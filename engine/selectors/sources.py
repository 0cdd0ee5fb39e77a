"""Which sources gave fewer candidates than their round asked for."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from engine.models import Round


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """One source in one round; ``why`` is of the newest batch."""

    source: str
    num_batches: int
    num_missing: int
    why: str


def shortfalls(of: Round) -> tuple[Shortfall, ...]:
    """By source, from the round's batches. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT one->>'source', count(*), sum((one->>'asked')::int - (one->>'made')::int),"
            " (array_agg(one->>'why' ORDER BY batch.id DESC))[1]"
            " FROM engine_candidatebatch batch, jsonb_array_elements(batch.missing) one"
            " WHERE batch.round_id = %s AND batch.missing <> '[]' GROUP BY 1 ORDER BY 1",
            [of.pk],
        )
        return tuple(
            Shortfall(source=source, num_batches=batches, num_missing=missing, why=why)
            for source, batches, missing, why in cursor.fetchall()
        )
