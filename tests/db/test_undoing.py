"""Taking one's last word back: what it set going goes with it, and where somebody built on it, it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.errors import BadInput, CannotUndo, LeaseLost
from engine.models import (
    AnnotationTask,
    ArtistCase,
    Assignment,
    CandidateBatch,
    DatasetVersion,
    Job,
    LayoutProposal,
    Project,
    Selection,
    StateChange,
    TargetObject,
)
from engine.selectors.lineage import target_lineage
from engine.selectors.own_answers import UNDO_WITHIN
from engine.selectors.quality import yields
from engine.selectors.tasks import PickTask, task_payload
from engine.services import artists, candidates, datasets, leases, stage3
from engine.services.attention import Looked
from engine.services.evidence import read_evidence
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PairJudged, PickResult, escalate_pick, submit_pick
from engine.services.stage3 import PoseResult, report_pose, submit_pose
from engine.services.undo import undo
from engine.states import Stage
from engine.transitions import Actor
from tests.factories import (
    NOW,
    POSE,
    claim,
    make_image,
    make_pick_task,
    make_pose_task,
    make_ready_batch,
    mask_bytes,
    new_candidates,
)
from tests.people import People

SOON = NOW + timedelta(minutes=1)


def given(held: Assignment, *, key: str = "key-1") -> dict[str, Any]:
    return {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": key,
        "seconds": 10.0,
        "now": NOW,
    }


def under(held: Assignment) -> dict[str, Any]:
    """What ends an assignment without a judgement."""
    return {
        name: value
        for name, value in given(held).items()
        if name in ("user_id", "assignment", "lease_token", "now")
    }


def shown(held: Assignment) -> list[int]:
    payload = task_payload(held)
    assert isinstance(payload, PickTask)
    return [one.id for one in payload.candidates]


def picks(held: Assignment, *, winner: int | None = None, marks: int = 5, key: str = "key-1") -> int:
    """Submits a direct pick; the winner."""
    best = shown(held)[0] if winner is None else winner
    result = PickResult(winner=best, mode="grid", shape_rating=marks, texture_rating=marks)
    submit_pick(result=result, **given(held, key=key))
    return best


def marks(held: Assignment, **choice: Any) -> TargetObject:
    made = {"mask_png": mask_bytes(), "label": "mug", "taxonomy_key": "mug", **choice}
    answer = submit_object(targets=[ObjectChoice(**made)], discard=None, **given(held))
    return TargetObject.objects.get(pk=answer["targets"][0])


def takes_back(held: Assignment, *, now: Any = SOON) -> Assignment:
    return undo(user_id=held.annotator_id, assignment=held.uuid, now=now)


def refusal(held: Assignment, *, now: Any = SOON) -> str:
    """The code; and nothing may have changed by the try."""
    before = [
        list(model.objects.order_by("pk").values()) for model in (Assignment, AnnotationTask, TargetObject)
    ]
    with pytest.raises(CannotUndo) as refused:
        takes_back(held, now=now)
    assert before == [
        list(model.objects.order_by("pk").values()) for model in (Assignment, AnnotationTask, TargetObject)
    ]
    assert refused.value.message
    return refused.value.code


def statuses(*rows: Any) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


class TestAnObject:
    def test_the_task_comes_back_with_the_answer_and_its_batch_is_withdrawn(
        self, project: Project, people: People
    ) -> None:
        image = make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        target = marks(held, flags=("occluded",))
        again = takes_back(held)
        batch = CandidateBatch.objects.get()
        assert statuses(held, target, batch, held.task) == ["RETRACTED", "PROPOSED", "WITHDRAWN", "OPEN"]
        assert (held.task.num_judgements, held.task.open_slots) == (0, 0)
        assert (again.status, again.task.image_id, again.prefetched) == ("LEASED", image.pk, False)
        assert again.draft == {
            "taken_back": {
                "targets": [
                    {"label": "mug", "taxonomy_key": "mug", "flags": ["occluded"], "proposal_id": target.pk}
                ]
            }
        }
        assert target_lineage(target.pk).masked_by == ()
        assert claim(people.ana.pk, project, Stage.OBJECT, now=SOON).pk == again.pk

    def test_the_same_mask_can_be_sent_again_and_makes_one_pick_and_no_more(
        self, project: Project, people: People
    ) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        target = marks(held)
        old = CandidateBatch.objects.get()
        candidates.begin_batch(batch_id=old.pk)
        again = takes_back(held)
        assert marks(again, proposal_id=target.pk).pk == target.pk
        candidates.complete_batch(batch_id=old.pk, candidates=new_candidates(old), seconds=1.0)
        new = CandidateBatch.objects.exclude(pk=old.pk).get()
        candidates.complete_batch(batch_id=new.pk, candidates=new_candidates(new), seconds=1.0)
        assert statuses(target, old, new) == ["CONFIRMED", "WITHDRAWN", "READY"]
        assert AnnotationTask.objects.get(stage="pick").batch_id == new.pk

    def test_a_waiting_pick_goes_with_it_and_a_proposal_that_was_redrawn_is_there_again(
        self, project: Project, people: People
    ) -> None:
        image = make_image(project)
        drawn = TargetObject.objects.create(
            project=project, image=image, mask_key="a", mask_sha256="b", bbox=[0, 0, 2, 2], area_px=4
        )
        held = claim(people.ana.pk, project, Stage.OBJECT)
        marks(held, proposal_id=drawn.pk)
        batch = CandidateBatch.objects.get()
        candidates.begin_batch(batch_id=batch.pk)
        candidates.complete_batch(batch_id=batch.pk, candidates=new_candidates(batch), seconds=1.0)
        takes_back(held)
        task = AnnotationTask.objects.get(stage="pick")
        assert statuses(drawn, batch, task) == ["PROPOSED", "WITHDRAWN", "CANCELLED"]

    def test_it_stands_once_somebody_picks(self, project: Project, people: People) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        marks(held)
        batch = CandidateBatch.objects.get()
        candidates.begin_batch(batch_id=batch.pk)
        candidates.complete_batch(batch_id=batch.pk, candidates=new_candidates(batch), seconds=1.0)
        picking = claim(people.bob.pk, project, Stage.PICK)
        assert refusal(held) == "undo_built_on"
        leases.release(**under(picking))
        takes_back(held)
        assert claim_fails(people.bob.pk, project, Stage.PICK)

    def test_a_photograph_found_useless_is_work_again(self, project: Project, people: People) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        leases.save_draft(**under(held), draft={"targets": [], "current": None}, version=0)
        submit_object(targets=(), discard="only sky", **given(held))
        again = takes_back(held)
        assert again.draft == {"targets": [], "current": None} and again.task.status == "OPEN"


def claim_fails(user_id: int, project: Project, stage: Stage) -> bool:
    return not isinstance(
        leases.claim(user_id=user_id, project_id=project.pk, stage=stage, now=SOON), Assignment
    )


class TestAPick:
    @pytest.fixture
    def held(self, project: Project, people: People) -> Assignment:
        make_pick_task(project)
        return claim(people.ana.pk, project, Stage.PICK)

    def test_it_comes_back_in_the_same_order_with_every_comparison(self, held: Assignment) -> None:
        a, b, c = shown(held)
        pairs = [
            PairJudged(left=a, right=b, outcome="left", milliseconds=900),
            PairJudged(left=a, right=c, outcome="equal", milliseconds=700),
        ]
        result = PickResult(
            winner=c, mode="king", shape_rating=4, texture_rating=2, comparisons=pairs, inspected={a: 50}
        )
        submit_pick(result=result, **given(held))
        again = takes_back(held)
        assert shown(again) == [a, b, c]
        assert again.draft is not None
        said = again.draft["taken_back"]
        assert (said["winner"], said["mode"], said["shape_rating"], said["texture_rating"]) == (
            c,
            "king",
            4,
            2,
        )
        assert said["comparisons"] == [
            {"left": a, "right": b, "outcome": "left", "milliseconds": 900},
            {"left": a, "right": c, "outcome": "equal", "milliseconds": 700},
        ]
        assert said["inspected"] == {str(a): 50}

    def test_nobody_reads_what_was_taken_back(self, project: Project, held: Assignment) -> None:
        winner = picks(held)
        assert len(read_evidence(project.pk).judgements.picks) == 1
        again = takes_back(held)
        evidence = read_evidence(project.pk)
        assert not evidence.judgements.picks and not evidence.candidates
        assert yields(project.pk) == {}
        assert target_lineage(again.task.target_id or 0).picks == ()
        assert Selection.objects.count() == 1 and not Selection.standing.exists()
        other = next(one for one in shown(again) if one != winner)
        picks(again, winner=other, key="key-2")
        [pick] = read_evidence(project.pk).judgements.picks
        assert (pick.winner, [each.picks for each in yields(project.pk).values()]) == (other, [1])
        again.task.refresh_from_db()
        assert (again.task.status, again.task.num_judgements) == ("DONE", 1)

    def test_its_pose_task_waits_until_somebody_picks_the_shape_again(self, held: Assignment) -> None:
        winner = picks(held)
        proposes(winner)
        again = takes_back(held)
        pose = AnnotationTask.objects.get(stage="pose")
        assert pose.status == "CANCELLED"
        picks(again, winner=winner, key="key-2")
        assert Job.objects.filter(kind="propose_layout").count() == 2
        proposes(winner)
        assert statuses(pose) == ["OPEN"] and LayoutProposal.objects.count() == 1

    def test_a_layout_that_comes_late_opens_nothing(self, held: Assignment) -> None:
        winner = picks(held)
        takes_back(held)
        proposes(winner)
        assert not AnnotationTask.objects.filter(stage="pose").exists()

    def test_it_stands_once_somebody_places_the_shape(
        self, project: Project, people: People, held: Assignment
    ) -> None:
        proposes(picks(held))
        claim(people.bob.pk, project, Stage.POSE)
        assert refusal(held) == "undo_built_on"

    def test_a_frozen_version_keeps_it(self, project: Project, held: Assignment) -> None:
        picks(held)
        version = datasets.freeze(project_id=project.pk, alpha=None, actor=Actor(name="test"))
        before = DatasetVersion.objects.values().get(pk=version.pk)
        Assignment.objects.filter(pk=held.pk).update(ended_at=version.frozen_at)
        assert version.frozen_at is not None
        assert refusal(held, now=version.frozen_at) == "undo_frozen"
        assert DatasetVersion.objects.values().get(pk=version.pk) == before

    def test_the_pose_stays_when_somebody_else_picked_the_same(
        self, project: Project, people: People
    ) -> None:
        task = make_pick_task(project)
        AnnotationTask.objects.filter(pk=task.pk).update(overlap=2, open_slots=2)
        AnnotationTask.objects.filter(stage="pick").exclude(pk=task.pk).update(status="CANCELLED")
        ana, bob = (claim(who.pk, project, Stage.PICK) for who in (people.ana, people.bob))
        winner = picks(ana)
        picks(bob, winner=winner)
        proposes(winner)
        takes_back(ana)
        task.refresh_from_db()
        assert (task.status, task.num_judgements, task.open_slots) == ("OPEN", 1, 0)
        assert AnnotationTask.objects.get(stage="pose").status == "OPEN"

    def test_the_case_it_opened_is_withdrawn_but_not_from_an_artist(
        self, people: People, held: Assignment
    ) -> None:
        escalate_pick(**under(held), reason="none_good", note="no handle")
        case = ArtistCase.objects.get()
        artists.claim_case(user_id=people.art.pk, case_id=case.pk)
        assert refusal(held) == "undo_built_on"
        artists.release_case(user_id=people.art.pk, case_id=case.pk)
        again = takes_back(held)
        assert statuses(case, held.task) == ["WITHDRAWN", "OPEN"]
        escalate_pick(**under(again), reason="ambiguous", note="")
        assert ArtistCase.objects.exclude(pk=case.pk).get().status == "OPEN"

    def test_a_mask_called_wrong_is_right_again(self, project: Project, held: Assignment) -> None:
        target = held.task.target
        assert target is not None
        other = AnnotationTask.objects.get(batch=make_ready_batch(target))
        escalate_pick(**under(held), reason="mask_wrong", note="")
        redo = AnnotationTask.objects.filter(stage="object").latest("pk")
        assert statuses(target, other, redo) == ["PROPOSED", "CANCELLED", "OPEN"]
        takes_back(held)
        assert statuses(target, other, redo, held.task) == ["CONFIRMED", "OPEN", "CANCELLED", "OPEN"]


def proposes(winner: int) -> None:
    """The worker's layout for the winner."""
    stage3.record_layout_proposal(
        candidate_id=winner, checkpoint_id=None, source="test", pose=POSE, mask_iou=0.5, fallbacks=[]
    )


