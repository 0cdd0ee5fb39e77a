"""The artists' cases: take one, upload a mesh, have it accepted as a candidate or sent back with reasons."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from engine import access, blobs, jobs
from engine.errors import BadInput, NotFound, StaleTransition
from engine.models import ArtistCase
from engine.services.meshes import check_glb
from engine.services.new_candidate import NewCandidate
from engine.states import ArtistCaseStatus
from engine.transitions import Actor, transition

log = logging.getLogger(__name__)

WORKER = Actor(name="worker")
GLB = "model/gltf-binary"
SOURCE = "artist"


def claim_case(*, user_id: int, case_id: int) -> ArtistCase:
    """Takes the case; one's own stays one's own. Raises StaleTransition when another artist has it."""
    access.access_artist_case(user_id=user_id, case_id=case_id, any_of=access.MAY_MODEL)
    with transaction.atomic():
        case = _locked(case_id)
        if case.claimed_by_id == user_id and case.status != ArtistCaseStatus.OPEN:
            return case
        if case.status != ArtistCaseStatus.OPEN:
            raise StaleTransition("Another artist has taken this case; choose one that is open.")
        transition(
            case, ArtistCaseStatus.CLAIMED, by=Actor(user_id=user_id), changes={"claimed_by_id": user_id}
        )
    return case


def release_case(*, user_id: int, case_id: int) -> ArtistCase:
    """Gives one's own case back to the other artists; an open one stays as it is."""
    access.access_artist_case(user_id=user_id, case_id=case_id, any_of=access.MAY_MODEL)
    with transaction.atomic():
        case = _locked(case_id)
        if case.status == ArtistCaseStatus.OPEN:
            return case
        _require_own(case, user_id=user_id)
        transition(case, ArtistCaseStatus.OPEN, by=Actor(user_id=user_id), changes={"claimed_by_id": None})
    return case


def upload_mesh(*, user_id: int, case_id: int, data: bytes, name: str) -> ArtistCase:
    """Stores the GLB of one's own case and asks a worker to look at it.

    Raises BadInput (bad_mesh, mesh_too_large) for a file that is no GLB, StaleTransition when the case is not the
    person's or a file of it is being looked at; nothing is written then.
    """
    case = access.access_artist_case(user_id=user_id, case_id=case_id, any_of=access.MAY_MODEL)
    _require_own(case, user_id=user_id)
    check_glb(data, max_bytes=settings.MAX_MESH_BYTES)
    upload_key = blobs.put(data, suffix=".glb", content_type=GLB)
    with transaction.atomic():
        case = _locked(case_id)
        _require_own(case, user_id=user_id)
        if case.status not in (ArtistCaseStatus.CLAIMED, ArtistCaseStatus.REWORK):
            raise StaleTransition(
                "A file of this case is being looked at, or was accepted; wait for the answer."
            )
        transition(
            case,
            ArtistCaseStatus.UPLOADED,
            by=Actor(user_id=user_id),
            reason="uploaded " + name.replace("\x00", ""),
            changes={"upload_key": upload_key, "report": None},
        )
        jobs.enqueue(
            kind="validate_mesh",
            key=f"mesh-{case.pk}-{uuid4().hex}",
            payload={"case_id": case.pk, "upload_key": upload_key},
            project_id=case.project_id,
        )
    return case


def accept_case(*, case_id: int, candidate: NewCandidate, report: dict[str, Any]) -> ArtistCase:
    """Makes the artist's mesh a candidate of the target and asks for its layout. A second run changes nothing."""
    if candidate.source != SOURCE:
        raise BadInput(f'A mesh of an artist\'s case has the source "{SOURCE}", not "{candidate.source}".')
    with transaction.atomic():
        case = _locked(case_id)
        if case.status == ArtistCaseStatus.ACCEPTED:
            return case
        row = candidate.row(project_id=case.project_id, target_id=case.target_id, batch_id=None)
        row.save(force_insert=True)
        transition(
            case, ArtistCaseStatus.ACCEPTED, by=WORKER, changes={"candidate_id": row.pk, "report": report}
        )
        jobs.enqueue(
            kind="propose_layout",
            key=f"layout-{row.pk}",
            payload={"candidate_id": row.pk},
            project_id=case.project_id,
        )
    return case


def send_back(*, case_id: int, report: dict[str, Any]) -> ArtistCase:
    """Gives the case back to its artist with what was wrong. A second run changes nothing."""
    with transaction.atomic():
        case = _locked(case_id)
        if case.status == ArtistCaseStatus.UPLOADED:
            transition(case, ArtistCaseStatus.REWORK, by=WORKER, changes={"report": report})
        else:
            log.info("a mesh was refused that is not waited for any more", extra={"case": case_id})
    return case


def _require_own(case: ArtistCase, *, user_id: int) -> None:
    if case.claimed_by_id != user_id:
        raise StaleTransition("This case is not yours: claim it first.")


def _locked(case_id: int) -> ArtistCase:
    case = ArtistCase.objects.select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise NotFound(f"There is no artist case {case_id}.")
    return case
