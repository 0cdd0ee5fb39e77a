"""The console: who may enter, what its pages cost, and that every action is the person's, by POST, and journalled."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from engine import blobs
from engine.models import (
    Checkpoint,
    DatasetVersion,
    Deployment,
    Job,
    Project,
    Round,
    Selection,
    StateChange,
    TrainingRun,
)
from engine.services import checkpoints, datasets, runs
from engine.states import DeploymentStatus, JobStatus, Role, RunStatus
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db

#: Every page of the console may cost this much SQL, whatever is in the tables.
MOST_QUERIES = 20


@pytest.fixture(scope="session", autouse=True)
def bucket() -> None:
    blobs.ensure_bucket(origins=["http://testserver"])


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


@pytest.fixture
def world() -> World:
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


@pytest.fixture
def mel(world: World) -> Client:
    return as_person(world.mel)


def as_person(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def said(reply: HttpResponse) -> list[str]:
    """What the console told the person after an action."""
    return [str(message) for message in get_messages(reply.wsgi_request)]  # type: ignore[attr-defined]


def test_every_page_opens_for_an_ml_engineer_who_is_no_staff(world: World, mel: Client) -> None:
    assert not world.mel.is_staff
    for name, address in world.pages().items():
        assert mel.get(address).status_code == 200, name


def test_annotators_and_strangers_do_not_enter_and_the_unknown_log_in_first(world: World) -> None:
    eve = judged.person("eve")
    for name, address in world.pages().items():
        assert as_person(world.ana).get(address, follow=True).status_code == 403, name
        assert as_person(eve).get(address, follow=True).status_code == 403, name
        anonymous = Client().get(address, follow=True)
        assert anonymous.redirect_chain[-1][0].startswith("/login?next="), name


def test_an_engineer_of_another_project_learns_nothing_of_this_one(world: World) -> None:
    garden = judged.project("garden")
    other = as_person(judged.person("gus", garden, Role.ML_ENGINEER))
    for name in ("project", "round", "dataset", "diff", "clone", "run", "curves", "target"):
        assert other.get(world.pages()[name]).status_code == 404, name
    assert "Kitchen" not in other.get(world.pages()["overview"]).content.decode()
    listed = other.get(reverse("admin:engine_selection_changelist"))
    assert listed.status_code == 200 and "0 selections" in listed.content.decode()
    one = reverse("admin:engine_selection_change", args=[world.selection.pk])
    assert other.get(one).status_code == 302


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
                "batch_size": "4",
                "replay_share": "0.5",
                "evaluation_objects": "24",
            },
        ),
        "cancel": (reverse("admin:console-run-cancel", kwargs={"run_id": world.run.pk}), {}),
        "resume": (reverse("admin:console-run-resume", kwargs={"run_id": world.run.pk}), {}),
        "deploy": (reverse("admin:console-deploy", kwargs={"checkpoint_id": world.tuned.pk}), {}),
        "rollback": (reverse("admin:console-rollback"), {}),
        "retry": (
            reverse("admin:console-job-retry", kwargs={"job_id": Job.objects.latest("pk").pk}),
            {},
        ),
    }


def test_actions_answer_to_post_alone_with_a_csrf_token_and_the_role(world: World, mel: Client) -> None:
    before = StateChange.objects.count(), Job.objects.count()
    reviewer = as_person(judged.person("rev", world.project, Role.REVIEWER))
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(world.mel)
    for name, (address, body) in actions(world).items():
        assert mel.get(address).status_code == 405, name
        assert careful.post(address, body).status_code == 403, name
        assert as_person(world.ana).post(address, body).status_code == 403, name
        assert reviewer.post(address, body).status_code == 403, name
    assert (StateChange.objects.count(), Job.objects.count()) == before


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


def test_a_run_is_started_with_the_chosen_settings_and_shown(world: World, mel: Client) -> None:
    reply = mel.post(*actions(world)["start"])
    run = TrainingRun.objects.latest("pk")
    assert reply["Location"] == reverse("admin:console-run", kwargs={"run_id": run.pk})
    assert run.settings == {
        "steps": 12,
        "learning_rate": 3e-4,
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


def test_a_swap_error_is_shown_beside_what_goes_on_serving(world: World, mel: Client) -> None:
    serving = Deployment.objects.get(status=DeploymentStatus.SERVING)
    checkpoints.record_swap_error(deployment_id=serving.pk, detail="golden outputs differ")
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


def test_no_page_carries_inline_style_or_script(world: World, mel: Client) -> None:
    for name, address in world.pages().items():
        page = mel.get(address).content.decode()
        assert "style=" not in page and "<style" not in page, name
        assert "onclick" not in page and "<script>" not in page, name


def test_every_page_costs_the_same_sql_when_the_tables_grow(world: World, mel: Client) -> None:
    small = {name: cost(lambda a=address: mel.get(a)) for name, address in world.pages().items()}
    me = Actor(user_id=world.mel.pk)
    for number in range(4):
        judged.pick(judged.batch(world.project), by=judged.person(f"ann{number}"), winner=1)
        judged.project(f"project-{number}")
        judged.person("mel", Project.objects.latest("pk"), Role.ML_ENGINEER)
        datasets.freeze(project_id=world.project.pk, alpha=None, actor=me)
        runs.start_run(
            project_id=world.project.pk,
            dataset_version_id=world.version.pk,
            objective="dpo",
            base_checkpoint_id=judged.checkpoint(f"more-{number}", parent=world.tuned).pk,
            seed=0,
            settings={},
            actor=me,
        )
    large = {name: cost(lambda a=address: mel.get(a)) for name, address in world.pages().items()}
    assert large == small
    assert max(large.values()) <= MOST_QUERIES


def test_the_lists_of_rows_open_read_only_and_flat(world: World, mel: Client) -> None:
    models = [
        "project", "membership", "round", "image", "pointmap", "targetobject", "candidatebatch", "candidate",
        "layoutproposal", "annotationtask", "assignment", "maskedit", "comparison", "selection", "alignment",
        "artistcase", "datasetversion", "trainingrun", "checkpoint", "deployment", "job", "statechange",
    ]  # fmt: skip
    addresses = {name: reverse(f"admin:engine_{name}_changelist") for name in models}
    small = {name: cost(lambda a=address: mel.get(a)) for name, address in addresses.items()}
    for _ in range(3):
        judged.pick(judged.batch(world.project), by=world.ana, winner=1, pairs=[(0, 1, "right")])
    large = {name: cost(lambda a=address: mel.get(a)) for name, address in addresses.items()}
    assert {name: large[name] - small[name] for name in models} == dict.fromkeys(models, 0)
    assert max(large.values()) <= MOST_QUERIES
    winner = world.selection.winner
    assert winner is not None
    one = reverse("admin:engine_candidate_change", args=[winner.pk])
    assert mel.get(one).status_code == 200
    assert mel.post(one, {"source": "artist"}).status_code == 403
    assert mel.get(reverse("admin:engine_selection_add")).status_code == 403


def test_a_lead_keeps_the_members_of_their_own_project_only(world: World) -> None:
    lead = as_person(judged.person("lea", world.project, Role.LEAD))
    garden = judged.project("garden")
    add = reverse("admin:engine_membership_add")
    body = {"project": world.project.pk, "user": judged.person("new").pk, "role": Role.ANNOTATOR}
    assert lead.post(add, body).status_code == 302
    assert world.project.memberships.filter(user__username="new", role=Role.ANNOTATOR).exists()
    assert lead.post(add, body | {"project": garden.pk}).status_code == 200
    assert not garden.memberships.filter(user__username="new").exists()


def cost(visit: Callable[[], HttpResponse]) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert visit().status_code == 200
    return len(queries)
