"""Datasets, runs and deployments for scripts: the same verbs as the console, with the same refusals."""

from __future__ import annotations

import pytest

from engine.models import DatasetVersion, Deployment, Job, Project, RunMetric, TrainingRun
from engine.services import checkpoints
from engine.states import CheckpointStatus
from tests import judged
from tests.people import People, people_of
from tests.web import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def people(kitchen: Project) -> People:
    return people_of(kitchen)


@pytest.fixture
def mel(people: People) -> Browser:
    return Browser(people.mel)


def test_an_empty_project_says_what_is_missing_to_freeze(kitchen: Project, mel: Browser) -> None:
    reply = mel.post(f"/projects/{kitchen.pk}/dataset-versions")
    assert (reply.status, reply.code) == (400, "nothing_to_freeze") and "no pick yet" in reply.body["detail"]


def test_the_whole_round_is_driven_by_a_script(kitchen: Project, people: People, mel: Browser) -> None:
    batch = judged.batch(kitchen)
    judged.pick(batch, by=people.ana, winner=0, ratings=(5, 5))
    frozen = mel.post(f"/projects/{kitchen.pk}/dataset-versions", {"alpha": 0.5})
    assert frozen.status == 201, frozen
    version = DatasetVersion.objects.get()
    assert (
        frozen.body["manifest_sha256"] == version.manifest_sha256 and frozen.body["num_demonstrations"] == 1
    )
    assert mel.get(f"/projects/{kitchen.pk}/dataset-versions").body["results"][0]["id"] == version.pk
    assert mel.get(f"/dataset-versions/{version.pk}").body["counts"]["labels"] == {"mug": 1}

    base, better = judged.checkpoint(), judged.checkpoint("better")
    assert mel.post(f"/projects/{kitchen.pk}/deployments", {"checkpoint": base.pk}).status == 201
    body = {"dataset_version": version.pk, "objective": "sft", "settings": {"steps": 5}}
    started = mel.post(f"/projects/{kitchen.pk}/runs", body)
    assert (started.status, started.body["status"], started.body["base_checkpoint"]) == (
        201,
        "QUEUED",
        base.pk,
    )
    run = TrainingRun.objects.get()
    assert (run.settings["steps"], run.started_by) == (5, people.mel)
    assert Job.objects.filter(kind="train_run").count() == 1
    RunMetric.objects.create(run=run, name="loss", step=1, value=0.5)
    watched = mel.get(f"/runs/{run.pk}").body
    assert watched["curves"] == [{"name": "loss", "steps": [1], "values": [0.5]}]
    assert mel.get(f"/projects/{kitchen.pk}/runs").body["results"][0]["total_steps"] == 5

    promoted = mel.post(f"/projects/{kitchen.pk}/deployments", {"checkpoint": better.pk})
    assert (promoted.status, promoted.body["generation"], promoted.body["checkpoint_name"]) == (
        201,
        2,
        "better",
    )
    back = mel.post(f"/projects/{kitchen.pk}/deployments/rollback")
    assert (back.body["checkpoint"], back.body["generation"]) == (base.pk, 3)
    history = mel.get(f"/projects/{kitchen.pk}/deployments").body["results"]
    assert [(row["generation"], row["status"]) for row in history] == [
        (3, "SERVING"),
        (2, "RETIRED"),
        (1, "RETIRED"),
    ]
    assert Deployment.objects.get(status="SERVING").deployed_by == people.mel
    assert [row["name"] for row in mel.get("/checkpoints").body["results"]] == ["better", "shipped"]

    lineage = mel.get(f"/targets/{batch.target_id}/lineage").body
    assert lineage["picks"][0]["annotator"] == "ana" and lineage["versions"][0]["number"] == version.number
    assert {candidate["checkpoint_name"] for candidate in lineage["candidates"]} == {"shipped"}


