"""None is good enough: the target becomes an artist's case, or its mask goes back to the photograph."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.errors import BadInput, LeaseLost
from engine.models import (
    AnnotationTask,
    ArtistCase,
    Assignment,
    Candidate,
    Project,
    Selection,
    StateChange,
    TargetObject,
)
from engine.selectors.tasks import ObjectTask, task_payload
from engine.services import leases, stage1, stage3
from engine.states import ArtistCaseStatus, AssignmentStatus, Stage, TargetStatus, TaskStatus
from tests.factories import NOW, POSE, claim, make_pick_task, mask_bytes
from tests.listening import Heard
from tests.people import People
from tests.picking import escalate, shown, submit

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def held(project: Project, people: People) -> Assignment:
    make_pick_task(project)
    return claim(people.ana.pk, project, Stage.PICK)


class TestEscalation:
    """None is good enough."""

    @pytest.mark.parametrize("reason", ["none_good", "ambiguous"])
    def test_the_target_becomes_an_artists_case(
        self, held: Assignment, reason: str, heard: Heard, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            ended = escalate(held, reason)
        case, selection = ArtistCase.objects.get(), Selection.objects.get()
        assert (ended.status, ended.task.status) == (AssignmentStatus.ESCALATED, TaskStatus.ESCALATED)
        assert (case.status, case.target_id, case.assignment_id) == (
            ArtistCaseStatus.OPEN,
            held.task.target_id,
            held.pk,
        )
        assert (case.reason, case.note) == (reason, "a handle is missing")
        assert (selection.winner, selection.none_because, selection.note) == (
            None,
            reason,
            "a handle is missing",
        )
        assert selection.shown_order == shown(held)
        moved = set(StateChange.objects.values_list("model", "old", "new"))
        assert {("assignment", "LEASED", "ESCALATED"), ("annotationtask", "OPEN", "ESCALATED")} <= moved
        assert ("artistcase", "", "OPEN") in moved
        assert {"type": "artist_case.changed", "id": str(case.pk), "status": "OPEN"} in heard.all()

    def test_a_wrong_mask_brings_the_photograph_back_first(self, project: Project, held: Assignment) -> None:
        make_pick_task(project)
        escalate(held, "mask_wrong", "two objects in one mask")
        assert not ArtistCase.objects.exists()
        again = AnnotationTask.objects.filter(image=held.task.image, stage=Stage.OBJECT).order_by("-id")[0]
        assert (again.status, again.priority) == (TaskStatus.OPEN, 10)
        assert claim(held.annotator_id, project, Stage.OBJECT).task_id == again.pk
        assert Selection.objects.get().note == "two objects in one mask"

    def test_a_target_with_a_wrong_mask_is_a_proposal_again_and_no_one_works_on_it(
        self, project: Project, people: People, heard: Heard, django_capture_on_commit_callbacks: Any
    ) -> None:
        task = make_pick_task(project)
        AnnotationTask.objects.filter(pk=task.pk).update(overlap=3, open_slots=3)
        one, two = claim(people.ana.pk, project, Stage.PICK), claim(people.bob.pk, project, Stage.PICK)
        winner = Candidate.objects.filter(batch=task.batch).order_by("index")[0]
        stage3.record_layout_proposal(
            candidate_id=winner.pk, checkpoint_id=None, source="test", pose=POSE, mask_iou=0.6, fallbacks=[]
        )
        with django_capture_on_commit_callbacks(execute=True):
            escalate(one, "mask_wrong", "the lid is missing")
        target = TargetObject.objects.get(pk=task.target_id)
        pose = AnnotationTask.objects.get(candidate=winner)
        assert (target.status, pose.status) == (TargetStatus.PROPOSED, TaskStatus.CANCELLED)
        moved = set(
            StateChange.objects.filter(reason="mask_wrong").values_list("model", "old", "new", "actor_id")
        )
        assert {
            ("targetobject", "CONFIRMED", "PROPOSED", people.ana.pk),
            ("annotationtask", "OPEN", "CANCELLED", people.ana.pk),
        } <= moved
        assert {"type": "target.changed", "id": str(target.pk), "status": "PROPOSED"} in heard.all()
        escalate(two, "mask_wrong", "two things")
        assert AnnotationTask.objects.filter(image=target.image, stage=Stage.OBJECT, priority=10).count() == 1

    def test_what_is_confirmed_after_a_wrong_mask_gets_candidates_anew(
        self, project: Project, held: Assignment
    ) -> None:
        escalate(held, "mask_wrong", "the lid is missing")
        again = claim(held.annotator_id, project, Stage.OBJECT)
        shown_now = task_payload(again)
        assert isinstance(shown_now, ObjectTask)
        assert [proposal.id for proposal in shown_now.proposals] == [held.task.target_id]
        assert shown_now.taken == []
        target = held.task.target
        assert target is not None
        redrawn = stage1.ObjectChoice(
            mask_png=mask_bytes(box=(5, 5, 40, 40)), label="Mug with lid", proposal_id=target.pk
        )
        answer = stage1.submit_object(
            user_id=held.annotator_id,
            assignment=again.uuid,
            lease_token=again.lease_token,
            key="again",
            seconds=9,
            targets=[redrawn],
            discard=None,
            now=NOW,
        )
        target.refresh_from_db()
        assert target.status == TargetStatus.DISCARDED
        assert answer["targets"] != [target.pk] and len(answer["batches"]) == 1

    def test_a_shape_for_a_wrong_mask_is_not_placed(self, held: Assignment) -> None:
        winner = shown(held)[0]
        escalate(held, "mask_wrong")
        stage3.record_layout_proposal(
            candidate_id=winner, checkpoint_id=None, source="test", pose=POSE, mask_iou=0.6, fallbacks=[]
        )
        assert not AnnotationTask.objects.filter(stage=Stage.POSE).exists()

    def test_a_long_note_is_kept_whole(self, held: Assignment) -> None:
        escalate(held, "mask_wrong", "n" * 2000)
        assert len(Selection.objects.get().note) == 2000

    def test_twice_is_once(self, held: Assignment) -> None:
        assert escalate(held).pk == escalate(held, now=LATER).pk
        assert ArtistCase.objects.count() == Selection.objects.count() == 1

    def test_a_target_has_one_open_case(self, project: Project, people: People) -> None:
        task = make_pick_task(project)
        AnnotationTask.objects.filter(pk=task.pk).update(overlap=2, open_slots=2)
        one, two = claim(people.ana.pk, project, Stage.PICK), claim(people.bob.pk, project, Stage.PICK)
        escalate(one)
        escalate(two)
        task.refresh_from_db()
        assert ArtistCase.objects.count() == 1 and Selection.objects.count() == 2
        assert (task.status, task.num_judgements) == (TaskStatus.ESCALATED, 2)

    def test_a_pick_beside_an_escalation_still_counts(self, project: Project, people: People) -> None:
        task = make_pick_task(project)
        AnnotationTask.objects.filter(pk=task.pk).update(overlap=2, open_slots=2)
        one, two = claim(people.ana.pk, project, Stage.PICK), claim(people.bob.pk, project, Stage.PICK)
        escalate(one)
        assert submit(two)["layout_requested"] is True
        task.refresh_from_db()
        assert (task.status, task.num_judgements) == (TaskStatus.ESCALATED, 2)

    def test_it_needs_the_live_lease_and_a_known_reason(self, held: Assignment) -> None:
        with pytest.raises(BadInput, match="none_good"):
            escalate(held, "bored")
        with pytest.raises(BadInput, match="note"):
            escalate(held, note="x" * 2001)
        leases.expire_leases(now=LATER)
        with pytest.raises(LeaseLost):
            escalate(held, now=LATER)
        held.refresh_from_db()
        assert held.draft["unsent_result"]["escalate"]["reason"] == "none_good"
        assert not ArtistCase.objects.exists()
