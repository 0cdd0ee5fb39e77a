"""Training runs: what may start, what their worker may call twice, and how they end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.errors import BadInput, EngineError, IllegalTransition
from engine.models import DatasetVersion, Job, Project, RunMetric, StateChange, TrainingRun
from engine.selectors.runs import curves
from engine.services import checkpoints, datasets, runs
from engine.states import CheckpointStatus, RunStatus
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db


@pytest.fixture
def mel() -> Actor:
    return Actor(user_id=judged.person("mel").pk)


@pytest.fixture
def kitchen(mel: Actor) -> Project:
    """A project with one passing pick, and a checkpoint that serves."""
    made = judged.project()
    judged.pick(judged.batch(made), by=judged.person("ana"), winner=1)
    checkpoints.deploy(checkpoint_id=judged.checkpoint().pk, actor=mel)
    return made


@pytest.fixture
def version(kitchen: Project, mel: Actor) -> DatasetVersion:
    return datasets.freeze(project_id=kitchen.pk, alpha=None, actor=mel)


def start(version: DatasetVersion, actor: Actor, **changes: Any) -> TrainingRun:
    arguments: dict[str, Any] = {
        "objective": "sft",
        "base_checkpoint_id": None,
        "seed": 7,
        "settings": {},
    }
    return runs.start_run(
        project_id=version.project_id,
        dataset_version_id=version.pk,
        actor=actor,
        **(arguments | changes),
    )


@pytest.mark.parametrize(
    ("objective", "num_examples", "steps"),
    # Half of an SFT batch of 16 is replay; a DPO batch is all pairs.
    [("sft", 80, 10), ("sft", 81, 11), ("dpo", 80, 5), ("dpo", 1, 1)],
)
def test_a_pass_takes_as_many_steps_as_the_usual_batches_need(
    objective: str, num_examples: int, steps: int
) -> None:
    assert runs.steps_of_one_pass(objective=objective, num_examples=num_examples) == steps


def test_a_run_starts_from_what_serves_with_every_setting_written_down(
    version: DatasetVersion, mel: Actor
) -> None:
    run = start(version, mel, settings={"steps": 12})
    assert run.status == RunStatus.QUEUED
    assert run.base_checkpoint == judged.checkpoint()
    assert run.settings == {
        "steps": 12,
        "learning_rate": 3e-4,
        "optimizer": "adamw",
        "batch_size": 16,
        "replay_share": 0.5,
        "evaluation_objects": 24,
    }
    assert (run.total_steps, run.seed, run.started_by_id) == (12, 7, mel.user_id)
    job = Job.objects.get(kind="train_run")
    assert (job.key, job.payload, job.queue) == (f"run-{run.pk}-1", {"run_id": run.pk}, "train")
    assert StateChange.objects.get(model="trainingrun").actor_id == mel.user_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"objective": "distil"}, "bad_request"),
        ({"settings": {"step": 3}}, "bad_settings"),
        ({"settings": {"steps": 0}}, "bad_settings"),
        ({"settings": {"steps": 1.5}}, "bad_settings"),
        ({"settings": {"learning_rate": math.nan}}, "bad_settings"),
        ({"settings": {"learning_rate": "fast"}}, "bad_settings"),
        ({"settings": {"steps": True}}, "bad_settings"),
        ({"settings": {"optimizer": "sgd"}}, "bad_settings"),
        ({"settings": {"optimizer": ["muon"]}}, "bad_settings"),
        ({"seed": -1}, "bad_request"),
        ({"base_checkpoint_id": 0}, "not_found"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_and_nothing_is_written(
    version: DatasetVersion, mel: Actor, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(EngineError) as refusal:
        start(version, mel, **changes)
    assert refusal.value.code == code
    assert not TrainingRun.objects.exists()
    assert not Job.objects.filter(kind="train_run").exists()


def test_sft_needs_demonstrations_and_dpo_needs_pairs(kitchen: Project, mel: Actor) -> None:
    strict = datasets.freeze(project_id=kitchen.pk, alpha=1.0, actor=mel)
    with pytest.raises(BadInput) as refusal:
        start(strict, mel, objective="sft")
    assert refusal.value.code == "dataset_lacks_demonstrations"
    assert start(strict, mel, objective="dpo").settings["beta"] == 100.0

    garden = judged.project("garden")
    judged.pick(judged.batch(garden, sources=("retrieval",) * 2), by=judged.person("ana"), winner=0)
    no_pairs = datasets.freeze(project_id=garden.pk, alpha=None, actor=mel)
    with pytest.raises(BadInput) as refusal:
        start(no_pairs, mel, objective="dpo")
    assert refusal.value.code == "dataset_lacks_pairs"


def test_a_draft_and_a_refused_base_are_refused(version: DatasetVersion, mel: Actor) -> None:
    refused = judged.checkpoint("broken", status=CheckpointStatus.REFUSED)
    with pytest.raises(BadInput, match="REFUSED"):
        start(version, mel, base_checkpoint_id=refused.pk)
    draft = DatasetVersion.objects.create(project=version.project, number=99, alpha=0.5)
    with pytest.raises(BadInput, match="frozen"):
        start(draft, mel)


def test_beginning_reporting_and_ending_twice_change_nothing_more(
    version: DatasetVersion, mel: Actor
) -> None:
    run = start(version, mel)
    for _ in range(2):
        assert runs.begin(run.pk) is not None
    for value in (0.9, 0.8):
        assert runs.report_progress(
            run_id=run.pk,
            step=10,
            total=90,
            phase="training",
            metrics={"loss": value, "norm": math.inf},
            log_tail="x" * 20_000,
        )
    run.refresh_from_db()
    assert (run.status, run.step, run.phase) == (RunStatus.RUNNING, 10, "training")
    assert len(run.log_tail) == runs.LOG_TAIL_CHARACTERS
    assert RunMetric.objects.count() == 1
    assert [(curve.name, curve.steps, curve.values) for curve in curves(run.pk)] == [("loss", (10,), (0.8,))]

    tuned = judged.checkpoint("tuned", status=CheckpointStatus.REGISTERED)
    for _ in range(2):
        runs.succeed(run_id=run.pk, checkpoint_id=tuned.pk)
    runs.fail(run_id=run.pk, detail="a late echo")
    run.refresh_from_db()
    assert (run.status, run.output_checkpoint, run.step) == (RunStatus.SUCCEEDED, tuned, 10)
    assert runs.begin(run.pk) is None
    moves = StateChange.objects.filter(model="trainingrun").order_by("id")
    assert list(moves.values_list("new", flat=True)) == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_a_run_does_not_succeed_with_a_refused_checkpoint(version: DatasetVersion, mel: Actor) -> None:
    run = start(version, mel)
    runs.begin(run.pk)
    refused = judged.checkpoint("broken", status=CheckpointStatus.REFUSED)
    with pytest.raises(EngineError) as refusal:
        runs.succeed(run_id=run.pk, checkpoint_id=refused.pk)
    assert refusal.value.code == "bad_checkpoint"
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING


def test_a_cancelled_run_is_told_to_stop_and_stays_cancelled(version: DatasetVersion, mel: Actor) -> None:
    run = start(version, mel)
    runs.begin(run.pk)
    runs.cancel_run(run_id=run.pk, actor=mel)
    assert runs.is_cancelled(run.pk)
    assert not runs.report_progress(
        run_id=run.pk, step=1, total=9, phase="training", metrics={"loss": 1.0}, log_tail=""
    )
    assert not RunMetric.objects.exists()
    runs.fail(run_id=run.pk, detail="the child was stopped")
    with pytest.raises(IllegalTransition):
        runs.succeed(run_id=run.pk, checkpoint_id=judged.checkpoint("tuned").pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED


def test_a_failed_run_is_resumed_as_a_new_attempt(version: DatasetVersion, mel: Actor) -> None:
    run = start(version, mel)
    with pytest.raises(IllegalTransition):
        runs.resume_run(run_id=run.pk, actor=mel)
    runs.begin(run.pk)
    runs.fail(run_id=run.pk, detail="out of memory")
    run.refresh_from_db()
    assert (run.status, run.detail) == (RunStatus.FAILED, "out of memory")
    runs.resume_run(run_id=run.pk, actor=mel)
    run.refresh_from_db()
    assert (run.status, run.detail, run.ended_at) == (RunStatus.QUEUED, "", None)
    keys = Job.objects.filter(kind="train_run").order_by("id").values_list("key", flat=True)
    assert list(keys) == [f"run-{run.pk}-1", f"run-{run.pk}-2"]


def test_registering_the_output_names_the_run_and_its_base_as_parent(
    version: DatasetVersion, mel: Actor
) -> None:
    run = start(version, mel)
    runs.begin(run.pk)
    made = checkpoints.register(
        weights_key="ab/ab.safetensors",
        sha256="b" * 64,
        manifest={"preset": "tiny"},
        name="sft-1",
        parent_id=None,
        run_id=run.pk,
        actor=mel,
    )
    run.refresh_from_db()
    assert run.output_checkpoint == made
    assert made.parent == run.base_checkpoint
