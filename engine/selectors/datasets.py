"""Frozen dataset versions, for people and for lineage."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from engine import blobs
from engine.models import DatasetVersion
from engine.states import DatasetStatus


def versions_of(project_id: int) -> QuerySet[DatasetVersion]:
    """The project's versions, newest first."""
    return (
        DatasetVersion.objects.filter(project_id=project_id)
        .select_related("round", "frozen_by")
        .order_by("-number")
    )


def newest_version(project_id: int, *, after: int = 0) -> DatasetVersion | None:
    """The project's newest frozen version with a larger number than ``after``."""
    return versions_of(project_id).filter(status=DatasetStatus.FROZEN, number__gt=after).first()


@lru_cache(maxsize=64)
def manifest_lines(manifest_key: str) -> tuple[dict[str, Any], ...]:
    """The frozen examples. A key names its content, so a version is read from the store once per process."""
    return tuple(json.loads(line) for line in blobs.get(manifest_key).splitlines())
