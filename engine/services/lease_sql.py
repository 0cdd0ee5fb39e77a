"""The statements that the queue lives on: take the next task or hidden gold, take back what ran out. One trip each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from engine.models import Assignment
from engine.states import Stage
from engine.transitions import Actor

# The status is a literal so that even a generic plan may use the partial index task_next_open; MATERIALIZED so that
# the row that is locked is the row that is updated. Who released a task or let it expire gets the same row, with the
# draft in it; whoever skipped, submitted or escalated it is passed over. Questions of a quiz and hidden gold are no
# work: they take no slot and give none back. Who met the task as hidden gold is not given it as work.
_TAKE = """
WITH next AS MATERIALIZED (
    SELECT t.id, t.project_id, t.stage,
           (SELECT a.status FROM engine_assignment a
            WHERE a.task_id = t.id AND a.annotator_id = %(user)s AND a.question_id IS NULL AND a.gold_id IS NULL
              AND a.status <> 'RETRACTED') AS old
    FROM engine_annotationtask t
    WHERE t.project_id = %(project)s AND t.stage = %(stage)s AND t.status = 'OPEN' AND t.open_slots > 0
      {which}
      AND NOT EXISTS (
          SELECT 1 FROM engine_assignment a
          WHERE a.task_id = t.id AND a.annotator_id = %(user)s AND a.question_id IS NULL
            AND (a.gold_id IS NOT NULL OR a.status NOT IN ('RELEASED', 'EXPIRED', 'RETRACTED')))
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
    ON CONFLICT (task_id, annotator_id)
        WHERE NOT (status = 'RETRACTED') AND gold_id IS NULL AND question_id IS NULL DO UPDATE
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

# Hidden gold: first what the person let go or let expire, then an item on whose task they never had an assignment, in
# an order of this claim's own. Only while there is work: gold alone would show itself.
_IS_LIVE = """
g.project_id = %(project)s AND g.stage = %(stage)s AND g.retired_at IS NULL AND t.status IN ('DONE', 'ESCALATED')
"""
_IS_NEW = """
NOT EXISTS (SELECT 1 FROM engine_assignment a WHERE a.task_id = g.task_id AND a.annotator_id = %(user)s)
AND EXISTS (
    SELECT 1 FROM engine_annotationtask o
    WHERE o.project_id = %(project)s AND o.stage = %(stage)s AND o.status = 'OPEN' AND o.open_slots > 0)
"""
_TAKE_GOLD = f"""
WITH let_go AS MATERIALIZED (
    SELECT a.gold_id, a.status FROM engine_assignment a
    WHERE a.annotator_id = %(user)s AND a.project_id = %(project)s AND a.stage = %(stage)s
      AND a.gold_id IS NOT NULL AND a.status IN ('RELEASED', 'EXPIRED')
), next AS MATERIALIZED (
    SELECT g.id, g.task_id, g.project_id, g.stage, let_go.status AS old
    FROM engine_golditem g
    JOIN engine_annotationtask t ON t.id = g.task_id
    LEFT JOIN let_go ON let_go.gold_id = g.id
    WHERE {_IS_LIVE} AND (let_go.gold_id IS NOT NULL OR {_IS_NEW})
    ORDER BY let_go.gold_id IS NULL, md5(g.id::text || %(uuid)s::text)
    LIMIT 1
), held AS (
    INSERT INTO engine_assignment AS mine (
        uuid, order_seed, project_id, task_id, gold_id, annotator_id, stage, status, prefetched, lease_token,
        expires_at, draft_version, submit_key, reason, created_at)
    SELECT %(uuid)s, %(uuid)s, next.project_id, next.task_id, next.id, %(user)s, next.stage, 'LEASED', %(prefetch)s,
           %(token)s, %(expires)s, 0, '', '', %(now)s
    FROM next
    ON CONFLICT (gold_id, annotator_id) WHERE NOT (status = 'RETRACTED') AND gold_id IS NOT NULL DO UPDATE
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

#: Part of the statement that a claim begins with: the person's marks on hidden gold since a lead last looked at them,
#: oldest first; the hidden assignments that they let go; whether gold is left for them.
_GOLD_OF = f"""
(SELECT jsonb_build_object(
    'outcomes', (
        SELECT COALESCE(jsonb_agg(marked.is_right ORDER BY marked.id), '[]') FROM (
            SELECT m.id, m.is_right FROM engine_goldanswer m JOIN engine_assignment a ON a.id = m.assignment_id
            WHERE a.annotator_id = %(user)s AND a.project_id = %(project)s AND a.stage = %(stage)s
              AND a.gold_id IS NOT NULL AND a.status <> 'RETRACTED'
              AND a.ended_at > COALESCE(
                  (SELECT s.changed_at FROM engine_standing s
                   WHERE s.project_id = %(project)s AND s.user_id = %(user)s), '-infinity')
            ORDER BY m.id DESC LIMIT {{most}}) marked),
    'let_go', (
        SELECT COALESCE(jsonb_agg(a.uuid), '[]') FROM engine_assignment a
        WHERE a.annotator_id = %(user)s AND a.project_id = %(project)s AND a.stage = %(stage)s
          AND a.gold_id IS NOT NULL AND a.status IN ('RELEASED', 'EXPIRED')),
    'is_left', EXISTS (
        SELECT 1 FROM engine_golditem g JOIN engine_annotationtask t ON t.id = g.task_id
        WHERE {_IS_LIVE} AND {_IS_NEW})))
"""

#: Marks on hidden gold that a claim looks at.
MOST_MARKS = 200

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
    RETURNING a.id, a.uuid, a.task_id, a.project_id, a.stage, a.question_id IS NULL AND a.gold_id IS NULL AS is_work
), slots AS (
    UPDATE engine_annotationtask t SET open_slots = t.open_slots + freed.num
    FROM (SELECT task_id, count(*) AS num FROM ended WHERE is_work GROUP BY task_id) freed
    WHERE t.id = freed.task_id
), journal AS (
    INSERT INTO engine_statechange (model, object_id, "old", "new", actor_id, actor_name, reason, at)
    SELECT 'assignment', id, 'LEASED', 'EXPIRED', NULL, %(actor)s, 'the lease ran out', %(now)s FROM ended
)
SELECT uuid, project_id, stage FROM ended
"""


_NAMED = re.compile(r"%\((\w+)\)s")


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
    return _lease(
        _TAKE.format(which=_WHICH[again is not None]),
        {"again": again, "user": user_id, "project": project_id, "stage": stage.value, "prefetch": prefetch},
        now=now,
        expires_at=expires_at,
        by=by,
    )


def gold_of(*, user_id: int, project_id: int, stage: Stage) -> RawSQL:
    """What a claim must know of hidden gold, as an annotation: {outcomes, let_go, is_left}."""
    values = {"user": user_id, "project": project_id, "stage": stage.value}
    statement = _GOLD_OF.format(most=MOST_MARKS)
    names = _NAMED.findall(statement)
    return RawSQL(_NAMED.sub("%s", statement), [values[name] for name in names], output_field=JSONField())


def take_gold(
    *,
    user_id: int,
    project_id: int,
    stage: Stage,
    prefetch: bool,
    now: datetime,
    expires_at: datetime,
    by: Actor,
) -> Assignment | None:
    """Leases hidden gold to the person, what they let go first; None when there is none for them, or no work.

    Raises IntegrityError when the person got another live lease of the stage in the meantime.
    """
    return _lease(
        _TAKE_GOLD,
        {"user": user_id, "project": project_id, "stage": stage.value, "prefetch": prefetch},
        now=now,
        expires_at=expires_at,
        by=by,
    )


def _lease(
    statement: str, asked: dict[str, Any], *, now: datetime, expires_at: datetime, by: Actor
) -> Assignment | None:
    """The new lease that the statement makes, with a number and a token of its own."""
    lease = {"uuid": uuid4(), "token": uuid4(), "now": now, "expires": expires_at, "actor": by.name}
    return next(iter(Assignment.objects.raw(statement, asked | lease)), None)


def expire(*, now: datetime, limit: int, by: Actor, annotator_id: int | None = None) -> list[Expired]:
    """Ends up to ``limit`` leases that ran out and gives their slots back; rows held by others are passed over."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE, {"now": now, "limit": limit, "actor": by.name, "annotator": annotator_id})
        return [Expired(uuid=row[0], project_id=row[1], stage=row[2]) for row in cursor.fetchall()]
