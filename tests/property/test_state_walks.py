"""Random walks over every state machine: accepted exactly when allowed, and the journal folds to the status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models, transaction
from django.db.models import TextChoices
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import states
from engine.errors import IllegalTransition, StaleTransition
from engine.models import (
    AnnotationTask,
    Arena,
    ArenaMatch,
    ArtistCase,
    Assignment,
    BatchPart,
    CandidateBatch,
    DatasetVersion,
    Deployment,
    GuidelineVersion,
    Image,
    Job,
    PointMap,
    Quiz,
    QuizAttempt,
    Round,
    SampledReview,
    Standing,
    StateChange,
    TargetObject,
    TrainingRun,
)
from engine.transitions import Actor, Move, record_creation, transition, transition_together
from tests.factories import NOW, make_bare_images, make_checkpoint, make_project, make_target
from tests.people import person

WALKER = Actor(name="walker")


class Ground:
    """What the walking rows hang on."""

    def __init__(self) -> None:
        self.project = make_project()
        [self.image] = make_bare_images(self.project, how_many=1)
        self.task = AnnotationTask.objects.get()
        self.target = make_target(self.image)
        self.checkpoint = make_checkpoint()
        self.dataset = DatasetVersion.objects.create(project=self.project, number=1, alpha=0.5)
        self.candidate = self.target.candidates.create(
            project=self.project, index=0, source="artist", mesh_key="aa/m", preview_key="aa/p"
        )
        self.other_candidate = self.target.candidates.create(
            project=self.project, index=1, source="artist", mesh_key="aa/m", preview_key="aa/p"
        )
        self.other_checkpoint = make_checkpoint()
        self.reviewer = person("rev")
        self.assignment = Assignment.objects.create(
            project=self.project, task=self.task, annotator=person("bob"), stage="object", expires_at=NOW
        )
        self.arena = Arena.objects.create(project=self.project, name="arena", seed=1)


#: Machine > how to make a row at its beginning, and what else a status asks for in the row.
WALKS: dict[type[TextChoices], tuple[Callable[[Ground], models.Model], dict[str, dict[str, Any]]]] = {
    states.ImageStatus: (
        lambda g: Image.objects.create(
            project=g.project, name="i", sha256="i", key="a", thumbnail_key="a", width=9, height=9
        ),
        {},
    ),
    states.PointMapStatus: (
        lambda g: PointMap.objects.get(),
        {"READY": {"intrinsics": {"fx": 1}, "key": "aa/p", "source": "test"}},
    ),
    states.TargetStatus: (
        lambda g: TargetObject.objects.create(
            project=g.project, image=g.image, mask_key="a", mask_sha256="t", bbox=[0, 0, 5, 5], area_px=25
        ),
        {},
    ),
    states.BatchStatus: (
        lambda g: CandidateBatch.objects.create(project=g.project, target=g.target, num_requested=3, seed=1),
        {"READY": {"num_candidates": 3}},
    ),
    states.BatchPartStatus: (
        lambda g: BatchPart.objects.create(
            project=g.project,
            batch=CandidateBatch.objects.create(project=g.project, target=g.target, num_requested=3, seed=1),
            source="trellis",
            num_asked=1,
            due_at=NOW,
        ),
        {"MISSING": {"detail": "no answer"}},
    ),
    states.TaskStatus: (lambda g: g.task, {}),
    states.AssignmentStatus: (
        lambda g: Assignment.objects.create(
            project=g.project, task=g.task, annotator=person("ana"), stage="object", expires_at=NOW
        ),
        {"SUBMITTED": {"answer": {}}},
    ),
    states.ArtistCaseStatus: (
        lambda g: ArtistCase.objects.create(project=g.project, target=g.target, reason="none_good"),
        {"ACCEPTED": {"candidate_id": "candidate"}},
    ),
    states.RoundStatus: (lambda g: Round.objects.get(), {}),
    states.DatasetStatus: (lambda g: g.dataset, {"FROZEN": {"manifest_key": "aa/m", "manifest_sha256": "m"}}),
    states.RunStatus: (
        lambda g: TrainingRun.objects.create(
            project=g.project, dataset_version=g.dataset, base_checkpoint=g.checkpoint, objective="sft"
        ),
        {"SUCCEEDED": {"output_checkpoint_id": "checkpoint"}},
    ),
    states.CheckpointStatus: (lambda g: g.checkpoint, {}),
    states.DeploymentStatus: (
        lambda g: Deployment.objects.create(checkpoint=g.checkpoint, generation=1),
        {
            "CANARY": {"canary_share": 0.1},
            "SERVING": {"canary_share": 0.0, "serving_since": NOW},
            "RETIRED": {"canary_share": 0.0},
        },
    ),
    states.GuidelineStatus: (
        lambda g: GuidelineVersion.objects.create(project=g.project, stage="pick", number=1),
        {"PUBLISHED": {"markdown": "Look twice.", "published_at": NOW}},
    ),
    states.QuizAttemptStatus: (
        lambda g: QuizAttempt.objects.create(
            project=g.project,
            quiz=Quiz.objects.create(project=g.project, stage="pick"),
            annotator=person("ana"),
            num_questions=1,
            num_needed=1,
            started_at=NOW,
        ),
        {"PASSED": {"num_right": 1, "ended_at": NOW}, "FAILED": {"ended_at": NOW}},
    ),
    states.StandingStatus: (
        lambda g: Standing.objects.create(project=g.project, user=person("ana"), changed_at=NOW),
        {"PAUSED": {"reason": "walks"}},
    ),
    states.ReviewStatus: (
        lambda g: SampledReview.objects.create(
            project=g.project, assignment=g.assignment, risk=1.0, because="by chance"
        ),
        {
            "ACCEPTED": {"reviewer_id": "reviewer", "decided_at": NOW},
            "SENT_BACK": {"reviewer_id": "reviewer", "decided_at": NOW, "note": "wrong"},
            "FIXED": {"reviewer_id": "reviewer", "decided_at": NOW, "correction_id": "assignment"},
        },
    ),
    states.ArenaStatus: (lambda g: g.arena, {}),
    states.MatchStatus: (
        lambda g: ArenaMatch.objects.create(
            project=g.project,
            arena=g.arena,
            target=g.target,
            place=0,
            left=g.candidate,
            right=g.other_candidate,
            left_checkpoint=g.checkpoint,
            right_checkpoint=g.other_checkpoint,
        ),
        {
            "CLAIMED": {"annotator_id": "reviewer", "claimed_until": NOW},
            "ANSWERED": {"outcome": "left", "answered_at": NOW},
        },
    ),
    states.JobStatus: (lambda g: Job.objects.create(kind="refine_mask", queue="cpu", key="j"), {}),
}


#: A step is a move the machine has, or any; the number says which.
STEPS = st.tuples(st.booleans(), st.integers(0, 5))


def test_every_machine_walks() -> None:
    assert set(WALKS) == set(states.ALLOWED)


@pytest.mark.django_db
@pytest.mark.parametrize("machine", WALKS, ids=lambda machine: machine.__name__)
def test_a_move_is_accepted_exactly_when_the_machine_has_it(machine: type[TextChoices]) -> None:
    make, needs = WALKS[machine]
    ground = Ground()
    row = make(ground)
    if machine is states.CheckpointStatus:
        type(row)._default_manager.update(status="REGISTERED")
    row.refresh_from_db()
    record_creation(row, by=WALKER)

    @settings(max_examples=12)
    @given(walk=st.lists(STEPS, min_size=1, max_size=6))
    def walks(walk: list[tuple[bool, int]]) -> None:
        with transaction.atomic():
            _walk(row, walk, machine=machine, needs=needs, ground=ground)
            transaction.set_rollback(True)
        row.refresh_from_db()

    walks()


def _walk(
    row: models.Model,
    walk: list[tuple[bool, int]],
    *,
    machine: type[TextChoices],
    needs: dict[str, Any],
    ground: Ground,
) -> None:
    here: str = row.status  # type: ignore[attr-defined]
    for along, number in walk:
        ways = sorted(states.ALLOWED[machine].get(machine(here), ())) if along else sorted(machine)
        step = machine(ways[number % len(ways)]) if ways else machine(here)
        changes = {
            name: getattr(ground, value).pk if name.endswith("_id") else value
            for name, value in needs.get(step.value, {}).items()
        }
        allowed = step in states.ALLOWED[machine].get(machine(here), frozenset())
        try:
            transition(row, step, by=WALKER, changes=changes)
        except IllegalTransition:
            assert not allowed
        else:
            assert allowed
            here = step.value
        stored = type(row)._default_manager.get(pk=row.pk)
        assert stored.status == row.status == here  # type: ignore[attr-defined]
    journal = list(
        StateChange.objects.filter(
            model=row._meta.model_name, object_id=row.pk, actor_name="walker"
        ).order_by("id")
    )
    assert [change.old for change in journal[1:]] == [change.new for change in journal[:-1]]
    assert journal[-1].new == here and all(change.old != change.new for change in journal)


@pytest.mark.django_db
@settings(max_examples=9)
@given(data=st.data())
def test_who_looks_at_an_old_row_moves_nothing(data: st.DataObject) -> None:
    with transaction.atomic():
        ground = Ground()
        seen = AnnotationTask.objects.get(pk=ground.task.pk)
        first, second = data.draw(st.tuples(*[st.sampled_from(["DONE", "ESCALATED", "CANCELLED"])] * 2))
        transition(ground.task, states.TaskStatus(first), by=WALKER)
        with pytest.raises(StaleTransition):
            transition(seen, states.TaskStatus(second), by=WALKER)
        assert AnnotationTask.objects.get(pk=seen.pk).status == first
        transaction.set_rollback(True)


@pytest.mark.django_db
@settings(max_examples=8)
@given(stale=st.booleans(), order=st.permutations([0, 1, 2]))
def test_moves_made_together_are_all_made_or_all_refused(stale: bool, order: list[int]) -> None:
    with transaction.atomic():
        ground = Ground()
        batch = CandidateBatch.objects.create(
            project=ground.project, target=ground.target, num_requested=3, seed=1
        )
        case = ArtistCase.objects.create(project=ground.project, target=ground.target, reason="none_good")
        if stale:
            CandidateBatch.objects.update(status="FAILED")
        moves = [
            Move(row=ground.task, to=states.TaskStatus.DONE, changes={"num_judgements": 1}),
            Move(row=batch, to=states.BatchStatus.GENERATING),
            Move(row=case, to=states.ArtistCaseStatus.CLAIMED, reason="mine"),
        ]
        try:
            with transaction.atomic():
                transition_together([moves[number] for number in order], by=WALKER)
        except StaleTransition:
            assert stale
        else:
            assert not stale
        made = StateChange.objects.filter(actor_name="walker").count()
        assert made == (0 if stale else 3)
        ground.task.refresh_from_db()
        assert ground.task.status == ("OPEN" if stale else "DONE")
        transaction.set_rollback(True)
