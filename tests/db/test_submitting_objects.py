"""Stage 1 submits: what a confirmed or discarded photograph leaves behind, and what is refused."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine import blobs
from engine.errors import BadInput, IdempotencyConflict, LeaseLost, NoAccess, NotFound
from engine.models import (
    AnnotationTask,
    Assignment,
    CandidateBatch,
    Job,
    MaskEdit,
    Membership,
    Project,
    StateChange,
    TargetObject,
)
from engine.selectors.tasks import ObjectTask, task_payload
from engine.services import images, leases
from engine.services.rounds import current_round
from engine.services.stage1 import ObjectChoice, Prompt, Refinement, request_refinement, submit_object
from engine.states import AssignmentStatus, BatchStatus, Stage, TargetStatus, TaskStatus
from tests.factories import HEIGHT, NOW, WIDTH, claim, make_image, make_pick_task, mask_bytes, photo_bytes
from tests.listening import Heard
from tests.people import People

LATER = NOW + timedelta(hours=1)
MUG = ObjectChoice(mask_png=mask_bytes(), label="Blue mug", taxonomy_key="mug", flags=("glossy",))


@pytest.fixture
def held(project: Project, people: People) -> Assignment:
    make_image(project)
    return claim(people.ana.pk, project, Stage.OBJECT)


def submit(held: Assignment, *targets: ObjectChoice, **options: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": "key-1",
        "seconds": 12.5,
        "targets": targets,
        "discard": None,
        "now": NOW,
    }
    return submit_object(**{**values, **options})


def nothing_written(held: Assignment) -> bool:
    held.refresh_from_db()
    rows = (TargetObject.objects, MaskEdit.objects, CandidateBatch.objects)
    return held.status == AssignmentStatus.LEASED and not any(model.exists() for model in rows)


def test_a_confirmed_target_asks_for_its_candidates(
    held: Assignment, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = submit(held, MUG)
    target, batch = TargetObject.objects.get(), CandidateBatch.objects.get()
    assert answer == {
        "assignment": str(held.uuid),
        "status": "SUBMITTED",
        "targets": [target.pk],
        "batches": [batch.pk],
    }
    assert (target.status, target.label, target.flags) == (TargetStatus.CONFIRMED, "Blue mug", ["glossy"])
    assert (target.bbox, target.area_px) == ([10, 10, 20, 20], 400)
    assert target.taxonomy_entry is not None and target.taxonomy_entry.key == "mug"
    assert blobs.get(target.mask_key).startswith(b"\x89PNG")
    assert (batch.status, batch.num_requested, batch.round) == (
        BatchStatus.REQUESTED,
        3,
        current_round(batch.project_id),
    )
    job = Job.objects.get(kind="generate_candidates")
    assert (job.key, job.payload, job.queue) == (f"batch-{batch.pk}", {"batch_id": batch.pk}, "gpu")
    assert MaskEdit.objects.get().target_id == target.pk
    held.refresh_from_db()
    assert (held.status, held.seconds, held.submit_key) == (AssignmentStatus.SUBMITTED, 12.5, "key-1")
    assert held.task.status == TaskStatus.DONE and held.task.num_judgements == 1
    moved = set(StateChange.objects.values_list("model", "old", "new"))
    assert {("targetobject", "", "CONFIRMED"), ("candidatebatch", "", "REQUESTED")} <= moved
    assert {("assignment", "LEASED", "SUBMITTED"), ("annotationtask", "OPEN", "DONE")} <= moved
    assert {body["type"] for body in heard.all()} >= {"assignment.changed", "batch.changed", "queue.changed"}


def test_several_targets_of_one_photograph_become_several_batches(held: Assignment) -> None:
    toy = ObjectChoice(mask_png=mask_bytes(box=(40, 5, 60, 20)), label="toy")
    answer = submit(held, MUG, toy)
    assert len(answer["targets"]) == len(answer["batches"]) == 2
    assert list(TargetObject.objects.order_by("id").values_list("label", flat=True)) == ["Blue mug", "toy"]


def test_a_discard_ends_the_task_and_makes_nothing(held: Assignment) -> None:
    answer = submit(held, discard="only people")
    assert (answer["targets"], answer["batches"]) == ([], [])
    assert MaskEdit.objects.get().discarded_because == "only people"
    assert not TargetObject.objects.exists() and not CandidateBatch.objects.exists()
    assert AnnotationTask.objects.get().status == TaskStatus.DONE


def test_a_repeat_gives_the_first_answer_and_writes_nothing_more(held: Assignment) -> None:
    first = submit(held, MUG)
    assert submit(held, MUG, now=LATER) == first
    assert TargetObject.objects.count() == CandidateBatch.objects.count() == MaskEdit.objects.count() == 1


def test_another_key_after_the_submit_is_a_conflict(held: Assignment) -> None:
    submit(held, MUG)
    with pytest.raises(IdempotencyConflict):
        submit(held, MUG, key="key-2")


@pytest.mark.parametrize("loss", ["expired", "foreign token", "swept"])
def test_a_submit_without_the_lease_is_kept_as_a_draft(held: Assignment, loss: str) -> None:
    leases.save_draft(
        user_id=held.annotator_id,
        assignment=held.uuid,
        lease_token=held.lease_token,
        draft={"zoom": 2},
        version=0,
        now=NOW,
    )
    if loss == "swept":
        leases.expire_leases(now=LATER)
    with pytest.raises(LeaseLost):
        submit(held, MUG, **({"lease_token": uuid4()} if loss == "foreign token" else {"now": LATER}))
    held.refresh_from_db()
    kept = held.draft["unsent_result"]["targets"][0]
    assert (
        held.draft["zoom"] == 2
        and base64.b64decode(kept["mask_png"]) == MUG.mask_png
        and kept["label"] == "Blue mug"
    )
    assert not TargetObject.objects.exists() and held.draft_version == 2


def test_nobody_submits_the_work_of_another(held: Assignment, people: People) -> None:
    with pytest.raises(NotFound):
        submit(held, MUG, user_id=people.bob.pk)
    assert nothing_written(held)


def test_who_lost_the_role_may_not_submit(held: Assignment) -> None:
    Membership.objects.filter(user_id=held.annotator_id).delete()
    with pytest.raises(NoAccess):
        submit(held, MUG)
    assert nothing_written(held)


def test_a_result_of_another_stage_is_refused(project: Project, people: People) -> None:
    make_pick_task(project)
    held = claim(people.ana.pk, project, Stage.PICK)
    with pytest.raises(BadInput, match="not of this stage"):
        submit(held, MUG)


def choice(**changes: Any) -> ObjectChoice:
    return ObjectChoice(**{"mask_png": MUG.mask_png, "label": "mug", **changes})


@pytest.mark.parametrize(
    ("targets", "options", "code", "words"),
    [
        ((), {}, "bad_request", "1 to 20 targets"),
        ((MUG,), {"discard": "both"}, "bad_request", "not both"),
        ((), {"discard": "  "}, "bad_request", "reason"),
        ((MUG, MUG), {}, "bad_mask", "same mask"),
        ((choice(label="  "),), {}, "bad_request", "label"),
        ((choice(taxonomy_key="car"),), {}, "bad_request", "mug, toy"),
        ((choice(proposal_id=999),), {}, "bad_request", "proposal"),
        ((choice(flags=("x" * 50,)),), {}, "bad_request", "flags"),
        ((choice(mask_png=b"no png"),), {}, "bad_mask", "PNG"),
        ((choice(mask_png=mask_bytes(width=10, height=10, box=(2, 2, 8, 8))),), {}, "bad_mask", "64 x 48"),
        ((choice(mask_png=mask_bytes(box=(0, 0, 1, 1))),), {}, "bad_mask", "at least 16"),
        ((choice(mask_png=mask_bytes(box=(0, 0, WIDTH, HEIGHT))),), {}, "bad_mask", "whole"),
        ((MUG,), {"key": ""}, "bad_request", "Idempotency-Key"),
        ((MUG,), {"seconds": float("nan")}, "bad_request", "seconds"),
        ((MUG,), {"seconds": -1.0}, "bad_request", "seconds"),
    ],
)
def test_what_will_not_do_is_refused_with_what_would(
    held: Assignment, targets: tuple[ObjectChoice, ...], options: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        submit(held, *targets, **options)
    assert refusal.value.code == code
    assert nothing_written(held)


class TestProposals:
    """Targets that were proposed before a person came."""

    @pytest.fixture
    def proposal(self, held: Assignment) -> TargetObject:
        return images.propose_target(image_id=held.task.image_id, mask_png=mask_bytes(), label="thing")

    def test_a_proposal_is_shown_and_made_once(self, held: Assignment, proposal: TargetObject) -> None:
        again = images.propose_target(image_id=held.task.image_id, mask_png=mask_bytes(), label="other")
        payload = task_payload(held)
        assert again.pk == proposal.pk and proposal.status == TargetStatus.PROPOSED
        assert isinstance(payload, ObjectTask) and [one.id for one in payload.proposals] == [proposal.pk]

    @pytest.mark.parametrize("named", [True, False])
    def test_the_same_mask_confirms_the_proposal(
        self, held: Assignment, proposal: TargetObject, named: bool
    ) -> None:
        answer = submit(
            held, choice(label="Mug", taxonomy_key="mug", proposal_id=proposal.pk if named else None)
        )
        proposal.refresh_from_db()
        assert answer["targets"] == [proposal.pk]
        assert (proposal.status, proposal.label) == (TargetStatus.CONFIRMED, "Mug")
        assert proposal.taxonomy_entry is not None and proposal.taxonomy_entry.key == "mug"

    def test_a_redrawn_proposal_gives_way_to_the_new_mask(
        self, held: Assignment, proposal: TargetObject
    ) -> None:
        answer = submit(held, choice(mask_png=mask_bytes(box=(11, 10, 30, 30)), proposal_id=proposal.pk))
        proposal.refresh_from_db()
        assert proposal.status == TargetStatus.DISCARDED and answer["targets"] != [proposal.pk]
        assert (
            StateChange.objects.get(model="targetobject", object_id=proposal.pk, new="DISCARDED").reason
            == "redrawn"
        )

    def test_a_mask_that_was_taken_already_is_refused(
        self, project: Project, people: People, held: Assignment
    ) -> None:
        submit(held, MUG)
        AnnotationTask.objects.create(project=project, stage=Stage.OBJECT, image_id=held.task.image_id)
        second = claim(people.bob.pk, project, Stage.OBJECT)
        payload = task_payload(second)
        assert (
            isinstance(payload, ObjectTask)
            and len(payload.taken) == 1
            and payload.taken[0].taxonomy_key == "mug"
        )
        with pytest.raises(BadInput, match="already taken"):
            submit(second, MUG)


def test_overlapping_judgements_end_the_task_at_the_last(project: Project, people: People) -> None:
    make_image(project)
    AnnotationTask.objects.update(overlap=2, open_slots=2)
    one, two = claim(people.ana.pk, project, Stage.OBJECT), claim(people.bob.pk, project, Stage.OBJECT)
    submit(one, MUG)
    task = AnnotationTask.objects.get()
    assert (task.status, task.num_judgements) == (TaskStatus.OPEN, 1)
    submit(two, choice(mask_png=mask_bytes(box=(12, 10, 30, 30))))
    task.refresh_from_db()
    assert (task.status, task.num_judgements, task.open_slots) == (TaskStatus.DONE, 2, 0)


class TestRefinement:
    """Asking a worker for a better mask."""

    def ask(self, held: Assignment, token: UUID | None = None, **request: Any) -> Job:
        return request_refinement(
            user_id=held.annotator_id,
            assignment=held.uuid,
            lease_token=token or held.lease_token,
            request=Refinement(**request),
            now=NOW,
        )

    def test_the_job_names_the_stored_drawings(self, held: Assignment) -> None:
        job = self.ask(held, box=(1.0, 2.0, 30.0, 40.0), foreground_png=mask_bytes(width=32, height=24))
        assert (job.kind, job.queue, job.project_id) == ("refine_mask", "interactive", held.project_id)
        assert job.payload["image_key"] == held.task.image.key and job.payload["box"] == [
            1.0,
            2.0,
            30.0,
            40.0,
        ]
        assert job.payload["mask_key"] == job.payload["background_key"] == ""
        assert blobs.get(job.payload["foreground_key"]) == mask_bytes(width=32, height=24)

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            ({}, "nothing to refine"),
            ({"background_png": mask_bytes()}, "nothing to refine"),
            ({"box": (30.0, 2.0, 1.0, 40.0)}, "x0 < x1"),
            ({"box": (0.0, 0.0, 500.0, 40.0)}, "inside 64 x 48"),
            ({"box": (0.0, 0.0, float("nan"), 40.0)}, "box"),
            ({"points": (Prompt(x=3.0, y=3.0, is_object=False),)}, "nothing to refine"),
            ({"points": (Prompt(x=65.0, y=3.0, is_object=True),)}, "inside 64 x 48"),
            ({"points": (Prompt(x=float("nan"), y=3.0, is_object=True),)}, "inside 64 x 48"),
            ({"points": (Prompt(x=3.0, y=3.0, is_object=True),) * 101}, "100 points"),
            ({"mask_png": b"\x89PNG nothing"}, "PNG"),
            ({"mask_png": mask_bytes(width=30, height=30)}, "aspect"),
            ({"mask_png": mask_bytes(width=640, height=480)}, "larger"),
        ],
    )
    def test_what_cannot_be_refined_is_refused(
        self, held: Assignment, request_: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(BadInput, match=words):
            self.ask(held, **request_)
        assert not Job.objects.filter(kind="refine_mask").exists()

    def test_a_point_on_the_object_is_enough_and_reaches_the_worker(self, held: Assignment) -> None:
        points = (Prompt(x=20.5, y=9.0, is_object=True), Prompt(x=1.0, y=2.0, is_object=False))
        assert self.ask(held, points=points).payload["points"] == [[20.5, 9.0, True], [1.0, 2.0, False]]

    def test_a_small_drawing_of_a_flat_photograph_may_be_off_by_a_pixel(
        self, project: Project, people: People
    ) -> None:
        images.ingest_image(
            project_id=project.pk, data=photo_bytes(width=3000, height=33), name="flat", user_id=None
        )
        flat = claim(people.bob.pk, project, Stage.OBJECT)
        small = mask_bytes(box=(10, 2, 30, 9), width=1024, height=11)
        assert self.ask(flat, mask_png=small).payload["mask_key"]
        with pytest.raises(BadInput, match="aspect"):
            self.ask(flat, mask_png=mask_bytes(box=(10, 2, 30, 9), width=1024, height=14))

    def test_it_needs_the_live_lease(self, held: Assignment) -> None:
        with pytest.raises(LeaseLost):
            self.ask(held, token=uuid4(), box=(0.0, 0.0, 9.0, 9.0))


def test_the_warnings_that_stood_are_kept_with_the_judgement_and_refuse_nothing(held: Assignment) -> None:
    submit(held, choice(warnings=("border", "parts")))
    assert MaskEdit.objects.get().warnings == ["border", "parts"]


@pytest.mark.parametrize("warnings", [("",), ("x" * 41,), ("small",) * 11])
def test_warnings_that_are_no_names_are_refused(held: Assignment, warnings: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="warnings"):
        submit(held, choice(warnings=warnings))


def test_a_photograph_sent_as_a_mask_is_refused(held: Assignment) -> None:
    with pytest.raises(BadInput, match="PNG"):
        submit(held, choice(mask_png=photo_bytes(kind="JPEG")))
