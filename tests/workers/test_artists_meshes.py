"""An artist's upload through a real worker: sent back with reasons, then accepted as a candidate."""

from __future__ import annotations

import trimesh

from engine import blobs
from engine.models import ArtistCase, Candidate, Job, Project
from engine.services import artists
from engine.states import ArtistCaseStatus, JobStatus
from tests.factories import make_image, make_target
from tests.people import people_of
from tests.running_worker import RunningWorker, finished
from workers import mesh_files


def glb(extents: tuple[float, float, float]) -> bytes:
    return bytes(trimesh.Scene([trimesh.creation.box(extents=extents)]).export(file_type="glb"))


def newest_check() -> Job:
    job = Job.objects.filter(kind="validate_mesh").order_by("-pk").first()
    assert job is not None
    return finished(job)


def test_a_flat_mesh_goes_back_to_its_artist_and_a_sound_one_becomes_a_candidate(
    project: Project, worker: RunningWorker
) -> None:
    art = people_of(project).art
    case = ArtistCase.objects.create(
        project=project, target=make_target(make_image(project)), reason="none_good"
    )
    artists.claim_case(user_id=art.pk, case_id=case.pk)

    artists.upload_mesh(user_id=art.pk, case_id=case.pk, data=glb((1.0, 1.0, 0.0)), name="sheet.glb")
    assert newest_check().status == JobStatus.DONE
    case.refresh_from_db()
    assert case.status == ArtistCaseStatus.REWORK
    assert "flat sheet" in case.report["reasons"][0]
    assert not Candidate.objects.exists()

    artists.upload_mesh(user_id=art.pk, case_id=case.pk, data=glb((1.0, 2.0, 3.0)), name="mug.glb")
    assert newest_check().status == JobStatus.DONE
    case.refresh_from_db()
    assert case.status == ArtistCaseStatus.ACCEPTED
    candidate = Candidate.objects.get()
    assert (candidate.source, candidate.checkpoint_id, case.candidate_id) == ("artist", None, candidate.pk)
    assert abs(mesh_files.shape_from_glb(blobs.get(candidate.mesh_key)).vertices).max() <= 0.5
    assert Job.objects.filter(kind="propose_layout", payload={"candidate_id": candidate.pk}).exists()
