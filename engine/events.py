"""Tells browsers what changed: ids only, to the channel layer, after the commit. Nobody depends on delivery."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from functools import cache
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

EVERYONE = "everyone"


def group_of(project_id: int | None) -> str:
    """The channel-layer group of a project's watchers; rows of no project go to everyone."""
    return EVERYONE if project_id is None else f"project-{project_id}"


def publish_change(row: Any) -> None:
    """Announces, after the commit, that ``row``, a model with EVENT and a status, has its present status."""
    publish(
        project_id=getattr(row, "project_id", None),
        kind=f"{row.EVENT}.changed",
        id=str(getattr(row, "uuid", row.pk)),
        status=str(row.status),
    )


def publish(*, project_id: int | None, kind: str, **body: Any) -> None:
    """Sends ``{type: kind, **body}`` to the project's watchers after the commit; a lost one is refetched."""
    transaction.on_commit(lambda: _send(group_of(project_id), {"type": kind, **body}))


def _send(group: str, body: dict[str, Any]) -> None:
    """Hands the message to this process's sender thread, so that no request waits for a browser to be told."""
    asyncio.run_coroutine_threadsafe(_deliver(group, body), _sender(os.getpid()))


async def _deliver(group: str, body: dict[str, Any]) -> None:
    try:
        await get_channel_layer().group_send(group, {"type": "engine.event", "body": body})
    except (RedisError, OSError):
        log.warning("event not delivered: the channel layer does not answer", extra={"kind": body["type"]})


@cache
def _sender(process_id: int) -> asyncio.AbstractEventLoop:
    """The event loop that sends, one a process: its connection stays open, and a forked worker makes its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"events-{process_id}", daemon=True).start()
    return loop
