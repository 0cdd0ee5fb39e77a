"""Gold hidden among work: like any task for the person, marked in silence, and in no figure but reliability."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from engine import blobs
from engine.errors import BadInput, CannotUndo, NotFound
from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    CandidateBatch,
    Comparison,
    GoldAnswer,
    GoldItem,
    Job,
    MaskEdit,
    Project,
    SampledReview,
    Selection,
    Standing,
    StateChange,
    TargetObject,
)
from engine.selectors.annotators import quality_figures
from engine.selectors.hidden_gold import outcomes_of, stock_of
from engine.selectors.my_work import my_work
from engine.selectors.pauses import records_of
from engine.selectors.queues import NothingToClaim
from engine.selectors.quizzes import question_of
from engine.selectors.tasks import ObjectTask, PickTask, PoseTask, task_payload
from engine.services import gold, hidden_gold, images, leases, reviews, standings
from engine.services.datasets import freeze
from engine.services.evidence import read_evidence
from engine.services.gold import Bar
from engine.services.projects import add_member
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PickResult, escalate_pick, submit_pick
from engine.services.stage3 import PoseResult, report_pose, submit_pose
from engine.services.undo import undo
from engine.states import Role, Stage
from engine.transitions import Actor
from tests.factories import NOW, glb_bytes, make_image, make_pick_task, make_pose_task, mask_bytes
from tests.listening import Heard, counted_sql
from tests.people import People, person
from tests.web import Browser

LEA = Actor(name="lea")
LATER = NOW + timedelta(hours=2)
SOON = NOW + timedelta(minutes=1)
BOX = (10, 10, 30, 30)
POSE = PoseResult(rotation_wxyz=[1.0, 0.0, 0.0, 0.0], translation=[0.0, 0.0, 2.0], scale=0.5)


class Draws(random.Random):
    """Gives always the same number: 0 draws gold whenever there is some, 0.99 never."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self._number = number

    def random(self) -> float:
        return self._number


GOLD, WORK = Draws(0.0), Draws(0.99)


def takes(
    user_id: int, project: Project, stage: Stage, *, draw: random.Random = GOLD, **how: Any
) -> Assignment:
    held = leases.claim(user_id=user_id, project_id=project.pk, stage=stage, draw=draw, **{"now": NOW, **how})
    assert not isinstance(held, NothingToClaim), held
    return held


def submission(held: Assignment, *, now: Any = NOW) -> dict[str, Any]:
    return {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": f"key-{held.pk}",
        "seconds": 5.0,
        "now": now,
    }


def under(held: Assignment) -> dict[str, Any]:
    given = submission(held)
    return {name: given[name] for name in ("user_id", "assignment", "lease_token", "now")}


def marks(held: Assignment, *, box: tuple[int, int, int, int] = BOX, proposal: int | None = None) -> Any:
    choice = ObjectChoice(mask_png=mask_bytes(box=box), label="mug", taxonomy_key="mug", proposal_id=proposal)
    return submit_object(targets=[choice], discard=None, **submission(held))


def picks(held: Assignment, *, is_right: bool = True, texture: int = 4) -> Any:
    shown = held.task.batch.candidates.order_by("index")  # type: ignore[union-attr]
    winner = shown[0] if is_right else shown[1]
    result = PickResult(winner=winner.pk, mode="grid", shape_rating=4, texture_rating=texture)
    return submit_pick(result=result, **submission(held))


def places(held: Assignment, *, is_right: bool = True) -> Any:
    return submit_pose(
        result=POSE if is_right else replace(POSE, translation=[1.0, 0.0, 2.0]), **submission(held)
    )


@dataclass(frozen=True)
class Kind:
    """How a task of a stage is made, answered rightly or not, and made gold."""

    stage: Stage
    make: Callable[[Project], Any]
    right: Callable[[Assignment], Any]
    wrong: Callable[[Assignment], Any]
    source: Callable[[Assignment], GoldItem]


def _from_mask(held: Assignment) -> GoldItem:
    edit = MaskEdit.objects.get(assignment=held)
    return gold.make_from_mask(mask_edit_id=edit.pk, why="The whole mug.", bar=Bar(), actor=LEA)