class TestAPose:
    @pytest.fixture
    def held(self, project: Project, people: People) -> Assignment:
        make_pose_task(project)
        return claim(people.ana.pk, project, Stage.POSE)

    def test_it_comes_back_where_it_was_put(self, project: Project, held: Assignment) -> None:
        result = PoseResult(
            rotation_wxyz=[1.0, 0.0, 0.0, 0.0], translation=[0.1, 0.0, 2.0], scale=0.5, mask_iou=0.7
        )
        submit_pose(result=result, **given(held))
        again = takes_back(held)
        assert again.draft is not None
        said = again.draft["taken_back"]
        assert (said["translation"], said["scale"], said["mask_iou"]) == ([0.1, 0.0, 2.0], 0.5, 0.7)
        assert not read_evidence(project.pk).alignments

    @pytest.mark.parametrize("reason", ["shape_wrong", "mask_wrong", "ambiguous"])
    def test_a_shape_that_cannot_be_placed_goes_where_it_can_be_mended_and_back(
        self, held: Assignment, reason: str
    ) -> None:
        target = held.task.target
        assert target is not None
        with pytest.raises(BadInput, match="leave them out"):
            report_pose(**under(held), reason=reason, note="", looked=Looked(inspected={1: 5}))
        looked = Looked(seconds=20.0)
        ended = report_pose(**under(held), reason=reason, note="two of them", looked=looked)
        assert ended.seconds == 20.0
        assert report_pose(**under(held), reason=reason, note="two of them") == ended, "twice is once"
        assert statuses(ended, held.task) == ["ESCALATED", "ESCALATED"]
        if reason == "mask_wrong":
            assert statuses(target) == ["PROPOSED"] and not ArtistCase.objects.exists()
        else:
            case = ArtistCase.objects.get()
            assert (case.reason, case.note, case.assignment_id) == (reason, "two of them", held.pk)
        takes_back(held)
        assert statuses(target, held.task) == ["CONFIRMED", "OPEN"]
        assert not ArtistCase.objects.exclude(status="WITHDRAWN").exists()


