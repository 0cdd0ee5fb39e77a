"""Hears what the engine tells browsers, from the real channel layer, and counts what it asks of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engine import events, jobs

QUIET_S = 0.2
NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass
class Heard:
    """Bodies of the events of one project, oldest first."""

    pubsub: Any
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def all(self) -> list[dict[str, Any]]:
        while (
            message := self.pubsub.get_message(ignore_subscribe_messages=True, timeout=QUIET_S)
        ) is not None:
            self.bodies.append(get_channel_layer().deserialize(message["data"])["body"])
        return self.bodies

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in self.all() if body["type"] == kind]


@contextmanager
def listening_to(project_id: int | None) -> Iterator[Heard]:
    """Subscribes to a project's events (None: everyone's); in the end empties the queues its jobs were sent to."""
    assert events.wait_until_sent(timeout_s=10), "what was done before must not be heard"
    client = redis.Redis.from_url(settings.REDIS_URL)
    pubsub = client.pubsub()
    pubsub.psubscribe(f"*__group__{events.group_of(project_id)}")
    pubsub.get_message(timeout=1.0)
    try:
        yield Heard(pubsub)
    finally:
        pubsub.close()
        client.delete(*set(jobs.QUEUES.values()))
        client.close()


@contextmanager
def counted_sql() -> Iterator[list[str]]:
    """The statements run inside, without those that only begin and end transactions; filled at the end."""
    statements: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield statements
    statements += [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].upper().startswith(NOT_COUNTED)
    ]
