"""Stage 2 submits: selections, comparisons and escalations, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.errors import BadInput, IdempotencyConflict, LeaseLost
from engine.models import (
    AnnotationTask,
    Assignment,
    Candidate,
    Comparison,
    Job,
    Project,
    Round,
    Selection,
)
from engine.selectors.answers import read_judged
from engine.selectors.lineage import target_lineage
from engine.selectors.tasks import PickTask, task_payload
from engine.services.attention import NOT_TOLD, Attention, Looked
from engine.services.evidence import read_evidence
from engine.services.rounds import close_round, current_round
from engine.services.stage2 import PairJudged, rating_of
from engine.states import AssignmentStatus, Stage, TaskStatus
from tests.factories import NOW, TESTER, claim, make_pick_task, make_project
from tests.listening import Heard
from tests.people import People
from tests.picking import escalate, pick, shown, submit

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def held(project: Project, people: People) -> Assignment:
    make_pick_task(project)
    return claim(people.ana.pk, project, Stage.PICK)


def test_the_order_is_this_persons_own_and_stays(project: Project, people: People) -> None:
    task = make_pick_task(make_project("wide", num_candidates=12))
    everybody = [
        Assignment.objects.create(
            project_id=task.project_id,
            task=task,
            annotator=user,
            stage="pick",
            status="RELEASED",
            expires_at=NOW,
        )
        for user in (people.ana, people.bob)
    ]
    ana, bob = everybody
    assert shown(ana) == shown(ana) and sorted(shown(ana)) == sorted(shown(bob))
    assert shown(ana) != shown(bob), "one chance in 12! to be equal"


def test_a_task_tells_nothing_of_who_made_the_candidates(held: Assignment) -> None:
    payload = task_payload(held)
    assert isinstance(payload, PickTask)
    assert set(vars(payload.candidates[0])) == {
        "id",
        "mesh_url",
        "preview_url",
        "splat_url",
        "pose",
    }


def test_a_good_winner_gets_a_layout_next(
    held: Assignment, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    order = shown(held)
    with django_capture_on_commit_callbacks(execute=True):
        answer = submit(held, result=pick(held, shape_rating=5, texture_rating=4, inspected={order[1]: 900}))
    selection = Selection.objects.get()
    assert answer == {
        "assignment": str(held.uuid),
        "status": "SUBMITTED",
        "winner": order[0],
        "rating": 0.875,
        "layout_requested": True,
    }
    assert (selection.winner_id, selection.rating, selection.shown_order) == (order[0], 0.875, order)
    assert (selection.inspected, selection.mode) == ({str(order[1]): 900}, "grid")
    assert selection.batch_id == held.task.batch_id and selection.round == current_round(held.project_id)
    job = Job.objects.get(kind="propose_layout")
    assert (job.key, job.payload, job.status) == (f"layout-{order[0]}", {"candidate_id": order[0]}, "SENT")
    held.refresh_from_db()
    assert (held.status, held.task.status) == (AssignmentStatus.SUBMITTED, TaskStatus.DONE)
    assert not AnnotationTask.objects.filter(stage=Stage.POSE).exists(), "not before the proposal"
    assert {"type": "assignment.changed", "id": str(held.uuid), "status": "SUBMITTED"} in heard.all()


@pytest.mark.parametrize(("marks", "wanted"), [((3, 3), True), ((3, 2), False), ((1, 1), False)])
def test_the_bar_is_alpha_of_the_open_round(held: Assignment, marks: tuple[int, int], wanted: bool) -> None:
    Round.objects.update(alpha=0.5)
    answer = submit(held, result=pick(held, shape_rating=marks[0], texture_rating=marks[1]))
    assert answer["layout_requested"] is wanted
    assert Job.objects.filter(kind="propose_layout").exists() is wanted
    assert Selection.objects.get().rating == rating_of(shape_rating=marks[0], texture_rating=marks[1])


def test_between_rounds_the_projects_bar_holds(held: Assignment) -> None:
    round_now = current_round(held.project_id)
    assert round_now is not None
    close_round(round_id=round_now.pk, actor=TESTER)
    assert submit(held)["layout_requested"] is True
    assert Selection.objects.get().round is None


def test_a_repeat_gives_the_first_answer_and_another_key_a_conflict(held: Assignment) -> None:
    first = submit(held)
    assert submit(held, now=LATER) == first
    with pytest.raises(IdempotencyConflict):
        submit(held, key="key-2")
    assert Selection.objects.count() == 1 and Job.objects.filter(kind="propose_layout").count() == 1


def test_a_late_pick_is_kept_as_a_draft(held: Assignment) -> None:
    result = pick(held)
    with pytest.raises(LeaseLost):
        submit(held, result=result, now=LATER)
    held.refresh_from_db()
    assert held.draft["unsent_result"]["winner"] == result.winner
    assert not Selection.objects.exists() and held.task.status == TaskStatus.OPEN


class TestKingOfTheHill:
    """Sequential comparisons: the loser is replaced, N - 1 pairs, the last winner wins."""

    def test_the_sides_are_written_as_they_were_shown_wherever_the_winner_stood(
        self, held: Assignment
    ) -> None:
        a, b, c = shown(held)
        pairs = (
            PairJudged(left=b, right=a, outcome="right", milliseconds=900),
            PairJudged(left=c, right=a, outcome="right", milliseconds=400),
        )
        submit(held, result=pick(held, winner=a, mode="king", comparisons=pairs))
        assert list(Comparison.objects.order_by("order").values_list("order", "left", "right")) == [
            (0, b, a),
            (1, c, a),
        ]
        assert Selection.objects.get().shown_order == [a, b, c], "the order of the person's cells"

    def test_a_chain_with_a_tie_is_written_as_shown(self, held: Assignment) -> None:
        a, b, c = shown(held)
        pairs = (
            PairJudged(left=a, right=b, outcome="equal", milliseconds=1500),
            PairJudged(left=b, right=c, outcome="left", milliseconds=700),
        )
        submit(held, result=pick(held, winner=b, mode="king", comparisons=pairs))
        assert list(
            Comparison.objects.order_by("order").values_list("left", "right", "outcome", "milliseconds")
        ) == [(a, b, "equal", 1500), (b, c, "left", 700)]
        assert Selection.objects.get().mode == "king"

    @pytest.mark.parametrize(
        ("pairs", "winner", "words"),
        [
            ([], 0, "takes 2 comparisons, not 0"),
            ([(0, 1, "left")], 0, "takes 2 comparisons, not 1"),
            ([(0, 1, "left"), (1, 2, "left")], 1, "winner of the one before"),
            ([(0, 1, "left"), (0, 1, "left")], 0, "not seen yet"),
            ([(0, 1, "left"), (0, 2, "right")], 0, "did not win the last"),
            ([(0, 0, "left"), (0, 2, "right")], 2, "two different"),
            ([(0, 1, "best"), (0, 2, "right")], 2, "left, right, equal"),
            ([(0, 9, "left"), (0, 2, "right")], 2, "two different candidates of"),
        ],
    )
    def test_an_impossible_chain_is_refused(
        self, held: Assignment, pairs: list[tuple[int, int, str]], winner: int, words: str
    ) -> None:
        ids = [*shown(held), *([10**9] * 7)]
        comparisons = [
            PairJudged(left=ids[left], right=ids[right], outcome=outcome) for left, right, outcome in pairs
        ]
        with pytest.raises(BadInput, match=words):
            submit(held, result=pick(held, winner=ids[winner], mode="king", comparisons=comparisons))
        assert not Selection.objects.exists() and not Comparison.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"winner": 999_999}, "one of the candidates shown"),
        ({"shape_rating": 0}, "shape_rating"),
        ({"texture_rating": 6}, "texture_rating"),
        ({"mode": "coin"}, "grid, king"),
        ({"inspected": {999_999: 5}}, "inspected"),
    ],
)
def test_what_does_not_fit_is_refused(held: Assignment, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        submit(held, result=pick(held, **changes))
    held.refresh_from_db()
    assert held.status == AssignmentStatus.LEASED and not Selection.objects.exists()


def test_how_the_person_looked_is_kept_with_the_pick_and_told_by_the_targets_lineage(
    held: Assignment,
) -> None:
    a, b, c = shown(held)
    looking = Attention(
        dwell={a: 4100, b: 900},
        orbits={a: 2},
        orbits_of_all=1,
        looks={"colour": 7000, "clay": 1200},
        photo_camera=800,
        flickers=3,
    )
    submit(held, result=pick(held, winner=a, attention=looking))
    kept = {
        "dwell": {str(a): 4100, str(b): 900},
        "orbits": {str(a): 2},
        "orbits_of_all": 1,
        "looks": {"colour": 7000, "clay": 1200},
        "photo_camera": 800,
        "flickers": 3,
    }
    assert Selection.objects.get().attention == kept
    assert held.task.target_id is not None
    [told] = target_lineage(held.task.target_id).picks
    assert (told.attention, told.num_orbits) == (kept, 3)
    assert (told.shown_order, told.not_loaded) == ([a, b, c], [])


def test_how_the_person_looked_is_kept_with_a_task_that_is_handed_over(held: Assignment) -> None:
    a, b, _ = shown(held)
    looked = Looked(seconds=31.5, inspected={a: 1200}, attention=Attention(orbits={b: 2}, orbits_of_all=1))
    escalate(held, looked=looked)
    said = Selection.objects.get()
    assert (said.winner, said.inspected) == (None, {str(a): 1200})
    assert (said.attention["orbits"], said.attention["orbits_of_all"]) == ({str(b): 2}, 1)
    assert Assignment.objects.get(pk=held.pk).seconds == 31.5


@pytest.mark.parametrize(
    ("looked", "has_looked"),
    [
        (NOT_TOLD, None),
        (Looked(attention=Attention(dwell={})), False),
        (Looked(inspected={0: 900}, attention=Attention()), True),
        (Looked(attention=Attention(orbits={0: 1})), True),
        (Looked(seconds=4.0, attention=Attention(orbits_of_all=2)), True),
    ],
)
def test_signs_of_not_looking_know_what_was_looked_at_before_a_task_was_handed_over(
    project: Project, held: Assignment, looked: Looked, has_looked: bool | None
) -> None:
    first = shown(held)[0]
    inspected = dict.fromkeys([first][: len(looked.inspected)], 900)
    attention = looked.attention
    if attention is not None and attention.orbits:
        attention = replace(attention, orbits={first: 1})
    escalate(held, looked=replace(looked, inspected=inspected, attention=attention))
    [said] = read_judged(project.pk).picks
    assert (said.label, said.looked, said.seconds) == (None, has_looked, looked.seconds)


@pytest.mark.parametrize(
    ("looked", "words"),
    [
        (Looked(seconds=-1.0), "seconds"),
        (Looked(seconds=math.inf), "seconds"),
        (Looked(inspected={999_999: 5}), "inspected"),
        (Looked(attention=Attention(flickers=-1)), "flickers"),
    ],
)
def test_an_impossible_way_of_looking_is_refused_when_handed_over(
    held: Assignment, looked: Looked, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        escalate(held, looked=looked)
    held.refresh_from_db()
    assert held.status == AssignmentStatus.LEASED and not Selection.objects.exists()


@pytest.mark.parametrize(
    ("looking", "words"),
    [
        ({"dwell": {999_999: 5}}, "attention.dwell"),
        ({"dwell": {0: -1}}, "attention.dwell"),
        ({"orbits": {0: 100_001}}, "attention.orbits"),
        ({"orbits_of_all": -1}, "orbits_of_all"),
        ({"looks": {"x-ray": 5}}, "attention.looks"),
        ({"looks": {"clay": 86_400_001}}, "attention.looks"),
        ({"photo_camera": -5}, "photo_camera"),
        ({"flickers": -1}, "flickers"),
    ],
)
def test_an_impossible_way_of_looking_is_refused(
    held: Assignment, looking: dict[str, Any], words: str
) -> None:
    ids = {0: shown(held)[0]}
    values = {
        name: {ids.get(one, one): number for one, number in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in looking.items()
    }
    with pytest.raises(BadInput, match=words):
        submit(held, result=pick(held, attention=Attention(**values)))
    assert not Selection.objects.exists()


class TestWhatCouldNotBeLoaded:
    """A candidate whose file is missing or broken was not shown to that person."""

    def test_is_kept_with_the_pick_and_never_its_rejected_half(
        self, project: Project, held: Assignment
    ) -> None:
        a, b, c = shown(held)
        submit(held, result=pick(held, winner=a, not_loaded=[c]))
        selection = Selection.objects.get()
        assert (selection.not_loaded, selection.shown_order) == ([c], [a, b, c])
        [seen] = read_evidence(project.pk).judgements.picks
        assert seen.shown == {a, b}

    def test_is_left_out_of_a_king_of_the_hill(self, held: Assignment) -> None:
        a, b, c = shown(held)
        pairs = (PairJudged(left=c, right=a, outcome="left", milliseconds=10),)
        with pytest.raises(BadInput, match="takes 2 comparisons, not 1"):
            submit(held, result=pick(held, winner=c, mode="king", comparisons=pairs))
        submit(held, result=pick(held, winner=c, mode="king", comparisons=pairs, not_loaded=[b]))
        assert list(Comparison.objects.values_list("left", "right")) == [(c, a)]

    @pytest.mark.parametrize(
        ("missing", "words"),
        [
            ([0], "one of the candidates shown"),
            ([1, 2], "needs two candidates"),
            ([9], "not_loaded must name"),
        ],
    )
    def test_cannot_win_nor_leave_fewer_than_two(
        self, held: Assignment, missing: list[int], words: str
    ) -> None:
        ids = [*shown(held), *([10**9] * 7)]
        with pytest.raises(BadInput, match=words):
            submit(held, result=pick(held, not_loaded=[ids[index] for index in missing]))
        assert not Selection.objects.exists()


def test_a_grid_pick_brings_no_pairs(held: Assignment) -> None:
    a, b, _ = shown(held)
    with pytest.raises(BadInput, match="leave comparisons empty"):
        submit(held, result=pick(held, comparisons=[PairJudged(left=a, right=b, outcome="left")]))


def test_the_winner_must_be_of_this_batch(project: Project, held: Assignment) -> None:
    other = make_pick_task(project)
    stranger = Candidate.objects.filter(batch=other.batch).first()
    assert stranger is not None
    with pytest.raises(BadInput, match="one of the candidates shown"):
        submit(held, result=pick(held, winner=stranger.pk))
