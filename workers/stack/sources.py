"""The foreign generators of this machine: which ones SOURCES_TABLE names, so that each gets a worker of its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class SourcesTableRefused(RuntimeError):
    """The file that SOURCES_TABLE names is not one table per source."""


def foreign_sources(given: Mapping[str, str]) -> tuple[str, ...]:
    """The sources of the file that SOURCES_TABLE names in ``given``; none when it names no file.

    Raises SourcesTableRefused with the file and what is wrong with it. Which names there are, and what may stand in a
    table, `manage.py check_sources` knows.
    """
    path = given.get("SOURCES_TABLE", "")
    if not path:
        return ()
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourcesTableRefused(f"SOURCES_TABLE={path} cannot be read: {error}") from error
    for name, table in document.items():
        if not isinstance(table, dict) or not NAME.fullmatch(name):
            raise SourcesTableRefused(
                f"SOURCES_TABLE={path}: {name} is no source; each is a table such as [trellis] (docs/guide/ports.md)"
            )
    return tuple(document)


def sources_environment(given: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """What every process must know to ask the sources: those of CANDIDATE_SOURCES elsewhere, and ``names`` here."""
    others = given.get("CANDIDATE_SOURCES", "").replace(",", " ").split()
    table = given.get("SOURCES_TABLE", "")
    return {
        "CANDIDATE_SOURCES": " ".join(dict.fromkeys((*others, *names))),
        **({"SOURCES_TABLE": str(Path(table).resolve())} if table else {}),
    }
