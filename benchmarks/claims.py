"""A claim and a submit through the real views: SQL statements and CPU, with 1,000 and with 50,000 open tasks."""

# isort: off  (the settings name the servers, so they must run before a model is imported)
# isort: on
import time
import uuid

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import benchmarks.throwaway_site  # noqa: F401
from benchmarks.result import Result
from engine.services.projects import add_member
from engine.states import Role
from tests.factories import make_bare_images, make_project

PAIRS = 60
SIZES = (1_000, 50_000)
CONTROL = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT")


def measure(*, seed: int) -> list[Result]:
    del seed  # nothing random here
    return [result for size in SIZES for result in _pairs(size)]


def _pairs(size: int) -> list[Result]:
    project = make_project(f"bench-{size}")
    person = get_user_model().objects.create_user(f"ana-{size}")
    add_member(project_id=project.pk, user_id=person.pk, role=Role.ANNOTATOR)
    for start in range(0, size, 10_000):
        make_bare_images(project, how_many=min(10_000, size - start))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    claims = submits = 0
    cpu = time.process_time()
    for _ in range(PAIRS):
        with CaptureQueriesContext(connection) as asked:
            claim = client.post(
                f"/api/v1/projects/{project.pk}/claims", {"stage": "object"}, content_type="application/json"
            )
        claims = max(claims, _statements(asked))
        assert claim.status_code == 200, claim.content
        body = claim.json()
        with CaptureQueriesContext(connection) as asked:
            reply = client.post(
                f"/api/v1/assignments/{body['assignment']}/submit",
                {
                    "lease_token": body["lease_token"],
                    "seconds": 1,
                    "result": {"discard": {"reason": "nothing there"}},
                },
                content_type="application/json",
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )
        submits = max(submits, _statements(asked))
        assert reply.status_code == 200, reply.content
    cpu = time.process_time() - cpu
    return [
        Result(name=f"claim, {size:,} open tasks", value=claims, unit="SQL", budget=6),
        Result(name=f"submit, {size:,} open tasks", value=submits, unit="SQL", budget=10),
        Result(
            name=f"claim + submit, {size:,} open tasks",
            value=1000 * cpu / PAIRS,
            unit="ms CPU",
            budget=25,
            note="with the test client's and the statement counter's own share",
        ),
    ]


def _statements(asked: CaptureQueriesContext) -> int:
    return sum(not query["sql"].startswith(CONTROL) for query in asked.captured_queries)
