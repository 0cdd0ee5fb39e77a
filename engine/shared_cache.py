"""Django's Redis cache with one pool of connections a process, whichever request asks."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient


@cache
def _client(server: str) -> RedisCacheClient:
    return RedisCacheClient([server])


class SharedRedisCache(RedisCache):
    """Django keeps caches by context, and the web server gives every request a context of its own: each would connect
    to Redis anew. The client is safe among threads, and its pool notices a fork."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._server = server

    @cached_property
    def _cache(self) -> RedisCacheClient:
        return _client(self._server)
