"""Artists' cases: claim, upload, accept or send back."""

from __future__ import annotations

from typing import Any

import pytest

from engine import blobs
from engine.errors import BadInput, NoAccess, NotFound, StaleTransition
from engine.models import AnnotationTask, ArtistCase, Candidate, Job, Project, StateChange
from engine.selectors.artist_cases import case_rows, case_view
from engine.services import artists
from engine.services.new_candidate import NewCandidate
from engine.services.stage2 import escalate_pick
from engine.states import ArtistCaseStatus, Stage
from tests.factories import NOW, claim, glb_bytes, make_image, make_pick_task, make_target
from tests.listening import Heard
from tests.people import People, person

MESH = NewCandidate(index=0, source="artist", mesh_key="aa/art.glb", preview_key="aa/small.glb", num_faces=12)


@pytest.fixture
def case(project: Project, people: People) -> ArtistCase:
    make_pick_task(project)
    held = claim(people.ana.pk, project, Stage.PICK)
    escalate_pick(
        user_id=people.ana.pk,
        assignment=held.uuid,
        lease_token=held.lease_token,
        reason="none_good",
        note="a handle is missing",
        now=NOW,
    )
    return ArtistCase.objects.get()


@pytest.fixture
def uploaded(case: ArtistCase, people: People) -> ArtistCase:
    artists.claim_case(user_id=people.art.pk, case_id=case.pk)
    return artists.upload_mesh(user_id=people.art.pk, case_id=case.pk, data=glb_bytes(), name="mug.glb")


def moves_of(case: ArtistCase) -> list[str]:
    changes = StateChange.objects.filter(model="artistcase", object_id=case.pk).order_by("id")
    return [change.new for change in changes]


