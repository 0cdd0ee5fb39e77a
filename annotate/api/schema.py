"""Tidies the generated docs/openapi.yaml."""

from __future__ import annotations

from typing import Any

MARK = "x-spec-enum-id"


def drop_enum_marks(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Takes away the marks that drf-spectacular leaves for naming enums, which we do not do."""
    if isinstance(result, dict):
        return {
            key: drop_enum_marks(part, generator, request, public)
            for key, part in result.items()
            if key != MARK
        }
    if isinstance(result, list):
        return [drop_enum_marks(part, generator, request, public) for part in result]
    return result
