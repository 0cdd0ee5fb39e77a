"""What an ML engineer does at the console: freeze, open, train, deploy, try a canary, mend; each as pages post it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from engine.models import (
    CandidateBatch,
    DatasetVersion,
    Deployment,
    Job,
    Round,
    StateChange,
    TrainingRun,
)
from engine.services import checkpoints, runs
from engine.states import DeploymentStatus, JobStatus, Role, RunStatus
from engine.transitions import Actor
from tests import judged
from tests.console_world import World, actions
from tests.web import Browser, as_person, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def mel(world: World) -> Client:
    return as_person(world.mel)


def test_freezing_makes_a_version_in_the_persons_name(world: World, mel: Client) -> None:
    address, body = actions(world)["freeze"]
    reply = mel.post(address, body)
    version = DatasetVersion.objects.latest("pk")
    assert version.number == 2 and version.frozen_by == world.mel
    assert reply["Location"] == reverse("admin:console-dataset", kwargs={"version_id": version.pk})
    assert said(reply) == ["Dataset v2 is frozen: 1 demonstrations, 3 preference pairs, 1 exclusions."]
    assert set(
        StateChange.objects.filter(model="datasetversion", object_id=version.pk).values_list(
            "new", "actor_id"
        )
    ) == {("DRAFT", world.mel.pk), ("FROZEN", world.mel.pk)}
    page = mel.get(reply["Location"]).content.decode()
    assert "no artist&#x27;s model has been accepted yet" in page
    assert version.manifest_sha256 in page
    manifest = mel.get(reverse("admin:console-dataset-manifest", kwargs={"version_id": version.pk}))
    assert [json.loads(line)["kind"] for line in manifest.content.splitlines()] == [
        "demonstration",
        *["preference"] * 3,
    ]


def test_what_cannot_be_frozen_is_said_on_the_rounds_page(world: World, mel: Client) -> None:
    garden = judged.project("garden")
    judged.person("mel", garden, Role.ML_ENGINEER)
    bare = Round.objects.get(project=garden)
    reply = mel.post(reverse("admin:console-freeze", kwargs={"round_id": bare.pk}), {"alpha": "0.5"})
    assert reply["Location"] == reverse("admin:console-round", kwargs={"round_id": bare.pk})
    assert "no pick yet" in said(reply)[0]
    outside = mel.post(reverse("admin:console-freeze", kwargs={"round_id": world.round.pk}), {"alpha": "7"})
    assert said(outside)[-1].startswith("Alpha:")
    assert DatasetVersion.objects.count() == 1


def test_rounds_are_closed_and_opened_by_the_person(world: World, mel: Client) -> None:
    for name in ("close", "open"):
        address, body = actions(world)[name]
        assert mel.post(address, body).status_code == 302
    newest = Round.objects.get(number=2)
    assert (newest.alpha, newest.num_candidates, newest.status) == (0.6, 8, "OPEN")
    moves = StateChange.objects.filter(model="round", actor=world.mel)
    assert list(moves.order_by("id").values_list("new", flat=True)) == ["CLOSED", "OPEN"]
    assert mel.post(*actions(world)["open"]).status_code == 302
    assert Round.objects.count() == 2


def test_a_round_is_opened_with_a_mix_and_a_pre_filter_whose_yield_is_the_reports(
    world: World, mel: Client, settings: Any, tmp_path: Path
) -> None:
    mel.post(*actions(world)["close"])
    address, body = actions(world)["open"]
    mixed = {"source_mix": "candid8 6, retrieval 2", "num_draws": "50", "reward": "depth_error"}
    refused = mel.post(address, body | mixed | {"source_mix": "candid8 6"})
    assert "they must add up" in said(refused)[-1]
    report = json.loads(django_settings.REWARD_REPORT.read_text())
    recovered = report["prefilter"]["depth_error"]["recovered"]
    told = f"recovers {100 * recovered['mean']:.0f} %"
    assert told in mel.get(world.pages()["project"]).content.decode()
    mel.post(address, body | mixed)
    opened = Round.objects.latest("pk")
    assert (opened.source_mix, opened.num_draws) == ({"candid8": 6, "retrieval": 2}, 50)
    page = reverse("admin:console-round", kwargs={"round_id": opened.pk})
    shown = mel.get(page).content.decode()
    assert "candid8 6, retrieval 2" in shown and "the best of 50" in shown and told in shown
    assert "best of 50" in mel.get(world.pages()["project"]).content.decode()
    settings.REWARD_REPORT = tmp_path / "none.json"
    shown = mel.get(page).content.decode()
    assert told not in shown and "has not been measured" in shown
    short = [{"source": "retrieval", "asked": 2, "made": 0, "why": "no library"}]
    batch = judged.batch(world.project)
    CandidateBatch.objects.filter(pk=batch.pk).update(round=opened, missing=short)
    assert "no library" in mel.get(page).content.decode()
    assert "no library" in mel.get(reverse("admin:engine_candidatebatch_changelist")).content.decode()


def test_a_run_is_started_with_the_chosen_settings_and_shown(world: World, mel: Client) -> None:
    reply = mel.post(*actions(world)["start"])
    run = TrainingRun.objects.latest("pk")
    assert reply["Location"] == reverse("admin:console-run", kwargs={"run_id": run.pk})
    assert run.settings == {
        "steps": 12,
        "learning_rate": 3e-4,
        "optimizer": "muon",
        "batch_size": 4,
        "replay_share": 0.5,
        "evaluation_objects": 24,
    }
    assert (run.seed, run.base_checkpoint, run.started_by) == (3, world.base, world.mel)
    assert Job.objects.filter(key=f"run-{run.pk}-1", status=JobStatus.PENDING).exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"steps": "0"}, "Steps"),
        ({"learning_rate": ""}, "Learning rate"),
        ({"optimizer": "sgd"}, "Optimizer"),
        ({"base_checkpoint": "999999"}, "Base checkpoint"),
        ({"objective": "distil"}, "SFT or DPO"),
    ],
)
def test_a_run_with_a_bad_setting_is_refused_with_its_name(
    world: World, mel: Client, changes: dict[str, str], complaint: str
) -> None:
    address, body = actions(world)["start"]
    reply = mel.post(address, body | changes)
    assert reply["Location"] == world.pages()["dataset"]
    assert complaint in said(reply)[0]
    assert TrainingRun.objects.count() == 1


def test_the_curves_come_by_chart_with_status_and_progress(world: World, mel: Client) -> None:
    address = world.pages()["curves"]
    loss = mel.get(address, {"chart": "loss"}).json()
    assert loss["series"] == [{"name": "loss", "x": [9], "y": [0.5]}]
    assert (loss["status"], loss["progress"]) == ("RUNNING", {"step": 9, "total": 90})
    assert (loss["phase"], loss["log_tail"]) == ("training", "step 9")
    assert [line["name"] for line in mel.get(address, {"chart": "gradient"}).json()["series"]] == [
        "gradient_norm"
    ]
    assert [line["name"] for line in mel.get(address, {"chart": "measures"}).json()["series"]] == ["accuracy"]
    assert len(mel.get(address).json()["series"]) == 4


def test_a_run_is_cancelled_once_and_a_failed_one_resumed(world: World, mel: Client) -> None:
    cancel, resume = actions(world)["cancel"][0], actions(world)["resume"][0]
    assert "cannot go from RUNNING to QUEUED" in said(mel.post(resume))[0]
    runs.fail(run_id=world.run.pk, detail="out of memory")
    assert "out of memory" in mel.get(world.pages()["run"]).content.decode()
    assert mel.post(resume).status_code == 302
    world.run.refresh_from_db()
    assert world.run.status == RunStatus.QUEUED
    mel.post(cancel)
    world.run.refresh_from_db()
    assert world.run.status == RunStatus.CANCELLED
    who = StateChange.objects.filter(model="trainingrun", new__in=["QUEUED", "CANCELLED"])
    assert set(who.values_list("actor_id", flat=True)) == {world.mel.pk}


def test_a_checkpoint_is_deployed_and_rolled_back_in_one_click_each(world: World, mel: Client) -> None:
    reply = mel.post(*actions(world)["deploy"])
    assert "serves as generation 2" in said(reply)[0]
    page = mel.get(world.pages()["deployments"]).content.decode()
    assert "Roll back to shipped" in page
    mel.post(*actions(world)["rollback"])
    serving = Deployment.objects.get(status=DeploymentStatus.SERVING)
    assert (serving.checkpoint, serving.generation, serving.deployed_by) == (world.base, 3, world.mel)
    refused = mel.post(reverse("admin:console-deploy", kwargs={"checkpoint_id": world.base.pk}))
    assert "serves already" in said(refused)[-1]
    assert Deployment.objects.count() == 3


def test_a_canary_is_tried_given_more_and_promoted_or_given_up_on_the_page(world: World, mel: Client) -> None:
    address = world.pages()["deployments"]
    assert "Try as a canary" in mel.get(address).content.decode()
    reply = mel.post(*actions(world)["canary"])
    assert "tried makes 20.0% of the batches" in said(reply)[0]
    canary = Deployment.objects.get(status=DeploymentStatus.CANARY)
    assert (canary.canary_share, canary.deployed_by) == (0.2, world.mel)
    assert "makes 30.0%" in said(mel.post(*actions(world)["share"]))[-1]
    checkpoints.record_swap(deployment_id=canary.pk, worker="gpu/7", seconds=2.5, error="holes in the file")
    page = mel.get(address).content.decode()
    for words in ("30 %", "holes in the file", "gpu/7", "2.5 s", "Give up"):
        assert words in page, words
    assert "Share of the batches" in said(mel.post(actions(world)["share"][0], {"share": "1"}))[-1]
    assert "serves as generation 2" in said(mel.post(*actions(world)["promote"]))[-1]
    refused = mel.post(*actions(world)["abandon"])
    assert "not a canary" in said(refused)[-1]
    other = judged.checkpoint("again")
    mel.post(reverse("admin:console-canary"), {"checkpoint": other.pk, "share": "0.5"})
    assert "given up" in said(mel.post(*actions(world)["abandon"]))[-1]
    assert not Deployment.objects.filter(status=DeploymentStatus.CANARY).exists()


def test_a_swap_error_is_shown_beside_what_goes_on_serving(world: World, mel: Client) -> None:
    serving = Deployment.objects.get(status=DeploymentStatus.SERVING)
    checkpoints.record_swap(
        deployment_id=serving.pk, worker="gpu/7", seconds=2.0, error="golden outputs differ"
    )
    for name in ("overview", "deployments"):
        assert "golden outputs differ" in mel.get(world.pages()[name]).content.decode()


def test_the_checkpoints_page_tells_its_line_and_reads_the_report(world: World, mel: Client) -> None:
    checkpoints.record_evaluation(
        checkpoint_id=world.tuned.pk,
        evaluation={
            "num_objects": 24,
            "metrics": {
                "chamfer": {"value": 0.08, "parent": 0.09, "difference": -0.01, "low": -0.02,
                            "high": 0.01, "higher_is_better": False},
                "volume_iou_mean": {"value": 0.31, "parent": 0.28, "difference": 0.03, "low": 0.01,
                                    "high": 0.05, "higher_is_better": True},
            },
        },
    )  # fmt: skip
    page = mel.get(world.pages()["checkpoint"]).content.decode()
    assert "Better than its parent in volume iou mean; no clear difference in chamfer." in page
    assert "+0.0100 to +0.0500" in page
    assert world.base.sha256[:10] in page


def test_the_checkpoints_page_shows_its_audits_and_scripts_read_them(world: World, mel: Client) -> None:
    assert "--checkpoint" in mel.get(world.pages()["checkpoint"]).content.decode()
    row = {"parent": 0.28, "low": 0.01, "high": 0.05, "higher_is_better": True}
    for num_objects, value in ((5, 0.3), (6, 0.31)):
        checkpoints.record_audit(
            checkpoint_id=world.tuned.pk,
            version_id=world.version.pk,
            report={
                "audit_manifest": "ab" * 32,
                "num_objects": num_objects,
                "samples_per_object": 8,
                "metrics": {"volume_iou_mean": {"value": value, "difference": value - 0.28, **row}},
            },
            at=datetime(2026, 3, num_objects, 12, tzinfo=UTC),
            actor=Actor(name="evaluate_audit"),
        )
    page = mel.get(world.pages()["checkpoint"]).content.decode()
    assert "It was not evaluated" in page and "It was not audited" not in page
    assert page.index("6 objects that") < page.index("Earlier audits: 1") < page.index("5 objects that")
    assert page.count("+0.0100 to +0.0500") == 2 and "Better than its parent in volume iou mean." in page
    assert f"dataset v{world.version.number}</a> of Kitchen" in page and "6 Mar 2026 12:00" in page
    body = Browser(judged.person("mel")).get(f"/checkpoints/{world.tuned.pk}").body
    assert [each["num_objects"] for each in body["checkpoint"]["evaluation"]["audits"]] == [5, 6]


def test_a_failed_job_is_tried_again_under_a_new_key(world: World, mel: Client) -> None:
    job = Job.objects.create(
        project=world.project,
        kind="verify_checkpoint",
        queue="gpu",
        key="verify-7",
        payload={"checkpoint_id": world.tuned.pk},
        status=JobStatus.FAILED,
        error="the worker died",
    )
    page = mel.get(world.pages()["jobs"], {"status": "FAILED"}).content.decode()
    assert "the worker died" in page and "Try again" in page
    mel.post(reverse("admin:console-job-retry", kwargs={"job_id": job.pk}))
    again = Job.objects.get(key="verify-7~2")
    assert (again.status, again.payload) == (JobStatus.PENDING, job.payload)
    waiting = mel.post(reverse("admin:console-job-retry", kwargs={"job_id": again.pk}))
    assert "only a failed one" in said(waiting)[-1]


def test_the_targets_page_names_everything_from_photograph_to_checkpoint(world: World, mel: Client) -> None:
    runs.succeed(run_id=world.run.pk, checkpoint_id=world.tuned.pk)
    page = mel.get(world.pages()["target"]).content.decode()
    image = world.selection.batch.target.image
    for fact in (image.name, "ana", "0.75", "shipped", "v1", "SFT run", "tuned"):
        assert fact in page
