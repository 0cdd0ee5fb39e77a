"""Tells browsers what changed: ids only, to the channel layer, after the commit. Nobody depends on delivery."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from functools import cache
from queue import SimpleQueue
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

EVERYONE = "everyone"

Outbox = SimpleQueue[tuple[str, dict[str, Any]] | threading.Event]


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


def wait_until_sent(*, timeout_s: float) -> bool:
    """Waits until this process has handed over what it published so far; False when that took too long."""
    passed = threading.Event()
    _outbox(os.getpid()).put(passed)
    return passed.wait(timeout_s)


def _send(group: str, body: dict[str, Any]) -> None:
    """Hands the message to this process's sender thread, so that no request waits for a browser to be told."""
    _outbox(os.getpid()).put((group, {"type": "engine.event", "body": body}))


@cache
def _outbox(process_id: int) -> Outbox:
    """What the sender of this process has still to send, in order; a forked worker makes its own."""
    outbox: Outbox = SimpleQueue()
    threading.Thread(target=_send_all, args=(outbox,), name=f"events-{process_id}", daemon=True).start()
    atexit.register(wait_until_sent, timeout_s=1.0)
    return outbox


def _send_all(outbox: Outbox) -> None:
    with asyncio.Runner() as runner:  # one loop, so that the layer's connection stays open
        while True:
            match outbox.get():
                case threading.Event() as passed:
                    passed.set()
                case (group, message):
                    runner.run(_deliver(group, message))


async def _deliver(group: str, message: dict[str, Any]) -> None:
    try:
        await get_channel_layer().group_send(group, message)
    except (RedisError, OSError):
        log.warning("event not delivered: the channel layer does not answer", extra={"group": group})
