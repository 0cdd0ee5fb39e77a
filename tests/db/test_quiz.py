"""The entry quiz on gold tasks: asked before any work, marked by known answers, and never part of a dataset."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    Candidate,
    Comparison,
    GoldAnswer,
    GoldItem,
    MaskEdit,
    Project,
    QuizAttempt,
    Selection,
)
from engine.selectors.guidelines import guides_of
from engine.selectors.queues import NothingToClaim, queue_depths
from engine.selectors.tasks import ObjectTask, task_payload
from engine.services import curation, gold, leases, quizzes
from engine.services.evidence import read_evidence
from engine.services.gold import Bar
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PickResult, escalate_pick, submit_pick
from engine.services.stage3 import PoseResult, submit_pose
from engine.states import Stage
from engine.transitions import Actor
from tests.factories import (
    NOW,
    claim,
    glb_bytes,
    make_bare_images,
    make_image,
    make_pick_task,
    make_pose_task,
    mask_bytes,
)
from tests.listening import counted_sql
from tests.people import People
from tests.web import Browser, mask_base64

LEA = Actor(name="lea")
LATER = NOW + timedelta(hours=2)


def held_by(user_id: int, project: Project, stage: Stage, **how: Any) -> Assignment:
    held = leases.claim(
        user_id=user_id,
        project_id=project.pk,
        stage=stage,
        quiz=True,
        draw=random.Random(1),
        **{"now": NOW, **how},
    )
    assert not isinstance(held, NothingToClaim), held
    return held


def submission(held: Assignment, *, now: Any = NOW) -> dict[str, Any]:
    return {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": f"key-{held.pk}",
        "seconds": 1.0,
        "now": now,
    }


def pick(held: Assignment, winner: int, **how: Any) -> dict[str, Any]:
    result = PickResult(winner=winner, mode="grid", shape_rating=4, texture_rating=4)
    return dict(submit_pick(result=result, **submission(held, **how)))


def gold_picks(project: Project, people: People, *, how_many: int) -> list[GoldItem]:
    """Bob picked the first of each; a lead made gold of it."""
    items = []
    for _ in range(how_many):
        make_pick_task(project)
        held = claim(people.bob.pk, project, Stage.PICK)
        first = Candidate.objects.filter(batch=held.task.batch).order_by("index").first()
        assert first is not None
        pick(held, first.pk)
        selection = Selection.objects.get(assignment=held)
        items.append(
            gold.make_from_selection(
                selection_id=selection.pk, also_best=(), avoid=(), why="It has all parts.", actor=LEA
            )
        )
    return items


def quiz_on(
    project: Project, stage: Stage = Stage.PICK, *, of: int = 2, needed: int = 2, pause: int = 600
) -> None:
    quizzes.set_rules(
        project_id=project.pk,
        stage=stage,
        is_on=True,
        num_questions=of,
        num_needed=needed,
        pause_seconds=pause,
    )


def best_of(held: Assignment) -> int:
    return int(held.question.gold.answer["best"][0])  # type: ignore[union-attr]


def a_wrong_one(held: Assignment) -> int:
    return Candidate.objects.filter(batch=held.task.batch).exclude(pk=best_of(held)).order_by("index")[0].pk


def test_work_waits_until_the_quiz_is_passed(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=3)
    make_pick_task(project)
    quiz_on(project)
    ana = people.ana.pk
    refusal = leases.claim(user_id=ana, project_id=project.pk, stage=Stage.PICK, now=NOW)
    assert isinstance(refusal, NothingToClaim) and refusal.reason == "quiz_needed"
    first = held_by(ana, project, Stage.PICK)
    assert held_by(ana, project, Stage.PICK).pk == first.pk, "a question in hand is the same again"
    assert pick(first, best_of(first))["quiz"]["is_right"] is True
    refusal = leases.claim(user_id=ana, project_id=project.pk, stage=Stage.PICK, now=NOW)
    assert isinstance(refusal, NothingToClaim) and refusal.reason == "quiz_needed"
    second = held_by(ana, project, Stage.PICK)
    assert second.question_id != first.question_id
    told = pick(second, best_of(second))["quiz"]
    assert (
        told["is_over"]
        and told["is_passed"]
        and told["num_right"] == 2
        and told["why"] == "It has all parts."
    )
    attempt = QuizAttempt.objects.get()
    assert attempt.status == "PASSED" and attempt.num_right == 2
    work = held_by(ana, project, Stage.PICK)
    assert work.question_id is None, "with the quiz passed the same call gives work"
    assert pick(second, best_of(second))["quiz"] == told, "a repeat gets the same answer"


def test_who_fails_pauses_and_may_try_again(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=2)
    quiz_on(project, pause=600)
    ana = people.ana.pk
    for _ in range(2):
        held = held_by(ana, project, Stage.PICK)
        told = pick(held, a_wrong_one(held))["quiz"]
    assert told["is_over"] and not told["is_passed"]
    places = told["reference"]["best"]
    assert len(places) == 1 and 1 <= places[0] <= 3
    wait = leases.claim(user_id=ana, project_id=project.pk, stage=Stage.PICK, quiz=True, now=NOW)
    assert isinstance(wait, NothingToClaim) and wait.reason == "quiz_needed" and wait.retry_after_s == 600
    guide = guides_of(project_id=project.pk, user_id=ana)[1]
    assert guide.quiz is not None and guide.quiz.last_num_right == 0 and guide.quiz.num_attempts == 1
    assert guide.quiz.may_begin_at == NOW + timedelta(seconds=600)
    for _ in range(2):
        held = held_by(ana, project, Stage.PICK, now=LATER)
        pick(held, best_of(held), now=LATER)
    assert [attempt.status for attempt in QuizAttempt.objects.order_by("pk")] == ["FAILED", "PASSED"]


def test_answers_are_no_judgements_and_take_no_slots(project: Project, people: People) -> None:
    """Whatever is answered in a quiz: the evidence of the datasets, the tasks and the queues are as before."""
    gold_picks(project, people, how_many=2)
    quiz_on(project)
    before = read_evidence(project.pk)
    decided = curation.decide(before.judgements, alpha=0.0)
    tasks = list(AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status"))
    held = held_by(people.ana.pk, project, Stage.PICK)
    assert queue_depths(project.pk)["pick"].leased == 0
    pick(held, a_wrong_one(held))
    held = held_by(people.ana.pk, project, Stage.PICK)
    escalate_pick(
        user_id=people.ana.pk,
        assignment=held.uuid,
        lease_token=held.lease_token,
        reason="none_good",
        note="",
        now=NOW,
    )
    after = read_evidence(project.pk)
    assert GoldAnswer.objects.count() == 2
    assert after.judgements == before.judgements and curation.decide(after.judgements, alpha=0.0) == decided
    assert (
        list(AnnotationTask.objects.order_by("pk").values("open_slots", "num_judgements", "status")) == tasks
    )
    assert not ArtistCase.objects.exists()


def test_the_database_takes_no_judgement_from_a_quiz(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=1)
    quiz_on(project, of=1, needed=1)
    held = held_by(people.ana.pk, project, Stage.PICK)
    one, other = Candidate.objects.filter(batch=held.task.batch).order_by("pk")[:2]
    common = {"project": project, "assignment": held}
    for make in (
        lambda: MaskEdit.objects.create(**common, discarded_because="x"),
        lambda: Selection.objects.create(**common, batch=held.task.batch, mode="grid", none_because="x"),
        lambda: Comparison.objects.create(**common, order=0, left=one, right=other, outcome="left"),
        lambda: Alignment.objects.create(**common, candidate=one, pose={}, approximate=False),
    ):
        with pytest.raises(IntegrityError, match="no judgement"), transaction.atomic():
            make()
    pick(held, best_of(held))
    for change in ("is_right = false", "figures = '{}'"):
        with (
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"UPDATE engine_goldanswer SET {change}")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        GoldItem.objects.update(answer={"best": []})


def test_a_question_that_ran_out_or_was_released_comes_again(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=1)
    quiz_on(project, of=1, needed=1)
    held = held_by(people.ana.pk, project, Stage.PICK)
    slots = AnnotationTask.objects.get(pk=held.task_id).open_slots
    with pytest.raises(BadInput, match="skipped"):
        leases.skip(
            user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, reason="x", now=NOW
        )
    leases.release(user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW)
    again = held_by(people.ana.pk, project, Stage.PICK)
    assert again.pk == held.pk
    assert leases.expire_leases(now=LATER) == 1
    last = held_by(people.ana.pk, project, Stage.PICK, now=LATER)
    assert last.pk == held.pk and last.expires_at > LATER
    assert AnnotationTask.objects.get(pk=held.task_id).open_slots == slots


def test_who_did_the_work_may_be_asked_about_it(project: Project, people: People) -> None:
    """Gold was somebody's work once, perhaps this person's own: the two assignments stand side by side."""
    gold_picks(project, people, how_many=1)
    quiz_on(project, of=1, needed=1)
    held = held_by(people.bob.pk, project, Stage.PICK)
    assert Assignment.objects.filter(task=held.task, annotator=people.bob).count() == 2


def test_work_of_a_gold_task_is_still_given_to_who_was_only_asked_about_it(
    project: Project, people: People
) -> None:
    gold_picks(project, people, how_many=1)
    AnnotationTask.objects.update(status="OPEN", open_slots=1, overlap=2)
    quiz_on(project, of=1, needed=1)
    held = held_by(people.ana.pk, project, Stage.PICK)
    pick(held, best_of(held))
    work = claim(people.ana.pk, project, Stage.PICK)
    assert work.task_id == held.task_id and work.question_id is None


def test_a_mask_is_right_by_its_overlap_and_the_known_one_is_not_shown(
    project: Project, people: People
) -> None:
    image = make_image(project)
    work = claim(people.bob.pk, project, Stage.OBJECT)
    box = (10, 10, 30, 30)
    submit_object(
        targets=[ObjectChoice(mask_png=mask_bytes(box=box), label="mug")], discard=None, **submission(work)
    )
    edit = MaskEdit.objects.get()
    gold.make_from_mask(mask_edit_id=edit.pk, why="The whole mug.", bar=Bar(iou_at_least=0.8), actor=LEA)
    quiz_on(project, Stage.OBJECT, of=1, needed=1, pause=0)
    ana = people.ana.pk
    for drawn, is_right, overlap in (((10, 10, 20, 30), False, 0.5), (box, True, 1.0)):
        held = held_by(ana, project, Stage.OBJECT)
        payload = task_payload(held)
        assert isinstance(payload, ObjectTask) and payload.photo.id == image.pk
        assert not payload.taken and not payload.proposals
        told = submit_object(
            targets=[ObjectChoice(mask_png=mask_bytes(box=drawn), label="thing")],
            discard=None,
            **submission(held),
        )["quiz"]
        assert told["is_right"] is is_right and told["figures"]["overlap"] == overlap
    assert image.targets.count() == 1 and MaskEdit.objects.count() == 1


@pytest.mark.parametrize(
    ("translation", "rotation", "is_right"),
    [
        ([0.0, 0.0, 2.0], [1, 0, 0, 0], True),
        ([0.05, 0.0, 2.0], [1, 0, 0, 0], True),
        ([0.4, 0.0, 2.0], [1, 0, 0, 0], False),
        ([0.0, 0.0, 2.0], [0, 1, 0, 0], False),
    ],
)
def test_a_pose_is_right_near_the_known_one(
    project: Project, people: People, translation: list[float], rotation: list[float], is_right: bool
) -> None:
    make_pose_task(project)
    work = claim(people.bob.pk, project, Stage.POSE)
    candidate = work.task.candidate
    assert candidate is not None
    submit_pose(
        result=PoseResult(rotation_wxyz=[1, 0, 0, 0], translation=[0, 0, 2], scale=0.5), **submission(work)
    )
    mesh = blobs.put(glb_bytes(), suffix=".glb", content_type="model/gltf-binary")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # candidates never change
        cursor.execute("UPDATE engine_candidate SET mesh_key = %s", [mesh])
        cursor.execute("SET LOCAL session_replication_role = origin")
    item = gold.make_from_alignment(
        alignment_id=Alignment.objects.get().pk, why="It stands.", bar=Bar(), actor=LEA
    )
    assert item.answer["points_from"] == "cube", "three vertices are no shape"
    quiz_on(project, Stage.POSE, of=1, needed=1)
    held = held_by(people.ana.pk, project, Stage.POSE)
    told = submit_pose(
        result=PoseResult(rotation_wxyz=rotation, translation=translation, scale=0.5), **submission(held)
    )["quiz"]
    assert told["is_right"] is is_right, told
    assert Alignment.objects.count() == 1


def test_gold_is_made_of_confirmed_judgements_only(project: Project, people: People) -> None:
    [item] = gold_picks(project, people, how_many=1)
    selection = Selection.objects.get()
    make: Callable[..., GoldItem] = lambda **how: gold.make_from_selection(  # noqa: E731
        **{"selection_id": selection.pk, "also_best": (), "avoid": (), "why": "w", "actor": LEA, **how}
    )
    with pytest.raises(BadInput, match="gold already"), transaction.atomic():
        make()
    gold.retire(project_id=project.pk, gold_id=item.pk, now=NOW)
    with pytest.raises(NotFound):
        gold.retire(project_id=project.pk, gold_id=item.pk, now=NOW)
    for wrong in ({"why": " "}, {"also_best": [999_999]}, {"avoid": item.answer["best"]}):
        with pytest.raises(BadInput), transaction.atomic():
            make(**wrong)
    with pytest.raises(NotFound):
        make(selection_id=999_999)
    assert make(avoid=[]).answer == item.answer


def test_a_quiz_needs_enough_gold_and_rules_that_can_be_kept(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=1)
    with pytest.raises(BadInput, match="1 gold"):
        quiz_on(project, of=2, needed=1)
    with pytest.raises(BadInput):
        quiz_on(project, of=1, needed=2)


def test_the_quiz_costs_few_statements_and_work_no_more_than_before(project: Project, people: People) -> None:
    gold_picks(project, people, how_many=3)
    make_pick_task(project)
    quiz_on(project, of=1, needed=1)
    held = held_by(people.ana.pk, project, Stage.PICK)
    with counted_sql() as statements:
        pick(held, best_of(held))
    assert len(statements) <= 9, "\n".join(statements)
    with counted_sql() as statements:
        claim(people.ana.pk, project, Stage.PICK)
    assert len(statements) == 2


def test_over_http_the_quiz_is_a_claim_like_any_other(project: Project, people: People) -> None:
    make_image(project)
    bob, ana = Browser(people.bob), Browser(people.ana)
    work = bob.claim(project.pk, "object")
    target = {"mask_png": mask_base64(), "label": "mug"}
    bob.submit(work, {"targets": [target]})
    gold.make_from_mask(mask_edit_id=MaskEdit.objects.get().pk, why="The whole mug.", bar=Bar(), actor=LEA)
    quiz_on(project, Stage.OBJECT, of=1, needed=1)
    refusal = ana.post(f"/projects/{project.pk}/claims", {"stage": "object"})
    assert refusal.status == 204 and refusal.headers["X-Candid8-Reason"] == "quiz_needed"
    asked = ana.post(f"/projects/{project.pk}/claims", {"stage": "object", "quiz": True}).body
    assert asked["question"] == {
        "number": 1, "num_questions": 1, "num_needed": 1, "num_right": 0, "prompt": "Mark this object: mug",
    }  # fmt: skip
    assert "answer" not in json.dumps(asked) and asked["task"]["taken"] == []
    told = ana.submit(asked, {"targets": [target]})
    assert told.status == 200 and told.body["quiz"]["is_right"] and told.body["quiz"]["is_passed"]
    assert told.body["quiz"]["reference"]["mask_url"].startswith("http")
    make_bare_images(project, how_many=1)
    assert ana.claim(project.pk, "object")["question"] is None