def _from_pick(held: Assignment) -> GoldItem:
    selection = Selection.objects.get(assignment=held)
    return gold.make_from_selection(
        selection_id=selection.pk, also_best=(), avoid=(), why="It has all parts.", actor=LEA
    )


def _from_pose(held: Assignment) -> GoldItem:
    alignment = Alignment.objects.get(assignment=held)
    return gold.make_from_alignment(alignment_id=alignment.pk, why="It stands.", bar=Bar(), actor=LEA)


def _pose_task(project: Project) -> None:
    """Its mesh can be read: gold poses are marked over the shape."""
    task = make_pose_task(project)
    mesh = blobs.put(glb_bytes(), suffix=".glb", content_type="model/gltf-binary")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # candidates never change
        cursor.execute("UPDATE engine_candidate SET mesh_key = %s WHERE id = %s", [mesh, task.candidate_id])
        cursor.execute("SET LOCAL session_replication_role = origin")


KINDS = {
    Stage.OBJECT: Kind(
        Stage.OBJECT, make_image, marks, lambda held: marks(held, box=(40, 10, 60, 30)), _from_mask
    ),
    Stage.PICK: Kind(Stage.PICK, make_pick_task, picks, lambda held: picks(held, is_right=False), _from_pick),
    Stage.POSE: Kind(Stage.POSE, _pose_task, places, lambda held: places(held, is_right=False), _from_pose),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=[stage.value for stage in KINDS])


def third(project: Project) -> Any:
    """Cyd, who annotates too."""
    cyd = person("cyd")
    add_member(project_id=project.pk, user_id=cyd.pk, role=Role.ANNOTATOR)
    return cyd


def golden(
    project: Project, people: People, kind: Kind, *, how_many: int = 1, work: int = 2
) -> list[GoldItem]:
    """Bob did the tasks; a lead made gold of them. ``work`` more tasks are open."""
    items = []
    for _ in range(how_many):
        kind.make(project)
        held = takes(people.bob.pk, project, kind.stage, draw=WORK)
        kind.right(held)
        items.append(kind.source(held))
    for _ in range(work):
        kind.make(project)
    return items


