"""All external candidate sources by name, and the file in which an operator says which of them are installed where."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelzoo.ports.direct3d_s2 import direct3d_s2_source
from modelzoo.ports.external import ExternalSource, ForeignEnvironment
from modelzoo.ports.hi3dgen import hi3dgen_source
from modelzoo.ports.hunyuan3d import hunyuan3d_source
from modelzoo.ports.sam3d_objects import sam3d_objects_source
from modelzoo.ports.trellis import trellis_source
from modelzoo.ports.triposg import triposg_source

SOURCES: Mapping[str, Callable[[ForeignEnvironment], ExternalSource]] = {
    "sam3d-objects": sam3d_objects_source,
    "trellis": trellis_source,
    "hunyuan3d-2": hunyuan3d_source,
    "hi3dgen": hi3dgen_source,
    "triposg": triposg_source,
    "direct3d-s2": direct3d_s2_source,
}


def sources_from_file(file: Path) -> dict[str, ExternalSource]:
    """The sources that a TOML file names, one table each; none of them is started. Raises ValueError for other files.

    A table has ``interpreter`` and may have ``paths``, ``environment``, ``options``, ``start_limit_s``, ``limit_s``.
    """
    try:
        document = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    unknown = sorted(set(document) - set(SOURCES))
    if unknown:
        raise ValueError(f"no source {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    return {name: _source(name, table) for name, table in document.items()}


def environment_from(table: Mapping[str, Any], *, name: str) -> ForeignEnvironment:
    """The environment that a table of such a file describes. Raises ValueError."""
    known = {"interpreter", "paths", "environment", "options", "start_limit_s", "limit_s"}
    if not isinstance(table, Mapping) or set(table) - known or "interpreter" not in table:
        raise ValueError(
            f"[{name}] needs interpreter and may have {', '.join(sorted(known - {'interpreter'}))}"
        )
    given = dict(table)
    return ForeignEnvironment(
        interpreter=Path(given.pop("interpreter")),
        paths=tuple(Path(one) for one in given.pop("paths", ())),
        **given,
    )


def _source(name: str, table: Mapping[str, Any]) -> ExternalSource:
    try:
        return SOURCES[name](environment_from(table, name=name))
    except TypeError as error:
        raise ValueError(f"[{name}] has a value of the wrong kind: {error}") from error
