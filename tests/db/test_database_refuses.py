"""Rows that must never be are refused by the database itself, each constraint once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Model

from engine import models as rows
from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    BatchPart,
    Candidate,
    CandidateBatch,
    Checkpoint,
    Comparison,
    DatasetVersion,
    Deployment,
    Image,
    Job,
    LayoutProposal,
    MaskEdit,
    Membership,
    PointMap,
    Project,
    Round,
    RunMetric,
    Selection,
    StateChange,
    TargetObject,
    TaxonomyEntry,
    TrainingRun,
    WorkerSwap,
)
from engine.models import __all__ as MODELS
from tests.db.impossible_rows import IMPOSSIBLE_GUIDANCE, IMPOSSIBLE_QUALITY
from tests.factories import NOW, make_checkpoint, make_image, make_project, make_ready_batch, make_target
from tests.people import people_of

Write = Callable[["World"], Any]


class World:
    """One of each row, all sound, to spoil."""

    def __init__(self) -> None:
        self.project = make_project()
        self.people = people_of(self.project)
        self.image = make_image(self.project)
        self.target = make_target(self.image)
        self.batch = make_ready_batch(self.target, checkpoint=make_checkpoint())
        self.candidate, self.other, _ = Candidate.objects.order_by("index")
        self.task = AnnotationTask.objects.get(batch=self.batch)
        self.held = self.assign(self.people.ana)
        self.checkpoint = Checkpoint.objects.get()
        self.deployment = Deployment.objects.create(
            checkpoint=self.checkpoint, generation=1, status="SERVING", serving_since=NOW
        )
        self.dataset = DatasetVersion.objects.create(project=self.project, number=1, alpha=0.5)

    def canary(self, generation: int) -> Deployment:
        return Deployment.objects.create(
            checkpoint=self.checkpoint, generation=generation, status="CANARY", canary_share=0.1
        )

    def part(self, **changes: Any) -> BatchPart:
        values = {"project": self.project, "batch": self.batch, "source": "trellis", "num_asked": 1}
        return BatchPart.objects.create(**{**values, "due_at": NOW, **changes})

    def assign(self, user: Any, **changes: Any) -> Assignment:
        values = {
            "project": self.project,
            "task": self.task,
            "annotator": user,
            "stage": "pick",
            "expires_at": NOW,
        }
        return Assignment.objects.create(**{**values, **changes})

    def select(self, **changes: Any) -> Selection:
        values = {
            "project": self.project,
            "assignment": self.held,
            "batch": self.batch,
            "winner": self.candidate,
            "mode": "grid",
            "shape_rating": 5,
            "texture_rating": 5,
            "rating": 1.0,
        }
        return Selection.objects.create(**{**values, **changes})

    def compare(self, **changes: Any) -> Comparison:
        values = {
            "project": self.project,
            "assignment": self.held,
            "order": 0,
            "left": self.candidate,
            "right": self.other,
            "outcome": "left",
        }
        return Comparison.objects.create(**{**values, **changes})

    def run(self, **changes: Any) -> TrainingRun:
        """The one run, made when needed."""
        values = {"dataset_version": self.dataset, "base_checkpoint": self.checkpoint, "objective": "sft"}
        run, _ = TrainingRun.objects.get_or_create(project=self.project, defaults={**values, **changes})
        return run

    def copy(self, row: Model, **changes: Any) -> Model:
        """A second row like ``row``, with ``changes``."""
        values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
        values.pop("id")
        if "uuid" in values:
            values["uuid"] = uuid4()
        return type(row)._default_manager.create(**{**values, **changes})


def change(model: type[Model], **values: Any) -> Write:
    return lambda world: model._default_manager.update(**values)


IMPOSSIBLE: dict[str, Write] = {
    "image_once_per_project": lambda w: w.copy(w.image),
    "image_has_pixels": change(Image, width=0),
    "point_map_ready_is_complete": change(PointMap, intrinsics=None),
    "target_once_per_mask": lambda w: w.copy(w.target),
    "target_has_pixels": change(TargetObject, area_px=0),
    "batch_ready_is_complete": change(CandidateBatch, num_candidates=2),
    "batch_asks_for_some": change(CandidateBatch, num_requested=0, num_candidates=0),
    "candidate_has_source": lambda w: w.copy(w.candidate, source="", index=9),
    "candidate_of_ours_names_its_checkpoint": lambda w: w.copy(w.candidate, checkpoint_id=None, index=9),
    "candidate_once_per_slot": lambda w: w.copy(w.candidate),
    "layout_proposal_has_source": lambda w: LayoutProposal.objects.create(
        project=w.project, candidate=w.candidate, source="", pose={}
    ),
    "task_slots_not_negative": change(AnnotationTask, open_slots=-1),
    "task_has_what_its_stage_needs": lambda w: AnnotationTask.objects.create(
        project=w.project, stage="pose", image=w.image, target=w.target
    ),
    "task_one_pick_per_batch": lambda w: w.copy(w.task),
    "task_one_pose_per_candidate": lambda w: [
        AnnotationTask.objects.create(
            project=w.project, stage="pose", image=w.image, target=w.target, candidate=w.candidate
        )
        for _ in range(2)
    ],
    "assignment_once_per_person": lambda w: w.assign(w.people.ana, prefetched=True),
    "assignment_one_live_lease": lambda w: w.assign(
        w.people.ana, task=AnnotationTask.objects.get(stage="object")
    ),
    "assignment_submitted_has_answer": change(Assignment, status="SUBMITTED"),
    "mask_edit_says_something": lambda w: MaskEdit.objects.create(project=w.project, assignment=w.held),
    "comparison_order_once": lambda w: [w.compare() for _ in range(2)],
    "comparison_of_two": lambda w: w.compare(right=w.candidate),
    "selection_rates_its_winner_or_says_why_none": lambda w: w.select(rating=1.5),
    "alignment_symmetry_known": lambda w: Alignment.objects.create(
        project=w.project, assignment=w.held, candidate=w.candidate, pose={}, approximate=True, symmetry=7
    ),
    "alignment_iou_in_range": lambda w: Alignment.objects.create(
        project=w.project, assignment=w.held, candidate=w.candidate, pose={}, approximate=True, mask_iou=1.1
    ),
    "artist_case_one_open_per_target": lambda w: [
        ArtistCase.objects.create(project=w.project, target=w.target, reason="none_good") for _ in range(2)
    ],
    "artist_case_accepted_has_candidate": lambda w: ArtistCase.objects.create(
        project=w.project, target=w.target, reason="none_good", status="ACCEPTED"
    ),
    "project_candidates": change(Project, num_candidates=1),
    "project_alpha": change(Project, alpha=1.5),
    "project_held_back": change(Project, least_foreign=1.5),
    "project_gold_share": change(Project, gold_floor=0.4, gold_ceiling=0.3),
    "project_lease_seconds": change(Project, lease_seconds=1),
    "membership_once": lambda w: w.copy(Membership.objects.all()[0]),
    "taxonomy_key_once": lambda w: w.copy(TaxonomyEntry.objects.all()[0]),
    "round_one_open": lambda w: w.copy(Round.objects.get(), number=2),
    "round_number_once": lambda w: w.copy(Round.objects.get(), status="CLOSED"),
    "round_alpha": change(Round, alpha=-0.1),
    "dataset_number_once": lambda w: w.copy(w.dataset),
    "dataset_frozen_has_hash": change(DatasetVersion, status="FROZEN"),
    "deployment_one_serving": lambda w: w.copy(w.deployment, generation=2),
    "deployment_generation_once": lambda w: w.copy(w.deployment, status="RETIRED"),
    "deployment_one_canary": lambda w: [w.canary(number) for number in (2, 3)],
    "deployment_canary_share": change(Deployment, canary_share=0.2),
    "deployment_serving_has_since": change(Deployment, serving_since=None),
    "worker_swap_once": lambda w: [
        WorkerSwap.objects.create(worker="one", deployment=w.deployment, at=NOW, seconds=1.0)
        for _ in range(2)
    ],
    "candidatebatch_prefilter": change(CandidateBatch, num_draws=50),
    "project_prefilter": change(Project, num_draws=65, reward="consensus"),
    "round_prefilter": change(Round, reward="depth_error"),
    "batch_part_once_per_source": lambda w: [w.part() for _ in range(2)],
    "batch_part_asks_for_some": lambda w: w.part(num_asked=0),
    "batch_part_missing_says_why": lambda w: w.part(status="MISSING"),
    "run_metric_once": lambda w: [
        RunMetric.objects.create(run=w.run(), name="loss", step=1, value=1.0) for _ in range(2)
    ],
    "run_succeeded_has_checkpoint": lambda w: TrainingRun.objects.create(
        project=w.project,
        dataset_version=w.dataset,
        base_checkpoint=w.checkpoint,
        objective="sft",
        status="SUCCEEDED",
    ),
    **IMPOSSIBLE_GUIDANCE,
    **IMPOSSIBLE_QUALITY,
}


@pytest.fixture
def world(db: None) -> World:
    return World()


def refusal_of(write: Write, world: World) -> str:
    """What the database says to ``write``; nothing of it stays."""
    try:
        with transaction.atomic():
            write(world)
            transaction.set_rollback(True)
    except DatabaseError as refusal:
        return str(refusal)
    return "was written"


def test_impossible_rows_are_refused(world: World) -> None:
    said = {name: refusal_of(write, world) for name, write in IMPOSSIBLE.items()}
    assert {name: words for name, words in said.items() if name not in words} == {}


def test_every_constraint_is_tried() -> None:
    named = {constraint.name for model in MODELS for constraint in getattr(rows, model)._meta.constraints}
    assert named == set(IMPOSSIBLE)


def test_a_candidate_that_could_not_be_shown_did_not_win(world: World) -> None:
    said = refusal_of(lambda world: world.select(not_loaded=[world.candidate.pk]), world)
    assert "selection_winner_was_shown" in said
    assert refusal_of(lambda world: world.select(not_loaded=[world.other.pk]), world) == "was written"


def touch(row: Model) -> Write:
    def write(world: World) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'UPDATE "{row._meta.db_table}" SET id = id WHERE id = %s', [row.pk])

    return write


def test_judgements_and_candidates_are_never_changed_not_even_by_raw_sql(world: World) -> None:
    kept = {"project": world.project}
    for row in (
        world.candidate,
        world.compare(),
        world.select(),
        LayoutProposal.objects.create(candidate=world.candidate, source="test", pose={}, **kept),
        MaskEdit.objects.create(assignment=world.held, target=world.target, **kept),
        Alignment.objects.create(
            assignment=world.held, candidate=world.candidate, pose={}, approximate=True, **kept
        ),
        StateChange.objects.all()[0],
    ):
        assert "append-only" in refusal_of(touch(row), world), row


def test_no_row_keeps_pointing_at_another_that_is_gone(world: World) -> None:
    def orphan(world: World) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM engine_targetobject WHERE id = %s", [world.target.pk])
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    assert "foreign key" in refusal_of(orphan, world)


def test_a_job_has_one_key(world: World) -> None:
    assert "key" in refusal_of(lambda world: world.copy(Job.objects.all()[0]), world)
