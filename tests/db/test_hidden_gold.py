"""Gold hidden among work: like any task for the person, marked in silence, and in no figure but reliability."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Model

from engine.errors import CannotUndo
from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    CandidateBatch,
    Comparison,
    GoldAnswer,
    Job,
    MaskEdit,
    Project,
    SampledReview,
    Selection,
    TargetObject,
)
from engine.selectors.annotators import quality_figures
from engine.selectors.hidden_gold import outcomes_of, stock_of
from engine.selectors.my_work import my_work
from engine.selectors.queues import NothingToClaim
from engine.selectors.quizzes import question_of
from engine.selectors.tasks import ObjectTask, PickTask, PoseTask, task_payload
from engine.services import gold, images, leases, reviews
from engine.services.datasets import freeze
from engine.services.evidence import read_evidence
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import escalate_pick
from engine.services.stage3 import report_pose
from engine.services.undo import undo
from engine.states import Stage
from tests.factories import NOW, make_image, mask_bytes
from tests.golden import (
    BOX,
    EVERY_KIND,
    GOLD,
    KINDS,
    LATER,
    LEA,
    SOON,
    WORK,
    Kind,
    golden,
    marks,
    picks,
    submission,
    takes,
    third,
    under,
)
from tests.listening import Heard, counted_sql
from tests.people import People

UNTOUCHED: tuple[type[Model], ...] = (
    *(MaskEdit, Comparison, Selection, Alignment),
    *(TargetObject, CandidateBatch, Job, ArtistCase),
)


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


def keys_of(model: type[Model]) -> list[int]:
    return list(model._default_manager.order_by("pk").values_list("pk", flat=True))


@EVERY_KIND
def test_answers_enter_no_figure_but_reliability(project: Project, people: People, kind: Kind) -> None:
    [item] = golden(project, people, kind)
    evidence = read_evidence(project.pk)
    rows = [keys_of(model) for model in UNTOUCHED]
    tasks = list(AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status"))
    hidden = takes(people.ana.pk, project, kind.stage)
    kind.wrong(hidden)
    assert read_evidence(project.pk).judgements == evidence.judgements
    assert tasks == list(
        AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status")
    )
    assert rows == [keys_of(model) for model in UNTOUCHED]
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
    KINDS[Stage.OBJECT].source(held)
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
