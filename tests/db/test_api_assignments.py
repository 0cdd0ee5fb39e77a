"""Claim, draft, submit and let go over HTTP: the reply, the row, and who may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engine.models import (
    Alignment,
    ArtistCase,
    Assignment,
    CandidateBatch,
    Comparison,
    Job,
    MaskEdit,
    Project,
    Selection,
    TargetObject,
)
from engine.states import Stage
from tests import factories, web
from tests.people import People, people_of
from tests.web import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


def expire(claim: Any) -> None:
    Assignment.objects.filter(uuid=claim["assignment"]).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )


def test_a_claim_gives_the_task_under_a_lease_and_the_same_again(desk: Project, people: People) -> None:
    image = factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    assert claim["stage"] == claim["task"]["kind"] == "object"
    assert (
        claim["draft"] is None
        and claim["draft_version"] == 0
        and claim["lease_seconds"] == desk.lease_seconds
    )
    photo = claim["task"]["photo"]
    assert (photo["id"], photo["width"], photo["height"]) == (image.pk, factories.WIDTH, factories.HEIGHT)
    assert photo["url"].startswith("http") and "Signature=" in photo["url"]
    held = Assignment.objects.get()
    assert (str(held.uuid), str(held.lease_token)) == (claim["assignment"], claim["lease_token"])
    assert ana.claim(desk.pk, "object")["lease_token"] == claim["lease_token"]
    assert Assignment.objects.count() == 1


def test_an_empty_answer_says_why_and_when_to_ask_again(desk: Project, people: People) -> None:
    def ask(who: Any) -> tuple[int, str | None, bool]:
        reply = Browser(who).post(f"/projects/{desk.pk}/claims", {"stage": "object"})
        return reply.status, reply.headers.get("X-Candid8-Reason"), int(reply.headers["Retry-After"]) > 0

    assert ask(people.ana) == (204, "empty", True)
    factories.make_image(desk)
    assert Browser(people.bob).claim(desk.pk, "object")
    assert ask(people.ana) == (204, "all_leased", True)
    assert ask(people.art) == (204, "not_qualified", True)
    Project.objects.update(paused=True)
    assert ask(people.ana) == (204, "paused", True)


def test_a_submitted_object_becomes_a_target_and_a_batch_and_a_repeat_gets_the_same_body(
    desk: Project, people: People
) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim, key = ana.claim(desk.pk, "object"), str(uuid4())
    first = ana.submit(claim, web.object_result(), key=key)
    assert first.status == 200 and first.body["status"] == "SUBMITTED"
    assert ana.submit(claim, web.object_result(), key=key) == first
    target = TargetObject.objects.get()
    assert (target.label, target.bbox, target.status) == ("blue mug", [10, 10, 20, 20], "CONFIRMED")
    assert MaskEdit.objects.count() == CandidateBatch.objects.count() == 1
    assert Job.objects.filter(kind="generate_candidates").count() == 1
    other = ana.submit(claim, web.object_result())
    assert (other.status, other.code) == (409, "idempotency_conflict")


def test_a_discard_ends_the_task_without_a_target(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    assert ana.submit(claim, {"discard": {"reason": "nothing to see"}}).status == 200
    assert MaskEdit.objects.get().discarded_because == "nothing to see"
    assert not TargetObject.objects.exists()


def test_a_pick_shows_the_candidates_without_their_makers_and_is_recorded(
    desk: Project, people: People
) -> None:
    factories.make_pick_task(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "pick")
    candidates = claim["task"]["candidates"]
    assert len(candidates) == 3
    known = {"id", "mesh_url", "preview_url", "splat_url", "pose"}
    assert all(set(candidate) == known for candidate in candidates)
    result = web.pick_result(claim)
    assert ana.submit(claim, result).status == 200
    selection = Selection.objects.get()
    assert (selection.winner_id, selection.rating) == (result["winner"], pytest.approx(0.875))
    assert Job.objects.filter(kind="propose_layout").count() == 1


def test_the_pairs_of_a_king_of_the_hill_are_recorded_in_order(desk: Project, people: People) -> None:
    Project.objects.update(stage2_mode="king")
    factories.make_pick_task(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "pick")
    first, second, third = (candidate["id"] for candidate in claim["task"]["candidates"])
    pairs = [
        {"left": first, "right": second, "outcome": "right", "milliseconds": 900},
        {"left": second, "right": third, "outcome": "equal", "milliseconds": 400},
    ]
    reply = ana.submit(claim, web.pick_result(claim, winner=second, mode="king", comparisons=pairs))
    assert reply.status == 200, reply
    assert list(Comparison.objects.order_by("order").values_list("left", "right", "outcome")) == [
        (first, second, "right"),
        (second, third, "equal"),
    ]


def test_an_escalated_pick_opens_an_artists_case(desk: Project, people: People) -> None:
    factories.make_pick_task(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "pick")
    body = {"lease_token": claim["lease_token"], "reason": "none_good", "note": "all of them lack the handle"}
    first = str(claim["task"]["candidates"][0]["id"])
    looked = {
        "seconds": 12.5,
        "inspected": {first: 800},
        "attention": {"orbits": {first: 2}, "looks": {"clay": 300}},
    }
    refused = ana.post(
        f"/assignments/{claim['assignment']}/escalate", {**body, **looked, "inspected": {"999999": 5}}
    )
    assert (refused.status, refused.code) == (400, "bad_request")
    reply = ana.post(f"/assignments/{claim['assignment']}/escalate", {**body, **looked})
    said = Selection.objects.get()
    assert (said.inspected, said.attention["orbits"]) == ({first: 800}, {first: 2})
    assert (said.attention["looks"], said.assignment.seconds) == ({"clay": 300}, 12.5)
    assert (reply.status, reply.body["status"]) == (200, "ESCALATED")
    case = ArtistCase.objects.get()
    assert (case.reason, case.note, case.status) == ("none_good", "all of them lack the handle", "OPEN")


def test_a_pose_is_recorded_with_the_unit_of_the_scene(desk: Project, people: People) -> None:
    factories.make_pose_task(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "pose")
    task = claim["task"]
    assert (
        task["proposal"]["scale"] == 0.5
        and task["point_cloud"]["unit"] == "m"
        and task["intrinsics"]["fx"] == 60
    )
    assert ana.submit(claim, web.pose_result()).status == 200
    alignment = Alignment.objects.get()
    assert alignment.pose["translation"] == [0.1, 0, 2] and alignment.pose["unit"] == "m"
    assert alignment.actions == {"move": 3} and not alignment.approximate


def test_a_result_of_another_stage_is_refused_and_nothing_is_written(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    reply = ana.submit(claim, web.pose_result())
    assert (reply.status, reply.code) == (400, "bad_request") and "object" in reply.body["detail"]
    assert Assignment.objects.get().status == "LEASED" and not Alignment.objects.exists()


def test_a_draft_is_saved_by_version_and_comes_back_with_the_claim(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    path, token = f"/assignments/{claim['assignment']}/draft", claim["lease_token"]

    def save(draft: Any, **headers: str) -> web.Reply:
        return ana.put(path, {"lease_token": token, "draft": draft}, **headers)

    assert save({"step": 1}, If_Match='"0"').body == {"draft_version": 1}
    stale = save({"step": 2}, If_Match='"0"')
    assert (stale.status, stale.code) == (412, "draft_conflict")
    assert (save({}).status, save({}).code) == (428, "draft_version_missing")
    assert save({}, If_Match="1").code == "bad_request"
    again = ana.claim(desk.pk, "object")
    assert (again["draft"], again["draft_version"]) == ({"step": 1}, 1)


def test_a_lost_lease_answers_409_everywhere_and_keeps_the_draft(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    path, token = f"/assignments/{claim['assignment']}", {"lease_token": claim["lease_token"]}
    expire(claim)
    for reply in (
        ana.put(f"{path}/draft", {**token, "draft": {"step": 7}}, If_Match='"0"'),
        ana.post(f"{path}/heartbeat", token),
        ana.post(f"{path}/release", token),
        ana.post(f"{path}/skip", {**token, "reason": "too hard"}),
        ana.post(f"{path}/refine", {**token, "box": [1, 1, 20, 20]}),
        ana.submit(claim, web.object_result()),
    ):
        assert (reply.status, reply.code) == (409, "lease_lost"), reply
    assert not TargetObject.objects.exists()
    draft = ana.claim(desk.pk, "object")["draft"]
    assert draft["step"] == 7 and draft["unsent_result"]["targets"][0]["label"] == "blue mug"


def test_a_heartbeat_prolongs_and_a_release_lets_go(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    path, token = f"/assignments/{claim['assignment']}", {"lease_token": claim["lease_token"]}
    beat = ana.post(f"{path}/heartbeat", token)
    assert beat.status == 200 and beat.body["expires_at"] >= claim["expires_at"]
    assert ana.post(f"{path}/release", token).body["status"] == "RELEASED"
    assert Browser(people.bob).claim(desk.pk, "object")["assignment"] != claim["assignment"]


def test_a_skipped_task_is_not_offered_to_the_same_person_again(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    body = {"lease_token": claim["lease_token"], "reason": "too dark"}
    assert ana.post(f"/assignments/{claim['assignment']}/skip", body).body["status"] == "SKIPPED"
    assert ana.post(f"/projects/{desk.pk}/claims", {"stage": "object"}).status == 204
    assert Browser(people.bob).claim(desk.pk, "object")


def test_a_refinement_is_a_job_whose_result_is_the_mask_itself(desk: Project, people: People) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    body = {"lease_token": claim["lease_token"], "box": [5, 5, 40, 40], "foreground_png": web.mask_base64()}
    reply = ana.post(f"/assignments/{claim['assignment']}/refine", body)
    assert reply.status == 202
    path = f"/jobs/{reply.body['job']}"
    waiting = ana.get(path).body
    assert (waiting["kind"], waiting["status"], waiting["result"], waiting["error"]) == (
        "refine_mask",
        "PENDING",
        None,
        None,
    )
    job = Job.objects.get(kind="refine_mask")
    Job.objects.filter(pk=job.pk).update(status="DONE", result={"mask_key": job.payload["foreground_key"]})
    assert ana.get(path).body["result"]["mask_png"].startswith("iVBOR")
    assert Browser(people.eve).get(path).status == 404


def test_a_snap_is_a_job_whose_answer_has_both_poses_measures(desk: Project, people: People) -> None:
    factories.make_pose_task(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "pose")
    pose = {"rotation_wxyz": [1, 0, 0, 0], "translation": [0, 0.1, 1.5], "scale": 0.4}
    path = f"/assignments/{claim['assignment']}/snap"
    reply = ana.post(path, {"lease_token": claim["lease_token"], **pose, "with_scale": True})
    assert reply.status == 202
    waiting = ana.get(f"/jobs/{reply.body['job']}").body
    assert (waiting["kind"], waiting["status"], waiting["snap"]) == ("snap_pose", "PENDING", None)
    measures = {"mask_iou": 0.5, "depth_residual": None, "fitness": 0.2}
    found = {
        "pose": {**pose, "unit": "m"}, "found": True, "num_points": 900, "before": measures, "after": measures
    }  # fmt: skip
    Job.objects.filter(uuid=reply.body["job"]).update(status="DONE", result=found)
    assert ana.get(f"/jobs/{reply.body['job']}").body["snap"] == found
    assert ana.post(path, {"lease_token": claim["lease_token"], **pose, "scale": 0}).status == 400


def test_another_persons_assignment_is_not_there(desk: Project, people: People) -> None:
    factories.make_image(desk)
    claim = Browser(people.ana).claim(desk.pk, "object")
    reply = Browser(people.bob).submit(claim, web.object_result())
    assert (reply.status, reply.code) == (404, "not_found")
    assert Assignment.objects.get().status == "LEASED"


MAKERS = {
    Stage.OBJECT: factories.make_image,
    Stage.PICK: factories.make_pick_task,
    Stage.POSE: factories.make_pose_task,
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("how_many", [1, 40])
def test_a_claim_costs_at_most_6_and_a_submit_at_most_10_statements_however_much_there_is(
    stage: Stage, how_many: int
) -> None:
    desk = factories.make_project()
    people = people_of(desk)
    factories.make_bare_images(desk, how_many=how_many)
    for _ in range(1 if how_many == 1 else 4):
        MAKERS[stage](desk)
    ana = Browser(people.ana)
    with CaptureQueriesContext(connection) as claiming:
        claim = ana.claim(desk.pk, stage.value)
    result = {
        Stage.OBJECT: web.object_result,
        Stage.PICK: lambda: web.pick_result(claim),
        Stage.POSE: web.pose_result,
    }[stage]()
    with CaptureQueriesContext(connection) as submitting:
        reply = ana.submit(claim, result)
    assert reply.status == 200, reply
    assert len(statements(claiming)) <= 6, statements(claiming)
    assert len(statements(submitting)) <= 10, statements(submitting)


def statements(captured: CaptureQueriesContext) -> list[str]:
    """What was asked of the database, without the brackets of transactions."""
    brackets = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(brackets)]
