"""Where a measured number comes from: commit, seed, command and machine, written into every report."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def provenance(*, seed: int | None, now: datetime | None = None) -> dict[str, Any]:
    """What a reader needs to measure the same again. ``commit`` ends in +dirty when the tree was changed."""
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "seed": seed,
        "commit": _commit(),
        "measured_at": (now or datetime.now(tz=UTC)).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "system": platform.system(),
            "python": platform.python_version(),
        },
    }


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
