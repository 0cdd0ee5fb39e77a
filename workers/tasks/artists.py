"""Validation of what artists upload: accepted as a candidate, or sent back with reasons."""

from __future__ import annotations

from typing import Any

from engine import blobs
from engine.jobs import Hold
from engine.models import ArtistCase
from engine.services import artists
from engine.services.new_candidate import NewCandidate
from engine.states import ArtistCaseStatus
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.exports.glb import glb_from_mesh, preview_glb_from_mesh
from workers import policy
from workers.mesh_checks import inspect

GLB = "model/gltf-binary"


def _send_back(payload: dict[str, Any], error: str) -> None:
    reason = f"The mesh could not be checked: {error}"
    artists.send_back(
        case_id=payload["case_id"], report={"accepted": False, "reasons": [reason], "warnings": []}
    )


@policy.job("validate_mesh", abandon=_send_back, soft_time_limit=240, time_limit=300)
def validate_mesh(hold: Hold) -> dict[str, Any]:
    case = ArtistCase.objects.get(pk=hold.payload["case_id"])
    if case.status != ArtistCaseStatus.UPLOADED or case.upload_key != hold.payload["upload_key"]:
        return {"verdict": "superseded"}
    inspection = inspect(blobs.get(case.upload_key))
    if inspection.mesh is None:
        artists.send_back(case_id=case.pk, report=inspection.report)
    else:
        candidate = _candidate(inspection.mesh)
        artists.accept_case(case_id=case.pk, candidate=candidate, report=inspection.report)
    return {"verdict": "accepted" if inspection.mesh else "rework"}


def _candidate(mesh: ColouredMesh) -> NewCandidate:
    preview = preview_glb_from_mesh(mesh, name="artist")
    return NewCandidate(
        index=0,
        source="artist",
        mesh_key=blobs.put(glb_from_mesh(mesh, name="artist"), suffix=".glb", content_type=GLB),
        preview_key=blobs.put(preview, suffix=".glb", content_type=GLB),
        num_vertices=len(mesh.vertices),
        num_faces=len(mesh.faces),
    )
