"""The file in which a running stack tells other commands where its servers are: one `export NAME='value'` a line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "environment.sh"
LINE = re.compile(r"export (\w+)='([^']*)'")


def format_addresses(environment: Mapping[str, str]) -> str:
    """The lines that a shell can source."""
    return "".join(f"export {name}='{value}'\n" for name, value in environment.items())


def write_addresses(file: Path, environment: Mapping[str, str]) -> None:
    """Write the file at once and readable by its owner alone: it holds keys."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(format_addresses(environment))
    fresh.replace(file)


def read_addresses(file: Path) -> dict[str, str]:
    """What was written, or nothing when the stack has never run there."""
    return dict(LINE.findall(file.read_text())) if file.exists() else {}


def adopt_addresses(project: Path) -> None:
    """Let this process reach the stack of `make up`; names that the environment already has keep their values."""
    home = Path(os.environ.get("CANDID8_HOME", project / ".candid8"))
    for name, value in read_addresses(home / FILE_NAME).items():
        os.environ.setdefault(name, value)