def test_a_run_is_cancelled_once_and_a_failed_one_goes_on(
    kitchen: Project, people: People, mel: Browser
) -> None:
    judged.pick(judged.batch(kitchen), by=people.ana, winner=0, ratings=(5, 5))
    version = mel.post(f"/projects/{kitchen.pk}/dataset-versions").body["id"]
    body = {"dataset_version": version, "objective": "dpo", "base_checkpoint": judged.checkpoint().pk}
    run = mel.post(f"/projects/{kitchen.pk}/runs", body).body["id"]
    assert mel.post(f"/runs/{run}/cancel").body["status"] == "CANCELLED"
    again = mel.post(f"/runs/{run}/cancel")
    assert (again.status, again.code) == (409, "illegal_transition")
    other = mel.post(f"/projects/{kitchen.pk}/runs", body).body["id"]
    TrainingRun.objects.filter(pk=other).update(status="FAILED")
    assert mel.post(f"/runs/{other}/resume").body["status"] == "QUEUED"


def test_a_run_that_makes_no_sense_is_refused_with_the_reason(
    kitchen: Project, people: People, mel: Browser
) -> None:
    judged.pick(judged.batch(kitchen), by=people.ana, winner=0, ratings=(5, 5))
    version = mel.post(f"/projects/{kitchen.pk}/dataset-versions").body["id"]
    good = {"dataset_version": version, "objective": "sft", "base_checkpoint": judged.checkpoint().pk}
    settings = mel.post(f"/projects/{kitchen.pk}/runs", {**good, "settings": {"steps": 0, "colour": "red"}})
    assert (settings.status, settings.code) == (400, "bad_settings") and set(settings.body["errors"]) == {
        "steps",
        "colour",
    }
    for change, status in (
        ({"objective": "magic"}, 400),
        ({"dataset_version": 999_999}, 404),
        ({"base_checkpoint": 999_999}, 404),
        ({"seed": -1}, 400),
        ({"seed": 2**63}, 400),
        ({"settings": []}, 400),
    ):
        assert mel.post(f"/projects/{kitchen.pk}/runs", {**good, **change}).status == status, change
    assert not TrainingRun.objects.exists()


def test_only_a_verified_checkpoint_may_serve(kitchen: Project, mel: Browser) -> None:
    raw = judged.checkpoint("raw", status=CheckpointStatus.REGISTERED)
    refused = mel.post(f"/projects/{kitchen.pk}/deployments", {"checkpoint": raw.pk})
    assert (refused.status, refused.code) == (409, "not_verified")
    assert mel.post(f"/projects/{kitchen.pk}/deployments/rollback").code == "nothing_to_roll_back"
    assert not Deployment.objects.exists()


def test_a_script_tries_a_canary_and_promotes_it_or_gives_it_up(kitchen: Project, mel: Browser) -> None:
    base, better, third = (judged.checkpoint(name) for name in ("base", "better", "third"))
    at = f"/projects/{kitchen.pk}/deployments"
    body = {"checkpoint": better.pk, "share": 0.25}
    early = mel.post(f"{at}/canary", body)
    assert (early.status, early.code) == (409, "nothing_serves")
    mel.post(at, {"checkpoint": base.pk})
    staged = mel.post(f"{at}/canary", body)
    assert (staged.status, staged.body["status"], staged.body["canary_share"]) == (201, "CANARY", 0.25)
    canary = f"{at}/{staged.body['id']}"
    for share in (0, 1, 2):
        refused = mel.post(f"{canary}/share", {"share": share})
        assert (refused.status, refused.code) == (400, "bad_share"), share
    assert mel.post(f"{canary}/share", {"share": 0.5}).body["canary_share"] == 0.5
    promoted = mel.post(f"{canary}/promote")
    assert (promoted.status, promoted.body["status"], promoted.body["canary_share"]) == (200, "SERVING", 0.0)
    assert mel.post(f"{canary}/abandon").code == "not_a_canary"
    other = mel.post(f"{at}/canary", {"checkpoint": third.pk, "share": 0.1}).body["id"]
    assert mel.post(f"{at}/{other}/abandon", {"reason": "holes"}).body["status"] == "RETIRED"
    assert mel.post(f"{at}/999999/promote").status == 404
    checkpoints.record_swap(deployment_id=staged.body["id"], worker="gpu/7", seconds=1.5)
    [swap] = mel.get(f"{at}/swaps").body["results"]
    assert (swap["worker"], swap["generation"], swap["seconds"], swap["error"]) == ("gpu/7", 2, 1.5, "")


