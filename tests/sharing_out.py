"""Which process runs which test when several run beside each other: a pytest plug-in."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Tests that start a site, a browser or workers of their own: each folder keeps to one process, and goes first.
TOGETHER = ("browser", "workers")


class FoldersTogether(LoadScopeScheduling):
    """Gives each folder of TOGETHER to one process, the larger first, and deals all other tests out one by one.

    It stands in for xdist's own groups, which pytest 9.2 silently undoes: they are written into a test's node id, which
    can no longer be changed (pytest-dev/pytest-xdist#1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = PurePosixPath(nodeid.partition("::")[0]).parent.name
        return folder if folder in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FoldersTogether | None:
    """Ours for ``--dist loadgroup``, the only one that `make test` asks for."""
    return FoldersTogether(config, log) if config.getoption("dist") == "loadgroup" else None
