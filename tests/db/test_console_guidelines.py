"""The console's pages of guidelines and quiz: leads write, others look, and nothing that is written runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from engine.models import GoldItem, GuidelineExample, GuidelineVersion, Project, Quiz, Selection
from engine.services.stage2 import PickResult, submit_pick
from engine.states import Stage
from tests.factories import NOW, claim, glb_bytes, make_pick_task
from tests.listening import counted_sql
from tests.people import People

pytestmark = pytest.mark.django_db
MOST_QUERIES = 20


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(name: str, project: Project, **more: Any) -> str:
    return reverse(f"admin:console-{name}", kwargs={"project_id": project.pk, "stage": "pick", **more})


def said(reply: Any) -> str:
    return " ".join(str(message) for message in get_messages(reply.wsgi_request))


def test_a_lead_drafts_sees_and_publishes(project: Project, people: People) -> None:
    lea = client_of(people.lea)
    reply = lea.post(
        address("guidelines-draft", project),
        {"markdown": "# Rate\n\n<script>alert(1)</script>\n\nTurn it once.", "summary": "New."},
    )
    assert reply.status_code == 302 and "version 1 is saved" in said(reply)
    page = lea.get(address("guidelines", project)).content.decode()
    assert '<h2 id="guide-1">Rate</h2>' in page and "<script>alert" not in page
    draft = GuidelineVersion.objects.get()
    lea.post(address("guidelines-publish", project, version_id=draft.pk))
    draft.refresh_from_db()
    assert draft.status == "PUBLISHED" and draft.written_by == people.lea
    again = lea.post(address("guidelines-publish", project, version_id=draft.pk))
    assert "cannot go from PUBLISHED" in said(again)


def test_a_lead_adds_and_removes_examples(project: Project, people: People) -> None:
    lea = client_of(people.lea)
    task = make_pick_task(project)
    candidate = task.batch.candidates.first()  # type: ignore[union-attr]
    assert candidate is not None
    form = {
        "verdict": "good",
        "caption": "All parts",
        "candidate_id": candidate.pk,
        "aspect": "shape",
        "value": 5,
    }
    lea.post(address("example-add", project), form)
    file = SimpleUploadedFile("bad.glb", glb_bytes())
    lea.post(address("example-add", project), {"verdict": "bad", "caption": "A shard", "file": file})
    refused = lea.post(address("example-add", project), {"verdict": "bad", "caption": "Neither"})
    assert "either a candidate" in said(refused)
    anchor, shard = GuidelineExample.objects.order_by("pk")
    assert (anchor.aspect, anchor.value, anchor.candidate) == ("shape", 5, candidate) and shard.mesh_key
    assert "All parts" in lea.get(address("guidelines", project)).content.decode()
    lea.post(address("example-remove", project, example_id=anchor.pk))
    assert list(GuidelineExample.objects.all()) == [shard]


def test_a_lead_makes_gold_and_turns_the_quiz_on(project: Project, people: People) -> None:
    lea = client_of(people.lea)
    make_pick_task(project)
    held = claim(people.ana.pk, project, Stage.PICK)
    winner = held.task.batch.candidates.order_by("index")[0].pk  # type: ignore[union-attr]
    submit_pick(
        user_id=people.ana.pk,
        assignment=held.uuid,
        lease_token=held.lease_token,
        key="k",
        seconds=1,
        result=PickResult(winner=winner, mode="grid", shape_rating=4, texture_rating=4),
        now=NOW,
    )
    selection = Selection.objects.get()
    rules = {"is_on": "on", "num_questions": 1, "num_needed": 1, "pause_seconds": 60}
    assert "make more first" in said(lea.post(address("quiz-rules", project), rules))
    page = lea.get(address("quiz", project)).content.decode()
    assert f"candidate {winner}, shape 4, texture 4" in page
    lea.post(
        address("gold-make", project, source_id=selection.pk), {"why": "It has all parts.", "avoid": "x"}
    )
    assert not GoldItem.objects.exists(), "numbers of candidates, not words"
    lea.post(address("gold-make", project, source_id=selection.pk), {"why": "It has all parts."})
    item = GoldItem.objects.get()
    assert item.answer == {"best": [winner], "avoid": []} and item.added_by == people.lea
    assert "The quiz is on" in said(lea.post(address("quiz-rules", project), rules))
    assert Quiz.objects.get().is_on
    with counted_sql() as statements:
        assert "It has all parts." in lea.get(address("quiz", project)).content.decode()
    assert len(statements) <= MOST_QUERIES
    lea.post(address("gold-retire", project, gold_id=item.pk))
    item.refresh_from_db()
    assert item.retired_at is not None


def test_others_look_and_change_nothing(project: Project, people: People) -> None:
    rev, eve = client_of(people.rev), client_of(people.eve)
    for name in ("guidelines", "quiz"):
        assert rev.get(address(name, project)).status_code == 200
        assert eve.get(address(name, project)).status_code in {403, 404}
    writes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("guidelines-draft", {}), ("guidelines-publish", {"version_id": 1}), ("example-add", {}),
        ("example-remove", {"example_id": 1}), ("quiz-rules", {}), ("gold-make", {"source_id": 1}),
        ("gold-retire", {"gold_id": 1}),
    )  # fmt: skip
    for name, more in writes:
        assert rev.post(address(name, project, **more), {"markdown": "x"}).status_code == 403, name
        assert client_of(people.lea).get(address(name, project, **more)).status_code == 405, "only by POST"
    assert not GuidelineVersion.objects.exists()