def test_only_who_trains_may_touch_canaries(kitchen: Project, people: People) -> None:
    at = f"/projects/{kitchen.pk}/deployments"
    for way in ("canary", "1/share", "1/promote", "1/abandon"):
        body = {"checkpoint": 1, "share": 0.5}
        assert Browser(people.ana).post(f"{at}/{way}", body).status == 403, way
        assert Browser(people.eve).post(f"{at}/{way}", body).status == 404, way
    assert Browser(people.ana).get(f"{at}/swaps").status == 403


def test_a_script_opens_and_closes_rounds_and_sees_what_is_left_to_do(
    kitchen: Project, people: People, mel: Browser
) -> None:
    first = mel.get(f"/projects/{kitchen.pk}/rounds").body["results"][0]
    wanted = {"alpha": 0.5, "num_candidates": 4}
    refused = mel.post(f"/projects/{kitchen.pk}/rounds", wanted)
    assert (refused.status, refused.code) == (400, "round_open")
    batch = judged.batch(kitchen)
    judged.pick(batch, by=people.ana, winner=0, ratings=(5, 5))
    told = mel.get(f"/rounds/{first['id']}").body
    assert told["round"]["status"] == "OPEN" and told["figures"]["picks"]["picks"] >= 0
    assert set(told["work_left"]) == {"tasks", "cases", "jobs"}
    assert mel.post(f"/rounds/{first['id']}/close").body["status"] == "CLOSED"
    opened = mel.post(f"/projects/{kitchen.pk}/rounds", wanted)
    assert (opened.status, opened.body["number"], opened.body["alpha"]) == (201, first["number"] + 1, 0.5)
    assert Project.objects.get(pk=kitchen.pk).num_candidates == 4


def test_a_script_opens_a_round_with_a_mix_and_a_pre_filter(kitchen: Project, mel: Browser) -> None:
    assert mel.post(f"/rounds/{kitchen.rounds.get().pk}/close").status == 200
    at, wanted = f"/projects/{kitchen.pk}/rounds", {"alpha": 0.5, "num_candidates": 8}
    for wrong, code in (
        ({"source_mix": {"candid8": 6, "retrieval": 1}}, "bad_mix"),
        ({"source_mix": {"treliss": 8}}, "bad_mix"),
        ({"source_mix": {"candid8": [8]}}, "bad_mix"),
        ({"num_draws": 50}, "bad_draws"),
    ):
        refused = mel.post(at, wanted | wrong)
        assert (refused.status, refused.code) == (400, code), wrong
    assert mel.post(at, wanted | {"reward": "beauty"}).status == 400
    mix = {"source_mix": {"candid8": 6, "retrieval": 2}, "num_draws": 50, "reward": "depth_error"}
    opened = mel.post(at, wanted | mix)
    assert opened.status == 201 and {name: opened.body[name] for name in mix} == mix
    assert mel.get(at).body["results"][0]["source_mix"] == mix["source_mix"]


def test_only_who_trains_may_turn_rounds(kitchen: Project, people: People) -> None:
    first = kitchen.rounds.get()
    assert Browser(people.ana).post(f"/rounds/{first.pk}/close").status == 403
    assert Browser(people.eve).get(f"/rounds/{first.pk}").status == 404
    assert Browser(people.rev).get(f"/rounds/{first.pk}").status == 200
