"""Turns the engine's events into messages for the pages of one project's members."""

from __future__ import annotations

import json
import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from annotate.converters import BIGGEST_ID
from annotate.ws.messages import message_of
from engine.access import roles_in
from engine.events import EVERYONE, group_of

log = logging.getLogger(__name__)

NOT_LOGGED_IN = 4401
NO_SUCH_PROJECT = 4404
LONGEST_MESSAGE = 1024


class ProjectEvents(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels ships no types
    """One page's connection: numbered messages, so that the page sees when it missed one."""

    seq = 0
    groups_joined: tuple[str, ...] = ()

    async def connect(self) -> None:
        # Accepted first: a browser learns the closing code only of a connection that was open.
        await self.accept()
        user, project_id = self.scope["user"], self.scope["url_route"]["kwargs"]["project_id"]
        if not user.is_authenticated:
            await self.close(code=NOT_LOGGED_IN)
        elif not await _is_member(user_id=user.pk, project_id=project_id):
            await self.close(code=NO_SUCH_PROJECT)
        else:
            self.groups_joined = (group_of(project_id), EVERYONE)
            for group in self.groups_joined:
                await self.channel_layer.group_add(group, self.channel_name)
            await self._send({"type": "hello"})

    async def disconnect(self, code: int) -> None:
        for group in self.groups_joined:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answers a ping; pages have nothing else to say here, so anything else is let fall."""
        if text_data is None or len(text_data) > LONGEST_MESSAGE:
            return
        try:
            message = json.loads(text_data)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and message.get("type") == "ping":
            await self._send({"type": "pong"})

    async def engine_event(self, event: dict[str, Any]) -> None:
        """Called by Channels with each event of the groups that were joined."""
        await self._send(event["body"])

    async def _send(self, body: dict[str, Any]) -> None:
        message = message_of(body, seq=self.seq + 1)
        if message is None:
            log.warning(
                "an event of a kind that annotate/ws/messages.py does not list",
                extra={"kind": body.get("type")},
            )
            return
        self.seq += 1
        await self.send(text_data=json.dumps(message, separators=(",", ":")))


@database_sync_to_async  # type: ignore[untyped-decorator]
def _is_member(*, user_id: int, project_id: int) -> bool:
    return 0 < project_id <= BIGGEST_ID and bool(roles_in(user_id=user_id, project_id=project_id))
