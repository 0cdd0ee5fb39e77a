"""Keeps what workers made of shapes, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.models import Candidate, ShapeDescriptor


@dataclass(frozen=True, kw_only=True)
class NewDescriptor:
    """The numbers of one candidate's shape; none, and why."""

    candidate: Candidate
    values: tuple[float, ...]
    detail: str = ""


def store_descriptors(found: Sequence[NewDescriptor], *, version: int) -> None:
    """One statement; what is there already stays."""
    ShapeDescriptor.objects.bulk_create(
        (
            ShapeDescriptor(
                project_id=each.candidate.project_id,
                candidate=each.candidate,
                version=version,
                values=list(each.values),
                detail=each.detail,
            )
            for each in found
        ),
        ignore_conflicts=True,
    )
