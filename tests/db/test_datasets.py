"""A frozen dataset version is a projection of the judgements, by hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import DatasetVersion, Project, StateChange
from engine.services import datasets
from engine.services.evidence import read_evidence
from engine.states import DatasetStatus, Role
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db


def lines(version: DatasetVersion) -> list[dict[str, Any]]:
    return [json.loads(line) for line in blobs.get(version.manifest_key).splitlines()]


def freeze(of: Project, alpha: float | None = None) -> DatasetVersion:
    mel = judged.person("mel", of, Role.ML_ENGINEER)
    return datasets.freeze(project_id=of.pk, alpha=alpha, actor=Actor(user_id=mel.pk))


def test_a_version_holds_what_a_model_needs_and_where_it_came_from() -> None:
    kitchen = judged.project()
    ana = judged.person("ana", kitchen, Role.ANNOTATOR)
    batch = judged.batch(kitchen, label="mug")
    judged.pick(batch, by=ana, winner=2, ratings=(5, 4))
    winner = judged.candidates(batch)[2]
    judged.alignment(winner, by=ana, scale=0.7)

    version = freeze(kitchen)

    manifest = blobs.get(version.manifest_key)
    assert version.status == DatasetStatus.FROZEN
    assert version.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    assert (version.num_demonstrations, version.num_preference_pairs) == (1, 3)
    demonstration, *pairs = lines(version)
    target = batch.target
    assert demonstration == {
        "kind": "demonstration",
        "id": f"demonstration-{winner.pk}",
        "candidate": winner.pk,
        "target": target.pk,
        "image": target.image.key,
        "mask": target.mask_key,
        "pointmap": target.image.point_map.key,
        "pointmap_approximate": False,
        "latents": winner.latents_key,
        "mesh": winner.mesh_key,
        "pose": judged.POSE | {"scale": 0.7},
        "rating": 0.875,
        "source": "candid8",
        "round": 1,
        "alpha": 0.5,
        "annotator": ana.pk,
        "checkpoint": judged.checkpoint().sha256,
        "seed": winner.seed,
    }
    assert {pair["chosen_latents"] for pair in pairs} == {winner.latents_key}
    assert all(pair["target"] == target.pk and pair["evidence"] == "winner" for pair in pairs)
    assert version.counts["labels"] == {"mug": 1}
    assert version.counts["sources"] == {"candid8": 1}
    assert version.counts["ratings"] == {"0.875": 1}
    assert version.counts["annotators"] == {"ana": 1}
    assert version.counts["point_maps"] == {"measured": 1}
    moves = StateChange.objects.filter(model="datasetversion", actor__username="mel").order_by("id")
    assert list(moves.values_list("old", "new")) == [("", "DRAFT"), ("DRAFT", "FROZEN")]


def test_without_a_point_map_or_an_alignment_those_are_null() -> None:
    kitchen = judged.project()
    ana = judged.person("ana")
    judged.pick(judged.batch(kitchen, with_point_map=False), by=ana, winner=0)
    version = freeze(kitchen)
    demonstration = lines(version)[0]
    assert version.counts["point_maps"] == {"none": 1}
    assert demonstration["pointmap"] is None and demonstration["pose"] is None
    assert demonstration["pointmap_approximate"] is False


def test_the_manifest_says_which_point_maps_are_only_approximate() -> None:
    kitchen = judged.project()
    ana = judged.person("ana")
    guessed = judged.batch(kitchen, approximate=True)
    judged.pick(guessed, by=ana, winner=1)
    version = freeze(kitchen)
    assert [line["pointmap_approximate"] for line in lines(version)] == [True] * 4
    assert version.counts["point_maps"] == {"estimated": 1}


def test_the_same_judgements_give_the_same_hash_and_a_new_one_another() -> None:
    kitchen = judged.project()
    ana = judged.person("ana")
    judged.pick(judged.batch(kitchen), by=ana, winner=1)
    first, second = freeze(kitchen), freeze(kitchen)
    assert (first.number, second.number) == (1, 2)
    assert first.manifest_sha256 == second.manifest_sha256
    judged.pick(judged.batch(kitchen), by=ana, winner=0)
    assert freeze(kitchen).manifest_sha256 != first.manifest_sha256
    first.refresh_from_db()
    assert first.num_demonstrations == 1


def test_a_higher_alpha_keeps_less_and_says_why() -> None:
    kitchen = judged.project()
    ana = judged.person("ana")
    good = judged.pick(judged.batch(kitchen), by=ana, winner=1, ratings=(5, 5))
    fair = judged.pick(judged.batch(kitchen), by=ana, winner=0, ratings=(4, 3))
    version = freeze(kitchen, alpha=0.9)
    assert [line["candidate"] for line in lines(version) if line["kind"] == "demonstration"] == [
        good.winner_id
    ]
    assert {"subject": f"selection {fair.pk}", "reason": "below_alpha"} in version.exclusions


def test_an_artists_model_is_in_without_rating_and_above_the_candidates_nobody_wanted() -> None:
    kitchen = judged.project()
    ana, art = judged.person("ana"), judged.person("art", kitchen, Role.ARTIST)
    batch = judged.batch(kitchen)
    judged.pick(batch, by=ana, winner=None)
    case = judged.accepted_case(batch, by=art)
    version = freeze(kitchen)
    demonstration, *pairs = lines(version)
    assert (demonstration["source"], demonstration["rating"]) == ("artist", None)
    assert (demonstration["latents"], demonstration["annotator"]) == (None, art.pk)
    assert len(pairs) == 4
    assert case.candidate is not None
    assert {pair["chosen_mesh"] for pair in pairs} == {case.candidate.mesh_key}


def test_other_projects_judgements_stay_out() -> None:
    kitchen, garden = judged.project("kitchen"), judged.project("garden")
    ana = judged.person("ana")
    judged.pick(judged.batch(kitchen), by=ana, winner=1)
    judged.pick(judged.batch(garden), by=ana, winner=1)
    assert freeze(kitchen).num_demonstrations == 1


def test_nothing_judged_is_refused_with_what_is_missing() -> None:
    kitchen = judged.project()
    with pytest.raises(BadInput, match="no pick yet") as refusal:
        freeze(kitchen)
    assert refusal.value.code == "nothing_to_freeze"
    assert not DatasetVersion.objects.exists()
    with pytest.raises(BadInput):
        freeze(kitchen, alpha=1.5)
    with pytest.raises(NotFound):
        datasets.freeze(project_id=0, alpha=None, actor=judged.TESTS)


def test_reading_the_judgements_costs_the_same_sql_however_many_there_are() -> None:
    kitchen = judged.project()
    ana = judged.person("ana")

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read_evidence(kitchen.pk)
        return len(queries)

    judged.pick(judged.batch(kitchen), by=ana, winner=1, pairs=[(0, 1, "right")])
    one = cost()
    for _ in range(5):
        judged.pick(judged.batch(kitchen), by=ana, winner=1, pairs=[(0, 1, "right")])
    assert cost() == one <= 6
