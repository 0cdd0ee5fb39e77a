"""Session set-up of every test: real services first, then Django on the test settings."""

from __future__ import annotations

import os

import django
import pytest
from django.conf import settings

from tests.real_services import provide_services, use_own_broker_number

TEST_SETTINGS = "engine.settings.test"

if settings.configured:
    raise pytest.UsageError(f"unset DJANGO_SETTINGS_MODULE: the tests choose {TEST_SETTINGS} themselves")

# At import, not in a fixture: test modules import models, and models need settings that name the services.
provide_services()
use_own_broker_number()
os.environ["DJANGO_SETTINGS_MODULE"] = TEST_SETTINGS
django.setup()

# Tests that start processes of their own are meant to keep to one process a folder. TODO(candid8, issue 3): the
# installed pytest-xdist does not honour its groups, so they may share both; they are written to bear that.
ONE_AT_A_TIME = ("browser", "workers")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let parallel processes, which inherit this environment, choose their settings after their broker number."""
    if session.config.getoption("numprocesses", default=None):
        del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in ONE_AT_A_TIME:
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return ONE_AT_A_TIME.index(folder) if folder in ONE_AT_A_TIME else len(ONE_AT_A_TIME)
