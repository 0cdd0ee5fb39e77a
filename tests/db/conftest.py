"""What most tests on the database begin with: a project, its people, and an ear for its events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine import blobs
from engine.models import Project
from tests.console_world import World, make_world
from tests.factories import make_project
from tests.listening import Heard, listening_to
from tests.people import People, people_of


@pytest.fixture(scope="session", autouse=True)
def bucket() -> None:
    blobs.ensure_bucket(origins=["http://testserver"])


@pytest.fixture
def project(db: None) -> Project:
    return make_project()


@pytest.fixture
def people(project: Project) -> People:
    return people_of(project)


@pytest.fixture
def heard(project: Project) -> Iterator[Heard]:
    with listening_to(project.pk) as ear:
        yield ear


@pytest.fixture
def world(db: None) -> World:
    return make_world()
