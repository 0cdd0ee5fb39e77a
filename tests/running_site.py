"""The whole product as `make up` runs it, in a throw-away home on a free port, for tests that act as a person would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.stack.beside import PROJECT, StackBeside, stack_beside

__all__ = ["PROJECT", "RunningSite", "running_site"]


@dataclass(frozen=True, kw_only=True)
class RunningSite(StackBeside):
    """A stack that tests may also ask what is in its rows."""

    def shell(self, code: str) -> str:
        """What ``code`` prints last in Django's shell on this site's data."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **self.environment()},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip().rpartition("\n")[2]


@contextmanager
def running_site(home: Path, *, extra: Mapping[str, str]) -> Iterator[RunningSite]:
    """A stack of the test's own, as long as it is needed."""
    with stack_beside(home, extra=extra) as started:
        yield RunningSite(url=started.url, home=started.home, supervisor=started.supervisor)