@EVERY_KIND
class TestForThePerson:
    def test_the_claim_and_the_answer_have_the_shape_of_any_other(
        self, project: Project, people: People, kind: Kind
    ) -> None:
        golden(project, people, kind)
        ordinary = takes(third(project).pk, project, kind.stage, draw=WORK)
        hidden = takes(people.ana.pk, project, kind.stage)
        assert hidden.gold_id is not None and ordinary.gold_id is None
        assert question_of(hidden) is None
        seen, usual = task_payload(hidden), task_payload(ordinary)
        assert type(seen) is type(usual)
        if isinstance(seen, ObjectTask) and isinstance(usual, ObjectTask):
            assert (seen.taken, seen.proposals) == (usual.taken, usual.proposals) == ([], [])
        elif isinstance(seen, PickTask) and isinstance(usual, PickTask):
            assert len(seen.candidates) == len(usual.candidates) and seen.mode == usual.mode
        elif isinstance(seen, PoseTask) and isinstance(usual, PoseTask):
            assert (seen.proposal is None) == (usual.proposal is None)
        told, known = kind.right(hidden), kind.right(ordinary)
        assert told.keys() == known.keys()
        assert {name: type(value) for name, value in told.items()} == {
            name: type(value) for name, value in known.items()
        }
        for name in ("targets", "batches"):
            assert len(told.get(name, ())) == len(known.get(name, ()))
        assert GoldAnswer.objects.get().is_right and GoldAnswer.objects.get().assignment_id == hidden.pk

    def test_the_watchers_hear_what_they_hear_of_any_answer(
        self, project: Project, people: People, kind: Kind, heard: Heard,
        django_capture_on_commit_callbacks: Any,
    ) -> None:  # fmt: skip
        golden(project, people, kind)
        heard.all()
        heard.bodies.clear()
        with django_capture_on_commit_callbacks(execute=True):
            hidden = takes(people.ana.pk, project, kind.stage)
            kind.right(hidden)
        kinds = [(body["type"], body.get("status")) for body in heard.all()]
        assert kinds.count(("queue.changed", None)) == 2
        assert ("assignment.changed", "LEASED") in kinds and ("assignment.changed", "SUBMITTED") in kinds
        assert ("task.changed", "DONE") in kinds

    def test_it_is_in_the_persons_own_list_and_pace(
        self, project: Project, people: People, kind: Kind
    ) -> None:
        golden(project, people, kind)
        hidden = takes(people.ana.pk, project, kind.stage)
        kind.right(hidden)
        with counted_sql() as statements:
            mine = my_work(user_id=people.ana.pk, project_id=project.pk, now=NOW)
        assert len(statements) <= 4
        [past] = mine.past
        theirs = my_work(user_id=people.bob.pk, project_id=project.pk, now=NOW).past[0]
        assert past.assignment == hidden.uuid and past.undo_until is not None
        for name in ("labels", "shape_rating", "texture_rating", "mask_iou", "status", "reason", "seconds"):
            assert getattr(past, name) == getattr(theirs, name), name
        assert mine.pace[kind.stage.value].today == 1

    def test_it_is_never_asked_twice_nor_of_who_did_the_work(
        self, project: Project, people: People, kind: Kind
    ) -> None:
        [item] = golden(project, people, kind)
        first = takes(people.ana.pk, project, kind.stage)
        assert first.gold_id == item.pk
        kind.wrong(first)
        assert takes(people.ana.pk, project, kind.stage).gold_id is None, "gold ran out: work is given"
        assert takes(people.bob.pk, project, kind.stage, draw=GOLD).gold_id is None

    def test_let_go_or_lapsed_it_comes_again_with_its_draft(
        self, project: Project, people: People, kind: Kind
    ) -> None:
        golden(project, people, kind)
        hidden = takes(people.ana.pk, project, kind.stage)
        leases.save_draft(
            user_id=people.ana.pk, assignment=hidden.uuid, lease_token=hidden.lease_token,
            draft={"seen": 1}, version=0, now=NOW,
        )  # fmt: skip
        slots = AnnotationTask.objects.get(pk=hidden.task_id).open_slots
        leases.release(**under(hidden))
        again = takes(people.ana.pk, project, kind.stage, draw=WORK)
        assert again.pk == hidden.pk and again.draft == {"seen": 1}
        assert leases.expire_leases(now=LATER) == 1
        named = takes(people.ana.pk, project, kind.stage, draw=WORK, again=hidden.uuid, now=LATER)
        assert named.pk == hidden.pk
        assert AnnotationTask.objects.get(pk=hidden.task_id).open_slots == slots

    def test_a_skip_is_a_skip_and_can_be_undone(self, project: Project, people: People, kind: Kind) -> None:
        golden(project, people, kind)
        hidden = takes(people.ana.pk, project, kind.stage)
        slots = AnnotationTask.objects.get(pk=hidden.task_id).open_slots
        leases.skip(**under(hidden), reason="too hard")
        assert takes(people.ana.pk, project, kind.stage).gold_id is None
        again = undo(user_id=people.ana.pk, assignment=hidden.uuid, now=SOON)
        assert again.gold_id == hidden.gold_id and not GoldAnswer.objects.exists()
        assert AnnotationTask.objects.get(pk=hidden.task_id).open_slots == slots

    def test_the_answer_can_be_taken_back_and_only_the_new_one_counts(
        self, project: Project, people: People, kind: Kind
    ) -> None:
        golden(project, people, kind)
        hidden = takes(people.ana.pk, project, kind.stage)
        kind.wrong(hidden)
        again = undo(user_id=people.ana.pk, assignment=hidden.uuid, now=SOON)
        hidden.refresh_from_db()
        assert hidden.status == "RETRACTED" and again.gold_id == hidden.gold_id
        assert again.draft is not None and set(again.draft) == {"taken_back"}
        assert outcomes_of(project.pk) == {}
        payload = task_payload(again)
        if isinstance(payload, ObjectTask):
            [sent] = again.draft["taken_back"]["targets"]
            [proposal] = payload.proposals
            assert (proposal.id, proposal.label) == (sent["proposal_id"], "mug")
            assert not TargetObject.objects.filter(pk=proposal.id).exists()
            marks(again, proposal=proposal.id)
        else:
            kind.right(again)
        assert outcomes_of(project.pk) == {(people.ana.pk, kind.stage.value): [True]}
        [stock] = [each for each in stock_of(project.pk) if each.stage == kind.stage]
        assert (stock.num_items, stock.num_answers, stock.num_right) == (1, 1, 1)

    def test_a_claim_and_a_submit_cost_no_more_than_others(
        self, project: Project, people: People, kind: Kind, django_capture_on_commit_callbacks: Any
    ) -> None:
        golden(project, people, kind)
        with counted_sql() as statements:
            hidden = takes(people.ana.pk, project, kind.stage)
            task_payload(hidden)
            question_of(hidden)
        assert len(statements) <= 5, "\n".join(statements)
        hidden = Assignment.objects.get(pk=hidden.pk)
        with counted_sql() as statements, django_capture_on_commit_callbacks(execute=True):
            kind.wrong(hidden)
        assert len(statements) <= 9, "\n".join(statements)


