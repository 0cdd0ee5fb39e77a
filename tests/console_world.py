"""The console's tests begin here: a kitchen after one round, its pages, and every action with a body that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse

from engine.models import (
    Checkpoint,
    DatasetVersion,
    Deployment,
    Job,
    Project,
    Round,
    Selection,
    TrainingRun,
)
from engine.services import checkpoints, datasets, runs
from engine.states import Role
from engine.transitions import Actor
from tests import judged


@dataclass(frozen=True, kw_only=True)
class World:
    """A kitchen where ana picked and mel trained one checkpoint; eve is a stranger."""

    project: Project
    round: Round
    version: DatasetVersion
    run: TrainingRun
    base: Checkpoint
    tuned: Checkpoint
    selection: Selection
    mel: User
    ana: User

    def pages(self) -> dict[str, str]:
        return {
            "overview": reverse("admin:index"),
            "project": reverse("admin:console-project", kwargs={"project_id": self.project.pk}),
            "round": reverse("admin:console-round", kwargs={"round_id": self.round.pk}),
            "dataset": reverse("admin:console-dataset", kwargs={"version_id": self.version.pk}),
            "diff": reverse("admin:console-dataset-diff", kwargs={"version_id": self.version.pk}),
            "clone": reverse("admin:console-dataset", kwargs={"version_id": self.version.pk})
            + f"?clone={self.run.pk}",
            "run": reverse("admin:console-run", kwargs={"run_id": self.run.pk}),
            "curves": reverse("admin:console-run-curves", kwargs={"run_id": self.run.pk}),
            "checkpoint": reverse("admin:console-checkpoint", kwargs={"checkpoint_id": self.tuned.pk}),
            "deployments": reverse("admin:console-deployments"),
            "jobs": reverse("admin:console-jobs"),
            "target": reverse("admin:console-target", kwargs={"target_id": self.selection.batch.target_id}),
        }


def make_world() -> World:
    """The kitchen as it stands after one round; the run is still RUNNING."""
    kitchen = judged.project()
    mel = judged.person("mel", kitchen, Role.ML_ENGINEER)
    ana = judged.person("ana", kitchen, Role.ANNOTATOR)
    me = Actor(user_id=mel.pk)
    base = judged.checkpoint("shipped")
    checkpoints.deploy(checkpoint_id=base.pk, actor=me)
    selection = judged.pick(judged.batch(kitchen), by=ana, winner=1)
    judged.pick(judged.batch(kitchen), by=ana, winner=None)
    version = datasets.freeze(project_id=kitchen.pk, alpha=None, actor=me)
    run = runs.start_run(
        project_id=kitchen.pk,
        dataset_version_id=version.pk,
        objective="sft",
        base_checkpoint_id=None,
        seed=0,
        settings={},
        actor=me,
    )
    runs.begin(run.pk)
    runs.report_progress(
        run_id=run.pk,
        step=9,
        total=90,
        phase="training",
        metrics={"loss": 0.5, "gradient_norm": 1.0, "accuracy": 0.7, "learning_rate": 1e-4},
        log_tail="step 9",
    )
    tuned = judged.checkpoint("tuned", parent=base)
    run.refresh_from_db()
    opened = Round.objects.get(project=kitchen)
    return World(
        project=kitchen,
        round=opened,
        version=version,
        run=run,
        base=base,
        tuned=tuned,
        selection=selection,
        mel=mel,
        ana=ana,
    )


def actions(world: World) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every action of the console with a body that would be accepted."""
    ids = {"round_id": world.round.pk}
    return {
        "freeze": (reverse("admin:console-freeze", kwargs=ids), {"alpha": "0.5"}),
        "close": (reverse("admin:console-round-close", kwargs=ids), {}),
        "open": (
            reverse("admin:console-round-open", kwargs={"project_id": world.project.pk}),
            {"alpha": "0.6", "num_candidates": "8"},
        ),
        "start": (
            reverse("admin:console-run-start", kwargs={"version_id": world.version.pk}),
            {
                "objective": "sft",
                "base_checkpoint": world.base.pk,
                "seed": "3",
                "steps": "12",
                "learning_rate": "0.0003",
                "optimizer": "muon",
                "batch_size": "4",
                "replay_share": "0.5",
                "evaluation_objects": "24",
            },
        ),
        "cancel": (reverse("admin:console-run-cancel", kwargs={"run_id": world.run.pk}), {}),
        "resume": (reverse("admin:console-run-resume", kwargs={"run_id": world.run.pk}), {}),
        "deploy": (reverse("admin:console-deploy", kwargs={"checkpoint_id": world.tuned.pk}), {}),
        "rollback": (reverse("admin:console-rollback"), {}),
        "canary": (
            reverse("admin:console-canary"),
            {"checkpoint": judged.checkpoint("tried", parent=world.base).pk, "share": "0.2"},
        ),
        **{
            verb: (
                reverse(f"admin:console-canary-{verb}", kwargs={"deployment_id": latest_deployment()}),
                {"share": "0.3"},
            )
            for verb in ("share", "promote", "abandon")
        },
        "retry": (
            reverse("admin:console-job-retry", kwargs={"job_id": Job.objects.latest("pk").pk}),
            {},
        ),
    }


def latest_deployment() -> int:
    return Deployment.objects.latest("pk").pk