class TestTheLease:
    def test_the_task_in_hand_becomes_the_next_one_and_the_one_ahead_goes_back(
        self, project: Project, people: People
    ) -> None:
        for _ in range(3):
            make_image(project)
        first = claim(people.ana.pk, project, Stage.OBJECT)
        marks(first)
        second = claim(people.ana.pk, project, Stage.OBJECT)
        leases.save_draft(**under(second), draft={"mine": 1}, version=0)
        third = claim(people.ana.pk, project, Stage.OBJECT, prefetch=True)
        again = takes_back(first)
        assert statuses(second, third) == ["LEASED", "RELEASED"] and second.prefetched
        assert third.task.refresh_from_db() is None and third.task.open_slots == 1
        assert again.task_id == first.task_id and not again.prefetched
        marks(again, proposal_id=TargetObject.objects.get().pk)
        next_one = claim(people.ana.pk, project, Stage.OBJECT, now=SOON)
        assert next_one.pk == second.pk and next_one.draft == {"mine": 1}

    def test_twice_is_once(self, project: Project, people: People) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        marks(held)
        assert takes_back(held).pk == takes_back(held).pk
        assert Assignment.objects.filter(task=held.task).count() == 2
        journal = StateChange.objects.filter(model="assignment", object_id=held.pk).order_by("pk")
        assert [change.new for change in journal] == ["LEASED", "SUBMITTED", "RETRACTED"]

    def test_the_old_assignment_takes_nothing_any_more(self, project: Project, people: People) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        marks(held)
        takes_back(held)
        with pytest.raises(LeaseLost):
            marks(held)
        with pytest.raises(LeaseLost):
            leases.save_draft(**under(held), draft={"late": 1}, version=0)
        held.refresh_from_db()
        assert held.draft is None

    def test_a_skip_can_be_taken_back_while_nobody_has_the_task(
        self, project: Project, people: People
    ) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        leases.skip(**under(held), reason="unsure")
        bob = claim(people.bob.pk, project, Stage.OBJECT)
        assert refusal(held) == "undo_built_on"
        leases.release(**under(bob))
        again = takes_back(held)
        again.task.refresh_from_db()
        assert (again.task_id, again.task.open_slots, again.status) == (held.task_id, 0, "LEASED")
        assert claim_fails(people.bob.pk, project, Stage.OBJECT)

    @pytest.mark.parametrize(
        ("after", "code"), [(UNDO_WITHIN + timedelta(seconds=1), "undo_too_late"), (timedelta(0), None)]
    )
    def test_it_can_be_taken_back_for_some_minutes(
        self, project: Project, people: People, after: timedelta, code: str | None
    ) -> None:
        make_image(project)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        assert refusal(held) == "undo_nothing", "it is not answered yet"
        marks(held)
        if code is None:
            assert takes_back(held, now=NOW + after).status == "LEASED"
        else:
            assert refusal(held, now=NOW + after) == code

    def test_who_let_a_task_go_gets_it_again_first(self, project: Project, people: People) -> None:
        for _ in range(3):
            make_image(project)
        first = claim(people.ana.pk, project, Stage.OBJECT)
        leases.skip(**under(first), reason="unsure")
        held = claim(people.ana.pk, project, Stage.OBJECT)
        leases.save_draft(**under(held), draft={"mine": 1}, version=0)
        leases.release(**under(held))
        AnnotationTask.objects.exclude(pk=held.task_id).update(priority=5)
        again = leases.claim(
            user_id=people.ana.pk, project_id=project.pk, stage=Stage.OBJECT, again=held.uuid, now=SOON
        )
        assert isinstance(again, Assignment) and (again.uuid, again.draft) == (held.uuid, {"mine": 1})
        leases.release(user_id=people.ana.pk, assignment=again.uuid, lease_token=again.lease_token, now=SOON)
        claim(people.bob.pk, project, Stage.OBJECT)
        AnnotationTask.objects.filter(pk=held.task_id).update(open_slots=0)
        other = leases.claim(
            user_id=people.ana.pk, project_id=project.pk, stage=Stage.OBJECT, again=held.uuid, now=SOON
        )
        assert isinstance(other, Assignment) and other.task_id != held.task_id