@EVERY_KIND
def test_answers_enter_no_figure_but_reliability(project: Project, people: People, kind: Kind) -> None:
    [item] = golden(project, people, kind)
    evidence = read_evidence(project.pk)
    rows = [
        list(model.objects.order_by("pk").values_list("pk", flat=True))
        for model in (
            MaskEdit,
            Comparison,
            Selection,
            Alignment,
            TargetObject,
            CandidateBatch,
            Job,
            ArtistCase,
        )
    ]
    tasks = list(AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status"))
    hidden = takes(people.ana.pk, project, kind.stage)
    kind.wrong(hidden)
    assert read_evidence(project.pk).judgements == evidence.judgements
    assert tasks == list(
        AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status")
    )
    assert rows == [
        list(model.objects.order_by("pk").values_list("pk", flat=True))
        for model in (
            MaskEdit,
            Comparison,
            Selection,
            Alignment,
            TargetObject,
            CandidateBatch,
            Job,
            ArtistCase,
        )
    ]
    figures = {(each.username, each.stage): each for each in quality_figures(project.pk).people}
    ana = figures[("ana", kind.stage.value)]
    assert ana.num_gold == 1 and ana.gold is not None and ana.gold.value == pytest.approx(1 / 3)
    assert ana.num_judgements == 0
    reviews.draw_reviews(project_id=project.pk, number=5, seed=0, actor=LEA, now=NOW)
    assert not SampledReview.objects.filter(assignment=hidden).exists()
    with pytest.raises(IntegrityError, match="no judgement"), transaction.atomic():
        MaskEdit.objects.create(project=project, assignment=hidden, discarded_because="x")
    with pytest.raises(IntegrityError, match="assignment_gold_once_per_person"), transaction.atomic():
        Assignment.objects.create(
            project=project, task=item.task, gold=item, annotator=people.ana, stage=kind.stage, expires_at=NOW
        )


def test_proposals_of_a_machine_are_shown_as_they_first_were(project: Project, people: People) -> None:
    image = make_image(project)
    proposed = images.propose_target(image_id=image.pk, mask_png=mask_bytes(box=BOX), source="machine")
    held = takes(people.bob.pk, project, Stage.OBJECT, draw=WORK)
    marks(held, proposal=proposed.pk)
    _from_mask(held)
    make_image(project)
    hidden = takes(people.ana.pk, project, Stage.OBJECT)
    payload = task_payload(hidden)
    assert isinstance(payload, ObjectTask)
    assert [each.id for each in payload.proposals] == [proposed.pk] and payload.taken == []
    assert marks(hidden, proposal=proposed.pk)["targets"] == [proposed.pk]
    assert GoldAnswer.objects.get().is_right
    proposed.refresh_from_db()
    assert proposed.status == "CONFIRMED"


def test_a_mask_that_bob_drew_is_accepted_of_ana_too(project: Project, people: People) -> None:
    golden(project, people, KINDS[Stage.OBJECT])
    hidden = takes(people.ana.pk, project, Stage.OBJECT)
    [number] = marks(hidden)["targets"]
    assert not TargetObject.objects.filter(pk=number).exists() and GoldAnswer.objects.get().is_right
    assert submit_object(
        targets=[ObjectChoice(mask_png=mask_bytes(box=BOX), label="mug")], discard=None, **submission(hidden)
    )["targets"] == [number], "a repeat gets the same answer"


def test_nothing_found_where_something_is_counts_as_wrong(project: Project, people: People) -> None:
    golden(project, people, KINDS[Stage.OBJECT])
    hidden = takes(people.ana.pk, project, Stage.OBJECT)
    answer = submit_object(targets=(), discard="nothing here", **submission(hidden))
    assert (answer["targets"], answer["batches"]) == ([], [])
    assert not GoldAnswer.objects.get().is_right
    assert my_work(user_id=people.ana.pk, project_id=project.pk, now=NOW).past[0].reason == "nothing here"


@pytest.mark.parametrize("stage", [Stage.PICK, Stage.POSE])
def test_handing_gold_over_makes_no_case_and_is_marked(
    project: Project, people: People, stage: Stage
) -> None:
    golden(project, people, KINDS[stage])
    hidden = takes(people.ana.pk, project, stage)
    if stage == Stage.PICK:
        ended = escalate_pick(**under(hidden), reason="none_good", note="none")
    else:
        ended = report_pose(**under(hidden), reason="shape_wrong", note="none")
    assert ended.status == "ESCALATED" and not ArtistCase.objects.exists()
    assert not GoldAnswer.objects.get().is_right
    again = undo(user_id=people.ana.pk, assignment=hidden.uuid, now=SOON)
    assert again.gold_id == hidden.gold_id and outcomes_of(project.pk) == {}


def test_after_a_freeze_gold_stands_as_any_pick_does(project: Project, people: People) -> None:
    golden(project, people, KINDS[Stage.PICK])
    hidden = takes(people.ana.pk, project, Stage.PICK)
    picks(hidden)
    freeze(project_id=project.pk, alpha=0.0, actor=LEA)
    with pytest.raises(CannotUndo) as refused:
        undo(user_id=people.ana.pk, assignment=hidden.uuid, now=SOON)
    assert refused.value.code == "undo_frozen"


def test_without_work_there_is_no_gold_either(project: Project, people: People) -> None:
    golden(project, people, KINDS[Stage.PICK], work=1)
    takes(third(project).pk, project, Stage.PICK, draw=WORK)
    nothing = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.PICK, draw=GOLD, now=NOW)
    assert isinstance(nothing, NothingToClaim) and nothing.reason == "all_leased"


