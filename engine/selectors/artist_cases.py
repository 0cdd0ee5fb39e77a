"""The artists' queue and one case's brief; the field names are the wire's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import ArtistCase, Candidate
from engine.selectors.tasks import PhotoRef, TargetRef, photo_ref, target_ref
from engine.states import ArtistCaseStatus


@dataclass(frozen=True, kw_only=True)
class FailedCandidate:
    id: int
    mesh_url: str
    preview_url: str


@dataclass(frozen=True, kw_only=True)
class ArtistCaseRow:
    """``claimed_by`` is a username."""

    id: int
    status: str
    label: str
    note: str
    reason: str
    photo: PhotoRef
    target: TargetRef
    claimed_by: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ArtistCaseView(ArtistCaseRow):
    """The brief: what failed, what the validation said, and the mesh that was handed in."""

    candidates: list[FailedCandidate]
    report: dict[str, Any] | None
    mesh_url: str | None


def case_rows(*, project_id: int, status: str | None = None) -> list[ArtistCaseRow]:
    """The project's cases, newest first, of one status or of all but the withdrawn. One query."""
    cases = _with_all().filter(project_id=project_id).order_by("-id")
    if status:
        if status not in ArtistCaseStatus.values:
            raise BadInput(f"The status must be one of {', '.join(ArtistCaseStatus.values)}, not {status!r}.")
        cases = cases.filter(status=status)
    else:
        cases = cases.exclude(status=ArtistCaseStatus.WITHDRAWN)
    return [ArtistCaseRow(**_brief(case)) for case in cases]


def case_view(case_id: int) -> ArtistCaseView:
    """One case with the candidates nobody could pick. Raises NotFound. Two queries."""
    case = _with_all().filter(pk=case_id).first()
    if case is None:
        raise NotFound("There is no such case.")
    failed = Candidate.objects.filter(
        target_id=case.target_id, batch__isnull=False, batch__arena__isnull=True
    ).order_by("-batch_id", "index")
    return ArtistCaseView(
        **_brief(case),
        candidates=[
            FailedCandidate(
                id=one.pk, mesh_url=blobs.url(one.mesh_key), preview_url=blobs.url(one.preview_key)
            )
            for one in failed
        ],
        report=case.report,
        mesh_url=blobs.url(case.upload_key) or None,
    )


def _with_all() -> QuerySet[ArtistCase]:
    return ArtistCase.objects.select_related("target__image", "target__taxonomy_entry", "claimed_by")


def _brief(case: ArtistCase) -> dict[str, Any]:
    return {
        "id": case.pk,
        "status": case.status,
        "label": case.target.label,
        "note": case.note,
        "reason": case.reason,
        "photo": photo_ref(case.target.image),
        "target": target_ref(case.target),
        "claimed_by": case.claimed_by.get_username() if case.claimed_by else None,
        "created_at": case.created_at,
    }
