"""The two statements that the queue lives on: take the next task, take back what ran out. Each is one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.db import connection

from engine.models import Assignment
from engine.states import Stage
from engine.transitions import Actor

# The status is a literal so that even a generic plan may use the partial index task_next_open; MATERIALIZED so that
# the row that is locked is the row that is updated. Who released a task or let it expire gets the same row, with the
# draft in it; whoever skipped, submitted or escalated it is passed over. Questions of a quiz are no work: they take no
# slot and give none back.
_TAKE = """
WITH next AS MATERIALIZED (
    SELECT t.id, t.project_id, t.stage,
           (SELECT a.status FROM engine_assignment a
            WHERE a.task_id = t.id AND a.annotator_id = %(user)s AND a.question_id IS NULL
              AND a.status <> 'RETRACTED') AS old
    FROM engine_annotationtask t
    WHERE t.project_id = %(project)s AND t.stage = %(stage)s AND t.status = 'OPEN' AND t.open_slots > 0
      {which}
      AND NOT EXISTS (
          SELECT 1 FROM engine_assignment a
          WHERE a.task_id = t.id AND a.annotator_id = %(user)s AND a.question_id IS NULL
            AND a.status NOT IN ('RELEASED', 'EXPIRED', 'RETRACTED'))
    ORDER BY t.priority DESC, t.id
    LIMIT 1
    FOR UPDATE OF t SKIP LOCKED
), slot AS (
    UPDATE engine_annotationtask t SET open_slots = t.open_slots - 1 FROM next WHERE t.id = next.id
    RETURNING t.id
), held AS (
    INSERT INTO engine_assignment AS mine (
        uuid, order_seed, project_id, task_id, annotator_id, stage, status, prefetched, lease_token, expires_at,
        draft_version, submit_key, reason, created_at)
    SELECT %(uuid)s, %(uuid)s, next.project_id, next.id, %(user)s, next.stage, 'LEASED', %(prefetch)s, %(token)s,
           %(expires)s, 0, '', '', %(now)s
    FROM next JOIN slot ON slot.id = next.id
    ON CONFLICT (task_id, annotator_id) WHERE NOT (status = 'RETRACTED') AND question_id IS NULL DO UPDATE
        SET status = 'LEASED', prefetched = EXCLUDED.prefetched, lease_token = EXCLUDED.lease_token,
            expires_at = EXCLUDED.expires_at, reason = '', ended_at = NULL
        WHERE mine.status IN ('RELEASED', 'EXPIRED')
    RETURNING mine.*
), journal AS (
    INSERT INTO engine_statechange (model, object_id, "old", "new", actor_id, actor_name, reason, at)
    SELECT 'assignment', held.id, COALESCE(next.old, ''), 'LEASED', %(user)s, %(actor)s, '', %(now)s
    FROM held CROSS JOIN next
)
SELECT held.* FROM held
"""

#: Of the whole queue, or the one task that the person had before.
_WHICH = {
    False: "",
    True: "AND t.id = (SELECT a.task_id FROM engine_assignment a "
    "WHERE a.uuid = %(again)s AND a.annotator_id = %(user)s)",
}

_EXPIRE = """
WITH gone AS MATERIALIZED (
    SELECT id, task_id FROM engine_assignment
    WHERE status = 'LEASED' AND expires_at <= %(now)s
      AND (%(annotator)s::bigint IS NULL OR annotator_id = %(annotator)s)
    ORDER BY expires_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), tasks AS MATERIALIZED (
    -- In one order, so that two sweeps never wait for each other in a ring.
    SELECT id FROM engine_annotationtask WHERE id IN (SELECT task_id FROM gone) ORDER BY id FOR UPDATE
), ended AS (
    UPDATE engine_assignment a SET status = 'EXPIRED', ended_at = %(now)s FROM gone
    WHERE a.id = gone.id AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = gone.task_id)
    RETURNING a.id, a.uuid, a.task_id, a.project_id, a.stage, a.question_id
), slots AS (
    UPDATE engine_annotationtask t SET open_slots = t.open_slots + freed.num
    FROM (SELECT task_id, count(*) AS num FROM ended WHERE question_id IS NULL GROUP BY task_id) freed
    WHERE t.id = freed.task_id
), journal AS (
    INSERT INTO engine_statechange (model, object_id, "old", "new", actor_id, actor_name, reason, at)
    SELECT 'assignment', id, 'LEASED', 'EXPIRED', NULL, %(actor)s, 'the lease ran out', %(now)s FROM ended
)
SELECT uuid, project_id, stage FROM ended
"""


@dataclass(frozen=True, kw_only=True)
class Expired:
    """A lease that was taken back."""

    uuid: UUID
    project_id: int
    stage: str


def take(
    *,
    user_id: int,
    project_id: int,
    stage: Stage,
    prefetch: bool,
    now: datetime,
    expires_at: datetime,
    by: Actor,
    again: UUID | None = None,
) -> Assignment | None:
    """Leases the next open task of the stage to the person: slot, assignment and journal in one statement.

    ``again`` asks for the task of that assignment of theirs and no other.
    Raises IntegrityError when the person got another live lease of the stage in the meantime.
    """
    rows = Assignment.objects.raw(
        _TAKE.format(which=_WHICH[again is not None]),
        {
            "again": again,
            "user": user_id,
            "project": project_id,
            "stage": stage.value,
            "prefetch": prefetch,
            "uuid": uuid4(),
            "token": uuid4(),
            "now": now,
            "expires": expires_at,
            "actor": by.name,
        },
    )
    return next(iter(rows), None)


def expire(*, now: datetime, limit: int, by: Actor, annotator_id: int | None = None) -> list[Expired]:
    """Ends up to ``limit`` leases that ran out and gives their slots back; rows held by others are passed over."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE, {"now": now, "limit": limit, "actor": by.name, "annotator": annotator_id})
        return [Expired(uuid=row[0], project_id=row[1], stage=row[2]) for row in cursor.fetchall()]