def test_who_met_a_task_as_gold_is_not_given_it_as_work(project: Project, people: People) -> None:
    [item] = golden(project, people, KINDS[Stage.PICK])
    picks(takes(people.ana.pk, project, Stage.PICK))
    AnnotationTask.objects.filter(pk=item.task_id).update(status="OPEN", open_slots=1, overlap=2, priority=50)
    assert takes(third(project).pk, project, Stage.PICK, draw=WORK).task_id == item.task_id
    AnnotationTask.objects.filter(pk=item.task_id).update(open_slots=1)
    assert takes(people.ana.pk, project, Stage.PICK, draw=WORK).task_id != item.task_id


def test_retired_or_reopened_gold_is_not_asked(project: Project, people: People) -> None:
    one, other = golden(project, people, KINDS[Stage.PICK], how_many=2)
    gold.retire(project_id=project.pk, gold_id=one.pk, now=NOW)
    AnnotationTask.objects.filter(pk=other.task_id).update(status="OPEN")
    assert takes(people.ana.pk, project, Stage.PICK).gold_id is None


def test_gold_may_be_prefetched_and_becomes_the_live_lease(project: Project, people: People) -> None:
    golden(project, people, KINDS[Stage.PICK])
    work = takes(people.ana.pk, project, Stage.PICK, draw=WORK)
    ahead = takes(people.ana.pk, project, Stage.PICK, prefetch=True)
    assert work.gold_id is None and ahead.gold_id is not None and ahead.prefetched
    picks(work)
    assert takes(people.ana.pk, project, Stage.PICK, draw=WORK).pk == ahead.pk
    # An undo puts the gold in hand aside; its task keeps its slots.
    slots = AnnotationTask.objects.get(pk=ahead.task_id).open_slots
    undo(user_id=people.ana.pk, assignment=work.uuid, now=SOON)
    ahead.refresh_from_db()
    assert ahead.prefetched and AnnotationTask.objects.get(pk=ahead.task_id).open_slots == slots


