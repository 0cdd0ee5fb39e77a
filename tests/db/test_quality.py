"""Quality of judgements over rows: who is reliable, who is paused, where one more person is asked."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from engine.errors import BadInput, NotFound
from engine.models import AnnotationTask, Project, Selection, Standing, StateChange
from engine.selectors.annotators import quality_figures
from engine.selectors.queues import NothingToClaim
from engine.services import gold, leases, overlap, standings
from engine.services.overlap import OverlapPolicy
from engine.states import Role, Stage, TaskStatus
from engine.transitions import Actor
from tests import judged
from tests.factories import claim, make_bare_images, make_project
from tests.listening import counted_sql
from tests.overlapping import crowd_of_picks
from tests.people import People

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LEAD = Actor(name="lea")
SKILLS = {"ana": 0.85, "bob": 0.85, "cyd": 0.85, "sam": 0.25}  # of four candidates: sam picks at random


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


def test_agreement_and_dawid_skene_tell_the_random_picker_from_the_others(kitchen: Project) -> None:
    crowd_of_picks(kitchen, SKILLS, num_tasks=40, seed=3)
    figures = quality_figures(kitchen.pk)
    people = {each.username: each for each in figures.people if each.stage == Stage.PICK}
    sam = people.pop("sam")
    assert sam.agreement.share is not None and sam.one_coin is not None
    assert sam.num_judgements == sam.agreement.num_answers == 40
    for honest in people.values():
        assert honest.agreement.share is not None and honest.one_coin is not None
        assert honest.agreement.share.low > sam.agreement.share.high
        assert honest.one_coin.low > sam.one_coin.high
        assert honest.must_pause == ""
    assert "Agrees with others on" in sam.must_pause
    assert sam.agreement.chance == pytest.approx(1 / 4)
    [stage] = [each for each in figures.stages if each.stage == Stage.PICK]
    assert stage.agreed is not None and stage.agreed.num_pairs == 40 * 6
    assert stage.agreed.beyond_chance.low > 0.2
    assert [each.label for each in figures.classes] == ["mug"]
    assert sum(pairs for _, _, pairs in figures.by_day) == 240


def test_gold_outcomes_handed_in_are_shown_and_pause_on_their_own(kitchen: Project) -> None:
    crowd = crowd_of_picks(kitchen, {"ana": 0.8, "bob": 0.8}, num_tasks=3)
    ana = crowd.people["ana"].pk
    figures = quality_figures(kitchen.pk, gold={(ana, "pick"): [False] * 5})
    by_name = {each.username: each for each in figures.people}
    assert by_name["ana"].num_gold == 5 and by_name["ana"].gold is not None
    assert by_name["ana"].gold.high < 0.6
    assert "gold" in by_name["ana"].must_pause and by_name["ana"].is_drifting
    assert by_name["bob"].gold is None and by_name["bob"].must_pause == ""


def test_poses_agree_by_where_they_put_the_shape(kitchen: Project) -> None:
    people = [judged.person(name, kitchen, Role.ANNOTATOR) for name in ("ana", "bob", "cyd")]
    for _ in range(6):
        candidate = judged.candidates(judged.batch(kitchen))[0]
        for user, scale in zip(people, (0.5, 0.51, 1.4), strict=True):
            judged.alignment(candidate, by=user, scale=scale)
    figures = quality_figures(kitchen.pk)
    shares = {each.username: each.agreement.share for each in figures.people if each.stage == Stage.POSE}
    assert shares["ana"] is not None and shares["ana"].value == 0.5
    assert shares["cyd"] is not None and shares["cyd"].value == 0.0
    [pose] = [each for each in figures.stages if each.stage == Stage.POSE]
    assert pose.median_distance is not None and pose.agreed is not None
    assert pose.agreed.observed.value == pytest.approx(1 / 3)


def test_an_untouched_proposal_and_a_favourite_cell_are_signs_that_pause_nobody(kitchen: Project) -> None:
    ana = judged.person("ana", kitchen, Role.ANNOTATOR)
    for _ in range(12):
        judged.pick(judged.batch(kitchen), by=ana, winner=1, shown=[1, 0, 2, 3])
    [person] = quality_figures(kitchen.pk).people
    assert [flag.sign for flag in person.flags] == ["slot_bias"]
    assert person.must_pause == ""
    assert standings.pause_unreliable(project_id=kitchen.pk, now=NOW) == []


def test_the_figures_cost_the_same_sql_with_ten_times_the_rows(kitchen: Project) -> None:
    crowd_of_picks(kitchen, {"ana": 0.8, "bob": 0.8}, num_tasks=3)
    with counted_sql() as few:
        quality_figures(kitchen.pk)
    crowd_of_picks(kitchen, SKILLS, num_tasks=27)
    with counted_sql() as many:
        quality_figures(kitchen.pk)
    assert len(many) == len(few) <= 7


def test_the_watch_pauses_the_random_picker_once_and_says_why(kitchen: Project) -> None:
    crowd = crowd_of_picks(kitchen, SKILLS, num_tasks=40, seed=3)
    [standing] = standings.pause_unreliable(project_id=kitchen.pk, now=NOW)
    assert standing.user == crowd.people["sam"] and standing.status == "PAUSED"
    assert standing.reason.startswith("Stage pick: Agrees with others on")
    moves = StateChange.objects.filter(model="standing", object_id=standing.pk).order_by("id")
    assert [(each.old, each.new, each.actor_name) for each in moves] == [
        ("", "ACTIVE", "quality watch"),
        ("ACTIVE", "PAUSED", "quality watch"),
    ]
    assert standings.pause_unreliable(project_id=kitchen.pk, now=NOW) == []


def test_who_was_resumed_by_a_lead_is_not_paused_again_on_the_same_evidence(kitchen: Project) -> None:
    crowd = crowd_of_picks(kitchen, SKILLS, num_tasks=40, seed=3)
    standings.pause_unreliable(project_id=kitchen.pk, now=NOW)
    sam = crowd.people["sam"].pk
    standings.resume_person(project_id=kitchen.pk, user_id=sam, reason="talked", actor=LEAD, now=NOW)
    assert standings.pause_unreliable(project_id=kitchen.pk, now=NOW) == []
    assert Standing.objects.get(user_id=sam).status == "ACTIVE"


def test_a_paused_person_gets_no_work_until_a_lead_resumes_them_and_others_go_on(
    project: Project, people: People
) -> None:
    make_bare_images(project, how_many=3)
    for _ in range(2):
        standings.pause_person(
            project_id=project.pk, user_id=people.ana.pk, reason="look", actor=LEAD, now=NOW
        )
    answer = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.OBJECT, now=NOW)
    assert answer == NothingToClaim(reason="paused", retry_after_s=30)
    claim(people.bob.pk, project, Stage.OBJECT)
    standings.resume_person(
        project_id=project.pk, user_id=people.ana.pk, reason="looked", actor=LEAD, now=NOW
    )
    claim(people.ana.pk, project, Stage.OBJECT)
    assert StateChange.objects.filter(model="standing", new="PAUSED").count() == 1


def test_pausing_asks_for_a_reason_and_a_member(project: Project, people: People) -> None:
    with pytest.raises(BadInput, match="Say why"):
        standings.pause_person(project_id=project.pk, user_id=people.ana.pk, reason=" ", actor=LEAD, now=NOW)
    with pytest.raises(NotFound, match="not a member"):
        standings.pause_person(project_id=project.pk, user_id=people.eve.pk, reason="x", actor=LEAD, now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Standing.objects.create(project=project, user=people.ana, status="PAUSED", changed_at=NOW)


class TestAdaptiveOverlap:
    def test_unsettled_picks_are_asked_again_within_the_budget(self, kitchen: Project) -> None:
        crowd_of_picks(kitchen, {"ana": 0.8}, num_tasks=10)
        asked = overlap.widen_overlap(project_id=kitchen.pk, actor=LEAD)
        assert len(asked) == 2, "a fifth of ten"
        reopened = AnnotationTask.objects.filter(status=TaskStatus.OPEN)
        assert {task.pk for task in reopened} == {doubt.task_id for doubt in asked}
        assert {(task.open_slots, task.overlap) for task in reopened} == {(1, 2)}
        assert overlap.widen_overlap(project_id=kitchen.pk, actor=LEAD) == [], "the budget is spent"
        assert (
            StateChange.objects.filter(old="DONE", new="OPEN", reason__contains="leave it open").count() == 2
        )

    def test_a_settled_pick_is_left_alone_and_a_contested_one_comes_first(self, kitchen: Project) -> None:
        ana, bob = (judged.person(name, kitchen, Role.ANNOTATOR) for name in ("ana", "bob"))
        contested, settled = judged.batch(kitchen), judged.batch(kitchen)
        for user, winner in ((ana, 0), (bob, 3)):
            judged.pick(contested, by=user, winner=winner)
            judged.pick(settled, by=user, winner=2)
        AnnotationTask.objects.update(num_judgements=2, overlap=1)
        asked = overlap.widen_overlap(
            project_id=kitchen.pk, actor=LEAD, policy=OverlapPolicy(share=5.0, margin=0.5)
        )
        assert [doubt.task_id for doubt in asked] == [AnnotationTask.objects.get(batch=contested).pk]
        assert asked[0].margin == pytest.approx(0)

    def test_a_task_with_the_most_judgements_or_a_withdrawn_mask_is_not_asked_again(
        self, kitchen: Project
    ) -> None:
        crowd_of_picks(kitchen, {"ana": 0.5, "bob": 0.5, "cyd": 0.5}, num_tasks=2)
        withdrawn = crowd_of_picks(kitchen, {"dan": 0.5}, num_tasks=1).batches[0].target
        AnnotationTask.objects.update(overlap=1)
        AnnotationTask.objects.filter(target=withdrawn).update(num_judgements=1)
        type(withdrawn).objects.filter(pk=withdrawn.pk).update(status="PROPOSED")
        rules = OverlapPolicy(share=5.0, margin=2.0)
        assert overlap.widen_overlap(project_id=kitchen.pk, actor=LEAD, policy=rules) == []

    def test_gold_is_not_asked_again_since_its_answer_is_known(self, kitchen: Project) -> None:
        crowd_of_picks(kitchen, {"ana": 0.8}, num_tasks=2)
        known, open_ = Selection.objects.order_by("pk")
        gold.make_from_selection(
            selection_id=known.pk, also_best=(), avoid=(), why="It has all parts.", actor=LEAD
        )
        rules = OverlapPolicy(share=5.0, margin=2.0)
        asked = overlap.widen_overlap(project_id=kitchen.pk, actor=LEAD, policy=rules)
        assert [doubt.task_id for doubt in asked] == [open_.assignment.task_id]

    def test_the_new_slot_goes_to_somebody_else_and_ends_the_task_again(
        self, project: Project, people: People
    ) -> None:
        crowd_of_picks(project, {"ana": 0.9}, num_tasks=5)
        [doubt] = overlap.widen_overlap(project_id=project.pk, actor=LEAD)
        same = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.PICK, now=NOW)
        assert isinstance(same, NothingToClaim)
        assert claim(people.bob.pk, project, Stage.PICK).task_id == doubt.task_id


@pytest.mark.django_db(transaction=True)
def test_eight_threads_that_widen_at_once_ask_no_more_than_the_budget() -> None:
    garden = make_project("garden")
    crowd_of_picks(garden, {"ana": 0.8}, num_tasks=20)
    found: list[Any] = []

    def widen() -> None:
        try:
            found.append(len(overlap.widen_overlap(project_id=garden.pk, actor=LEAD)))
        except Exception as error:  # noqa: BLE001  # a thread's failure must reach the test
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=widen) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0] * 7 + [4]
    reopened = AnnotationTask.objects.filter(project=garden, status=TaskStatus.OPEN)
    assert {(task.open_slots, task.overlap) for task in reopened} == {(1, 2)} and reopened.count() == 4