def test_art_takes_a_case_and_it_is_arts(
    case: ArtistCase, people: People, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        taken = artists.claim_case(user_id=people.art.pk, case_id=case.pk)
    assert (taken.status, taken.claimed_by_id) == (ArtistCaseStatus.CLAIMED, people.art.pk)
    assert artists.claim_case(user_id=people.art.pk, case_id=case.pk).pk == case.pk
    assert moves_of(case) == ["OPEN", "CLAIMED"]
    assert {"type": "artist_case.changed", "id": str(case.pk), "status": "CLAIMED"} in heard.all()


def test_another_artist_finds_it_taken(case: ArtistCase, people: People) -> None:
    artists.claim_case(user_id=people.art.pk, case_id=case.pk)
    with pytest.raises(StaleTransition, match="Another artist"):
        artists.claim_case(user_id=people.lea.pk, case_id=case.pk)
    with pytest.raises(StaleTransition, match="not yours"):
        artists.upload_mesh(user_id=people.lea.pk, case_id=case.pk, data=glb_bytes(), name="x.glb")
    with pytest.raises(StaleTransition, match="not yours"):
        artists.release_case(user_id=people.lea.pk, case_id=case.pk)


def test_annotators_model_nothing_and_strangers_see_nothing(case: ArtistCase, people: People) -> None:
    with pytest.raises(NoAccess):
        artists.claim_case(user_id=people.ana.pk, case_id=case.pk)
    with pytest.raises(NotFound):
        artists.claim_case(user_id=people.eve.pk, case_id=case.pk)


def test_a_released_case_is_everybodys_again(case: ArtistCase, people: People) -> None:
    artists.claim_case(user_id=people.art.pk, case_id=case.pk)
    for _ in range(2):
        assert artists.release_case(user_id=people.art.pk, case_id=case.pk).status == ArtistCaseStatus.OPEN
    case.refresh_from_db()
    assert case.claimed_by is None


def test_an_upload_is_stored_and_looked_at(uploaded: ArtistCase) -> None:
    job = Job.objects.get(kind="validate_mesh")
    assert uploaded.status == ArtistCaseStatus.UPLOADED
    assert blobs.get(uploaded.upload_key) == glb_bytes()
    assert (job.payload, job.queue) == ({"case_id": uploaded.pk, "upload_key": uploaded.upload_key}, "cpu")


def test_no_second_file_while_one_is_looked_at(uploaded: ArtistCase, people: People) -> None:
    with pytest.raises(StaleTransition, match="being looked at"):
        artists.upload_mesh(user_id=people.art.pk, case_id=uploaded.pk, data=glb_bytes(), name="x.glb")
    assert Job.objects.filter(kind="validate_mesh").count() == 1


def test_a_file_that_is_no_glb_is_refused(case: ArtistCase, people: People) -> None:
    artists.claim_case(user_id=people.art.pk, case_id=case.pk)
    with pytest.raises(BadInput, match="export binary glTF") as refusal:
        artists.upload_mesh(
            user_id=people.art.pk, case_id=case.pk, data=b"o Mug\nv 0 0 0\n" * 9, name="mug.obj"
        )
    case.refresh_from_db()
    assert (
        refusal.value.code == "bad_mesh" and case.status == ArtistCaseStatus.CLAIMED and not case.upload_key
    )
    assert not Job.objects.filter(kind="validate_mesh").exists()


def test_an_accepted_mesh_becomes_a_candidate_with_a_layout_to_come(uploaded: ArtistCase) -> None:
    for _ in range(2):
        accepted = artists.accept_case(case_id=uploaded.pk, candidate=MESH, report={"watertight": True})
    made = Candidate.objects.get(source="artist")
    assert (accepted.status, accepted.candidate_id) == (ArtistCaseStatus.ACCEPTED, made.pk)
    assert accepted.report == {"watertight": True}
    assert (made.target_id, made.batch, made.mesh_key) == (uploaded.target_id, None, "aa/art.glb")
    assert Job.objects.get(kind="propose_layout").payload == {"candidate_id": made.pk}
    assert not AnnotationTask.objects.filter(stage="pose").exists(), "not before the proposal"


def test_a_mesh_that_will_not_do_comes_back_with_reasons_and_is_sent_anew(
    uploaded: ArtistCase, people: People
) -> None:
    for _ in range(2):
        back = artists.send_back(case_id=uploaded.pk, report={"problems": ["two shells"]})
    assert (back.status, back.claimed_by_id) == (ArtistCaseStatus.REWORK, people.art.pk)
    assert case_view(back.pk).report == {"problems": ["two shells"]}
    artists.upload_mesh(user_id=people.art.pk, case_id=back.pk, data=glb_bytes(), name="mug2.glb")
    assert Job.objects.filter(kind="validate_mesh").count() == 2
    assert moves_of(back) == ["OPEN", "CLAIMED", "UPLOADED", "REWORK", "UPLOADED"]


def test_only_a_mesh_of_an_artist_is_accepted(uploaded: ArtistCase) -> None:
    with pytest.raises(BadInput, match="source"):
        artists.accept_case(
            case_id=uploaded.pk,
            candidate=NewCandidate(index=0, source="retrieval", mesh_key="aa/a.glb", preview_key="aa/b.glb"),
            report={},
        )


def test_the_brief_shows_what_failed_and_what_was_said(case: ArtistCase, project: Project) -> None:
    brief = case_view(case.pk)
    assert len(brief.candidates) == 3 and all(one.preview_url for one in brief.candidates)
    assert (brief.note, brief.reason, brief.claimed_by, brief.mesh_url) == (
        "a handle is missing",
        "none_good",
        None,
        None,
    )
    assert [row.id for row in case_rows(project_id=project.pk, status="OPEN")] == [case.pk]
    assert case_rows(project_id=project.pk, status="REWORK") == []
    with pytest.raises(BadInput, match="OPEN, CLAIMED"):
        case_rows(project_id=project.pk, status="LOST")


def test_the_queue_costs_one_query_however_long(
    project: Project, case: ArtistCase, people: People, django_assert_num_queries: Any
) -> None:
    for number in range(3):
        target = make_target(make_image(project), label=f"mug {number}")
        ArtistCase.objects.create(
            project=project, target=target, reason="none_good", claimed_by=person("art")
        )
    with django_assert_num_queries(1):
        assert len(case_rows(project_id=project.pk)) == 4