class TestHowMuch:
    def test_new_people_get_half_and_the_share_stays_between_floor_and_ceiling(
        self, project: Project, people: People
    ) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=2)
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.49)).gold_id is not None
        hidden_gold.set_share(project_id=project.pk, floor=0.0, ceiling=0.2)
        assert takes(third(project).pk, project, Stage.PICK, draw=Draws(0.21)).gold_id is None

    def test_known_people_get_the_floor(self, project: Project, people: People) -> None:
        hidden_gold.set_share(project_id=project.pk, floor=0.1, ceiling=0.5)
        golden(project, people, KINDS[Stage.PICK], how_many=17)
        for _ in range(15):
            picks(takes(people.ana.pk, project, Stage.PICK))
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.11)).gold_id is None
        held = Assignment.objects.get(annotator=people.ana, status="LEASED")
        leases.release(**under(held))
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.09)).gold_id is not None

    def test_none_when_a_lead_wants_none(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK])
        hidden_gold.set_share(project_id=project.pk, floor=0.0, ceiling=0.0)
        assert takes(people.ana.pk, project, Stage.PICK).gold_id is None

    @pytest.mark.parametrize(("floor", "ceiling"), [(-0.1, 0.2), (0.3, 0.2), (0.1, 0.6)])
    def test_what_cannot_be_a_share_is_refused(self, project: Project, floor: float, ceiling: float) -> None:
        with pytest.raises(BadInput, match="half"):
            hidden_gold.set_share(project_id=project.pk, floor=floor, ceiling=ceiling)
        with pytest.raises(IntegrityError, match="project_gold_share"), transaction.atomic():
            Project.objects.filter(pk=project.pk).update(gold_floor=floor, gold_ceiling=ceiling)

    def test_an_unknown_project_is_not_found(self, project: Project) -> None:
        with pytest.raises(NotFound):
            hidden_gold.set_share(project_id=project.pk + 1, floor=0.0, ceiling=0.1)


class TestWhoIsOff:
    def wrong_until_paused(self, project: Project, user_id: int, *, now: Any = NOW) -> int:
        """Answers gold wrongly until there is no more work; how often."""
        for number in range(20):
            held = leases.claim(user_id=user_id, project_id=project.pk, stage=Stage.PICK, draw=GOLD, now=now)
            if isinstance(held, NothingToClaim):
                assert held.reason == "paused"
                return number
            assert held.gold_id is not None
            picks(Assignment.objects.get(pk=held.pk), is_right=False)
        raise AssertionError("never paused")

    def test_is_paused_by_the_test_with_the_reason_in_the_journal(
        self, project: Project, people: People
    ) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=12)
        assert self.wrong_until_paused(project, people.ana.pk) == 4
        standing = Standing.objects.get()
        assert standing.status == "PAUSED" and "Right on 0 of 4 gold tasks" in standing.reason
        moves = (
            StateChange.objects.filter(model="standing")
            .order_by("pk")
            .values_list("old", "new", "actor_name")
        )
        assert list(moves) == [("", "ACTIVE", "quality watch"), ("ACTIVE", "PAUSED", "quality watch")]
        standings.resume_person(
            project_id=project.pk, user_id=people.ana.pk, reason="talked", actor=LEA, now=SOON
        )
        after = SOON + timedelta(minutes=1)
        held = takes(people.ana.pk, project, Stage.PICK, now=after)
        assert held.gold_id is not None, "what a lead saw counts no more"
        leases.release(**{**under(held), "now": after})

    def test_the_claim_that_pauses_costs_little(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=6)
        for _ in range(4):
            picks(takes(people.ana.pk, project, Stage.PICK), is_right=False)
        with counted_sql() as statements:
            answer = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.PICK, now=NOW)
        assert isinstance(answer, NothingToClaim) and answer.reason == "paused"
        assert len(statements) <= 5, "\n".join(statements)

    def test_the_watch_pauses_who_claims_no_more(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=6)
        for _ in range(4):
            picks(takes(people.ana.pk, project, Stage.PICK), is_right=False)
        standings.watch(now=SOON)
        assert Standing.objects.get().user_id == people.ana.pk


