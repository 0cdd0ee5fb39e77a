"""A run's progress by the clock: how much of the time from its first start to a given end is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def progress_until(started_file: Path, until: float) -> Callable[[], float]:
    """Asks the clock: 0 at the first start, which ``started_file`` keeps for resumed runs, 1 at ``until`` (epoch s)."""
    started_file.parent.mkdir(parents=True, exist_ok=True)
    if not started_file.exists():
        started_file.write_text(repr(time.time()))
    started = float(started_file.read_text())
    return lambda: (time.time() - started) / (until - started)
