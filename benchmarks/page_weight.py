"""How many bytes of script a page of the built front end loads, and in which chunks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

BUILT = Path(__file__).resolve().parents[1] / "frontend" / "static" / "candid8"


@cache
def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BUILT / "manifest.json").read_text())
    return found


def closure(chunk: str) -> set[str]:
    """The chunk and all that it imports before it runs."""
    found: set[str] = set()
    waiting = [chunk]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += manifest()[name].get("imports", [])
    return found


def gzipped_bytes(chunks: Iterable[str]) -> int:
    return sum(len(gzip.compress((BUILT / manifest()[chunk]["file"]).read_bytes())) for chunk in chunks)