def test_claims_cost_the_same_with_much_gold(project: Project, people: People) -> None:
    items = golden(project, people, KINDS[Stage.PICK])
    for user in (people.ana, third(project)):
        with counted_sql() as few:
            takes(user.pk, project, Stage.PICK)
        if user == people.ana:
            golden(project, people, KINDS[Stage.PICK], how_many=8)
            first = few
    assert len(first) == len(few) == 2 and items


def test_the_journal_tells_after_how_many_answers_somebody_was_paused(
    project: Project, people: People
) -> None:
    golden(project, people, KINDS[Stage.PICK], how_many=6, work=3)
    ana = people.ana.pk
    picks(takes(ana, project, Stage.PICK, draw=WORK))
    for _ in range(3):
        picks(takes(ana, project, Stage.PICK), is_right=False)
    in_hand = takes(ana, project, Stage.PICK)
    ahead = takes(ana, project, Stage.PICK, draw=WORK, prefetch=True)
    picks(in_hand, is_right=False)
    standings.pause_person(project_id=project.pk, user_id=ana, reason="x", actor=LEA, now=NOW)
    picks(ahead)
    Assignment.objects.filter(pk=ahead.pk).update(ended_at=timezone.now() + timedelta(minutes=1))
    with counted_sql() as statements:
        records = {record.username: record for record in records_of(project.pk)}
    assert len(statements) == 3
    hers, bob = records["ana"], records["bob"]
    assert (hers.num_answers, hers.num_gold, hers.num_right) == (6, 4, 0)
    assert (hers.answers_before, hers.gold_before, hers.paused_because) == (5, 4, "x")
    assert bob.paused_at is None and bob.answers_before is None and bob.num_answers == 6


class TestByScript:
    """The same verbs over the interface."""

    def test_a_lead_lists_sources_and_makes_gold(self, project: Project, people: People) -> None:
        lea = Browser(people.lea)
        for kind in KINDS.values():
            golden(project, people, kind)
            kind.right(takes(people.bob.pk, project, kind.stage, draw=WORK))
            path = f"/projects/{project.pk}/gold/{kind.stage.value}"
            listed = lea.get(path)
            assert listed.status == 200, listed.body
            [item], [source] = listed.body["items"], listed.body["sources"]
            assert (item["num_answers"], source["by"], source["label"]) == (0, "bob", "mug")
            names = {Stage.OBJECT: "mask_url", Stage.PICK: "candidates", Stage.POSE: "pose"}
            assert names[kind.stage] in source["answer"]
            made = lea.post(path, {"source": source["id"], "why": "It is so."})
            assert made.status == 201 and made.body["stage"] == kind.stage.value
            assert len(lea.get(path).body["items"]) == 2 and lea.get(path).body["sources"] == []
            assert lea.post(path, {"source": source["id"], "why": "Again."}).code == "bad_request"

    def test_nobody_else_may(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK])
        path = f"/projects/{project.pk}/gold/pick"
        for user in (people.ana, people.rev, people.mel, people.art):
            assert Browser(user).get(path).status == 403
            assert Browser(user).post(path, {"source": 1, "why": "x"}).status == 403
        assert Browser(people.lea).post(path, {"source": 999, "why": "x"}).status == 404
