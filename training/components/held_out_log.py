"""The held-out numbers of a component while it is trained: one line of JSON each time they are taken."""

from __future__ import annotations

import json
from pathlib import Path


def write_row(work: Path, row: dict[str, float]) -> None:
    """Add a line to ``held_out.jsonl`` in the run's folder."""
    with (work / "held_out.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")
