"""Fixtures of tests with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import blobs
from engine.models import Project
from tests.factories import make_project
from tests.running_worker import RunningWorker, empty_queues, running_worker


@pytest.fixture
def project(transactional_db: None) -> Project:
    """With eight candidates a batch, committed, so that workers see it; nothing waits in the queues."""
    empty_queues()
    blobs.ensure_bucket(origins=["http://testserver"])
    return make_project(num_candidates=8)


@pytest.fixture
def worker(project: Project, tmp_path: Path) -> Iterator[RunningWorker]:
    """One worker on all queues, with the usual lease."""
    with running_worker(tmp_path / "home") as running:
        yield running
