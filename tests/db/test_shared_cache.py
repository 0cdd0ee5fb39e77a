"""Every request has a context of its own; the connections to Redis outlive it."""

from __future__ import annotations

from contextvars import Context

import redis
from django.conf import settings
from django.core.cache import cache


def test_requests_share_their_connections_to_redis() -> None:
    server = redis.Redis.from_url(settings.REDIS_URL)
    cache.set("shared-cache", 0)
    before = server.info("stats")["total_connections_received"]
    for number in range(20):
        Context().run(_set, number)
    assert cache.get("shared-cache") == 19
    assert server.info("stats")["total_connections_received"] == before


def _set(number: int) -> None:
    cache.set("shared-cache", number)  # looks the cache up, as every request does
