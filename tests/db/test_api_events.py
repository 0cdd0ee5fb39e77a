"""The WebSocket through the real server: hello, events by group, strangers closed, pings answered."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn
from django.db import transaction
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from annotate.ws.messages import message_of
from engine import events
from engine.models import Project
from tests import factories
from tests.people import People, people_of
from tests.web import Browser

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_S = 20


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """host:port of a server in this process, so that it sees the test's database."""
    from annotate.asgi import application

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(LIMIT_S)


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


@pytest.fixture
def watch(address: str) -> Iterator[Callable[..., ClientConnection]]:
    """Opens a person's connection to a project; all are closed at the end."""
    with ExitStack() as opened:

        def _watch(user: Any, project_id: int, *, origin: str | None = None) -> ClientConnection:
            assert events.wait_until_sent(timeout_s=LIMIT_S), "what was done before must not be heard"
            headers = {}
            if user is not None:
                client = Client()
                client.force_login(user)
                headers["Cookie"] = f"sessionid={client.cookies['sessionid'].value}"
            connection = connect(
                f"ws://{address}/ws/projects/{project_id}",
                additional_headers=headers,
                origin=origin or f"http://{address}",  # type: ignore[arg-type]
                open_timeout=LIMIT_S,
            )
            return opened.enter_context(connection)

        yield _watch


def hear(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(timeout=LIMIT_S))


def closing_code(connection: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=LIMIT_S)
    return closed.value.rcvd.code if closed.value.rcvd else None


def test_a_member_is_greeted_and_hears_what_a_submit_changed_in_order(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    factories.make_image(desk)
    rev = watch(people.rev, desk.pk)
    assert hear(rev) == {"type": "hello", "seq": 1}
    claim = Browser(people.ana).claim(desk.pk, "object")
    heard = [hear(rev), hear(rev)]
    assert {message["type"] for message in heard} == {"assignment.changed", "queue.changed"}
    assert {"type": "queue.changed", "stage": "object"}.items() <= next(
        message for message in heard if message["type"] == "queue.changed"
    ).items()
    held = next(message for message in heard if message["type"] == "assignment.changed")
    assert (held["id"], held["status"]) == (claim["assignment"], "LEASED")
    assert [message["seq"] for message in heard] == [2, 3]


def test_only_the_projects_watchers_hear_and_everybody_hears_a_deployment(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    elsewhere = factories.make_project("elsewhere")
    people_of(elsewhere)
    here, there = watch(people.ana, desk.pk), watch(people.ana, elsewhere.pk)
    assert hear(here)["type"] == hear(there)["type"] == "hello"
    with transaction.atomic():
        events.publish(project_id=desk.pk, kind="queue.changed", stage="pick")
        events.publish(project_id=None, kind="deployment.changed", id="7", status="SERVING", generation=3)
    assert hear(here)["type"] == "queue.changed"
    deployed = {"type": "deployment.changed", "id": "7", "status": "SERVING", "generation": 3}
    assert hear(there) == {**deployed, "seq": 2} and hear(here) == {**deployed, "seq": 3}


def test_an_event_of_a_change_that_was_rolled_back_is_not_heard(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    ana = watch(people.ana, desk.pk)
    hear(ana)

    with transaction.atomic():
        events.publish(project_id=desk.pk, kind="queue.changed", stage="pick")
        transaction.set_rollback(True)
    ana.send('{"type": "ping"}')
    assert hear(ana) == {"type": "pong", "seq": 2}


def test_a_stranger_and_nobody_are_closed_with_codes_of_their_own(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    assert closing_code(watch(people.eve, desk.pk)) == 4404
    assert closing_code(watch(people.ana, 999_999)) == 4404
    assert closing_code(watch(people.ana, 2**70)) == 4404
    assert closing_code(watch(None, desk.pk)) == 4401


def test_a_page_of_another_site_is_not_let_in(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        watch(people.ana, desk.pk, origin="https://evil.example")
    assert refused.value.response.status_code == 403


def test_a_ping_is_answered_and_rubbish_is_let_fall(
    desk: Project, people: People, watch: Callable[..., ClientConnection]
) -> None:
    ana = watch(people.ana, desk.pk)
    hear(ana)
    for rubbish in ("", "{", "[" * 900, "7", '{"type": "drop"}', "x" * 5000, b"\x00\xff"):
        ana.send(rubbish)
    ana.send('{"type": "ping"}')
    assert hear(ana) == {"type": "pong", "seq": 2}


def test_what_a_message_does_not_declare_is_not_told() -> None:
    body = {"type": "job.changed", "id": "1", "status": "DONE", "payload": {"secret": 1}}
    assert message_of(body, seq=4) == {"type": "job.changed", "seq": 4, "id": "1", "status": "DONE"}
    assert message_of({"type": "something.else"}, seq=1) is None
