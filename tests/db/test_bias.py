"""The bias monitor over rows: whose shapes are accepted, how they spread, and what versions hold back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import trimesh
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.urls import reverse

from engine import blobs
from engine.errors import BadInput
from engine.models import Candidate, DatasetVersion, Project, ShapeDescriptor
from engine.selectors.bias import bias_figures, undescribed
from engine.services import datasets, projects
from engine.services.descriptors import NewDescriptor, store_descriptors
from engine.states import Role
from engine.transitions import Actor
from tests import judged
from tests.listening import counted_sql
from tests.web import as_person
from training.metrics.descriptor import NUM_VALUES
from workers.tasks.shapes import describe_shapes

pytestmark = pytest.mark.django_db

MEL = Actor(name="mel")


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


def address(name: str, project: Project) -> str:
    return reverse(f"admin:console-{name}", kwargs={"project_id": project.pk})


def accepted(
    project: Project,
    number: int,
    *,
    sources: tuple[str, ...] = ("candid8",) * 4,
    people: tuple[str, ...] = ("ana",),
) -> None:
    """Picks of the first candidate, rated at the top."""
    made_by = judged.checkpoint()
    for _ in range(number):
        batch = judged.batch(project, sources=sources, made_by=made_by)
        for name in people:
            judged.pick(batch, winner=0, by=judged.person(name), ratings=(5, 5))


def describe(project: Project, rng: np.random.Generator, *, spread: float = 1.0) -> None:
    """Numbers for every candidate that has none, ``spread`` out."""
    rows = undescribed(version=1, limit=10_000)
    store_descriptors(
        [NewDescriptor(candidate=row, values=tuple(rng.normal(size=4) * spread)) for row in rows], version=1
    )


def hard(project: Project, number: int) -> None:
    """Targets nobody could solve, modelled by an artist."""
    made_by = judged.checkpoint()
    for _ in range(number):
        batch = judged.batch(project, made_by=made_by)
        judged.pick(batch, winner=None, by=judged.person("ana"))
        judged.accepted_case(batch, by=judged.person("art"))


class TestTheMonitor:
    def test_our_own_share_is_of_what_reaches_the_bar_by_round(self, kitchen: Project) -> None:
        accepted(kitchen, 3)
        accepted(kitchen, 1, sources=("retrieval", "candid8"))
        judged.pick(
            judged.batch(kitchen, made_by=judged.checkpoint()),
            winner=0,
            by=judged.person("ana"),
            ratings=(1, 1),
        )
        [row] = bias_figures(kitchen.pk).rounds
        assert row.sources == {"candid8": 3, "retrieval": 1}
        assert row.own is not None and row.own.value == 0.75 and row.own.low < 0.75 < row.own.high

    def test_it_alarms_only_when_the_interval_says_so(self, kitchen: Project) -> None:
        accepted(kitchen, 5)
        assert not bias_figures(kitchen.pk).alarm.is_raised, "five of five may be luck"
        accepted(kitchen, 35)
        [reason] = bias_figures(kitchen.pk).alarm.reasons
        assert "surely more than 90 %" in reason

    def test_accepted_shapes_that_crowd_cover_little_and_alarm(self, kitchen: Project) -> None:
        rng = np.random.default_rng(0)
        accepted(kitchen, 10, sources=("candid8", "retrieval"))
        accepted(kitchen, 10, sources=("retrieval", "candid8"))
        hard(kitchen, 15)
        won = set(Candidate.objects.filter(selections__isnull=False).values_list("pk", flat=True))
        rows = undescribed(version=1, limit=1000)
        assert {row.source for row in rows} == {"candid8", "retrieval", "artist"}
        store_descriptors(
            [
                NewDescriptor(
                    candidate=row,
                    values=tuple(3 + rng.normal(size=3) / 100 if row.pk in won else rng.normal(size=3)),
                )
                for row in rows
            ],
            version=1,
        )
        figures = bias_figures(kitchen.pk)
        by_name = {each.name: each for each in figures.references}
        artists, offered = by_name["artists"], by_name["offered (one of each batch)"]
        assert artists.covered is not None and artists.covered.value < 0.5
        assert offered.num_shapes == 35 and figures.num_accepted == 20
        assert figures.accepted_different is not None and artists.num_different is not None
        assert figures.accepted_different < 1.1 and artists.num_different > 2
        assert undescribed(version=1, limit=1000) == []

    def test_favour_is_measured_at_equal_blind_quality(self, kitchen: Project) -> None:
        assert bias_figures(kitchen.pk).favour is None
        mixed = ("candid8", "retrieval", "candid8", "retrieval")
        made_by = judged.checkpoint()
        for _ in range(40):
            batch = judged.batch(kitchen, sources=mixed, made_by=made_by)
            judged.pick(batch, winner=0, by=judged.person("ana"), ratings=(5, 5))
            judged.pick(batch, winner=2, by=judged.person("bob"), ratings=(5, 5))
        figures = bias_figures(kitchen.pk)
        assert figures.favour is not None and figures.favour.low > 0, "nobody agreed, and yet all took ours"
        fates = {each.source: each for each in figures.sources}
        assert (fates["candid8"].num_shown, fates["candid8"].num_won) == (160, 80)
        assert fates["retrieval"].won == 0 and fates["candid8"].passing == 1

    def test_it_costs_the_same_with_ten_times_the_rows(self, kitchen: Project) -> None:
        accepted(kitchen, 2, people=("ana", "bob"))
        with counted_sql() as few:
            bias_figures(kitchen.pk)
        accepted(kitchen, 15, people=("ana", "bob"))
        with counted_sql() as many:
            bias_figures(kitchen.pk)
        assert len(few) == len(many) <= 12

    def test_a_worker_describes_what_it_can_read_and_says_what_it_cannot(self, kitchen: Project) -> None:
        accepted(kitchen, 1)
        box = trimesh.creation.box(extents=(1, 2, 3)).export(file_type="glb")
        key = blobs.put(box, suffix=".glb", content_type="model/gltf-binary")
        readable = Candidate.objects.create(
            project=kitchen, target=Candidate.objects.all()[0].target, index=0, source="artist", mesh_key=key,
            preview_key=key,
        )  # fmt: skip
        assert describe_shapes() == 2 and describe_shapes() == 0
        good, bad = ShapeDescriptor.objects.get(candidate=readable), ShapeDescriptor.objects.get(values=[])
        assert len(good.values) == NUM_VALUES and "There is no blob" in bad.detail


class TestTheBrake:
    def test_a_version_keeps_the_share_and_says_so_in_manifest_counts_and_exclusions(
        self, kitchen: Project
    ) -> None:
        accepted(kitchen, 12)
        hard(kitchen, 2)
        projects.set_held_back(project_id=kitchen.pk, least_foreign=0.25, brake="cap", audit_share=0.0)
        version = datasets.freeze(project_id=kitchen.pk, alpha=0.5, actor=MEL)
        assert version.counts["sources"] == {"artist": 2, "candid8": 6}
        held_back = version.counts["held_back"]
        assert (held_back["own_offered"], held_back["own_kept"], held_back["foreign"]) == (12, 6, 2)
        reasons = [each["reason"] for each in version.exclusions]
        assert reasons.count("brake") == 6
        last = json.loads(blobs.get(version.manifest_key).decode().splitlines()[-1])
        assert (last["kind"], last["least_foreign"], last["own_kept"]) == ("held_back", 0.25, 6)
        again = datasets.freeze(project_id=kitchen.pk, alpha=0.5, actor=MEL)
        assert again.manifest_sha256 == version.manifest_sha256, "the same judgements, the same bytes"

    def test_it_refuses_when_told_to_and_freezes_nothing(self, kitchen: Project) -> None:
        accepted(kitchen, 12)
        hard(kitchen, 1)
        projects.set_held_back(project_id=kitchen.pk, least_foreign=0.5, brake="refuse", audit_share=0.0)
        with pytest.raises(BadInput) as refused:
            datasets.freeze(project_id=kitchen.pk, alpha=0.5, actor=MEL)
        assert refused.value.code == "too_much_our_own" and not DatasetVersion.objects.exists()

    def test_the_audit_set_is_a_manifest_of_its_own_and_may_only_shrink_later(self, kitchen: Project) -> None:
        accepted(kitchen, 2)
        hard(kitchen, 20)
        projects.set_held_back(project_id=kitchen.pk, least_foreign=0.0, brake="cap", audit_share=0.5)
        version = datasets.freeze(project_id=kitchen.pk, alpha=0.5, actor=MEL)
        held_back = version.counts["held_back"]
        audit = [json.loads(line) for line in blobs.get(held_back["audit_manifest"]).decode().splitlines()]
        trained = [json.loads(line) for line in blobs.get(version.manifest_key).decode().splitlines()]
        assert 0 < len(audit) == held_back["num_audit"] < 20
        assert {line["source"] for line in audit} == {"artist"}
        assert not {line["target"] for line in audit} & {line["target"] for line in trained}
        with pytest.raises(BadInput) as refused:
            projects.set_held_back(project_id=kitchen.pk, least_foreign=0.0, brake="cap", audit_share=0.6)
        assert refused.value.code == "bad_request"
        projects.set_held_back(project_id=kitchen.pk, least_foreign=0.0, brake="cap", audit_share=0.2)
        with pytest.raises(BadInput) as refused:
            projects.set_held_back(project_id=kitchen.pk, least_foreign=0.0, brake="cap", audit_share=0.3)
        assert refused.value.code == "audit_too_late"


class TestThePage:
    def test_it_shows_shares_alarm_and_drift_and_a_lead_sets_the_brake(self, kitchen: Project) -> None:
        accepted(kitchen, 40)
        lea = as_person(judged.person("lea", kitchen, Role.LEAD))
        page = lea.get(address("bias", kitchen)).content.decode()
        assert "surely more than 90 %" in page and "The brake below is off." in page and "candid8 40" in page
        drawn = lea.get(address("bias-rounds", kitchen)).json()
        assert drawn["series"][0] == {"name": "our own share", "x": [1], "y": [1.0]}
        reply: Any = lea.post(
            address("held-back", kitchen), {"least_foreign": "0.3", "brake": "refuse", "audit_share": "0.1"}
        )
        assert "at least 30 % of others, else refuse to freeze; 10 %" in str(
            next(iter(get_messages(reply.wsgi_request)))
        )
        reply = lea.post(address("sampling", kitchen), {"sampling": "balanced", "easy_first": "on"})
        kitchen.refresh_from_db()
        assert (kitchen.least_foreign, kitchen.brake, kitchen.easy_first) == (0.3, "refuse", True)
        assert LogEntry.objects.count() == 2
        datasets_page = lea.get(address("bias", kitchen)).content.decode()
        assert "The brake below is off." not in datasets_page

    def test_it_is_flat_and_only_leads_change_anything(self, kitchen: Project) -> None:
        accepted(kitchen, 2)
        mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
        with counted_sql() as few:
            page = mel.get(address("bias", kitchen)).content.decode()
        assert "Put work in this order" not in page and "style=" not in page
        accepted(kitchen, 20)
        describe(kitchen, np.random.default_rng(0))
        with counted_sql() as many:
            mel.get(address("bias", kitchen))
        assert len(few) == len(many) <= 20, len(many)
        for name in ("held-back", "sampling"):
            assert mel.post(address(name, kitchen), {}).status_code == 403
        ana = as_person(judged.person("ana", kitchen, Role.ANNOTATOR))
        assert ana.get(address("bias", kitchen)).status_code == 403
        gus = as_person(judged.person("gus", judged.project("garden"), Role.LEAD))
        assert gus.get(address("bias", kitchen)).status_code == 404
