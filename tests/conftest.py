"""Session set-up of every test: real services first, then Django on the test settings."""

from __future__ import annotations

import os

# Before anything loads numpy: on a busy machine the threads of its small products burn their cores waiting for one
# another (a test of rankings took 36 s instead of 0.6 s).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import django
import pytest
from django.conf import settings

from tests.real_services import provide_services, use_own_broker_number

TEST_SETTINGS = "engine.settings.test"

# Where CI is set, pytest explains two unequal byte strings by a line-wise difference, which takes hours for a picture:
# a test that failed by a pixel held its process until the time-out, and with it fell the whole run.
for ci in ("CI", "BUILD_NUMBER"):
    os.environ.pop(ci, None)

if settings.configured:
    raise pytest.UsageError(f"unset DJANGO_SETTINGS_MODULE: the tests choose {TEST_SETTINGS} themselves")

# At import, not in a fixture: test modules import models, and models need settings that name the services.
provide_services()
use_own_broker_number()
os.environ["DJANGO_SETTINGS_MODULE"] = TEST_SETTINGS
django.setup()

pytest_plugins = ("tests.sharing_out",)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let parallel processes, which inherit this environment, choose their settings after their broker number."""
    if session.config.getoption("numprocesses", default=None):
        del os.environ["DJANGO_SETTINGS_MODULE"]
