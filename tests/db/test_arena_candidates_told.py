"""How far an arena's own candidates are, over the interface and on its page."""

from __future__ import annotations

import pytest

from engine.models import (
    Arena,
    CandidateBatch,
    Checkpoint,
    Project,
)
from engine.services import candidates
from engine.states import Role
from tests import judged
from tests.arena_batches import made
from tests.web import Browser, as_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def old() -> Checkpoint:
    return judged.checkpoint("old")


@pytest.fixture
def new(old: Checkpoint) -> Checkpoint:
    return judged.checkpoint("new", parent=old)


def test_over_the_api_an_arena_tells_how_far_its_candidates_are(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    for _ in range(3):
        judged.batch(kitchen, made_by=old)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    path, body = f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk]}
    for wrong in ({"num_targets": 0}, {"num_targets": 501}, {"targets": [10**6]}):
        assert mel.post(path, {**body, **wrong}).status == 400, wrong
    opened = mel.post(path, {**body, "num_targets": 2})
    assert opened.status == 201
    batch = CandidateBatch.objects.filter(arena=opened.body["id"]).latest("pk")
    candidates.begin_batch(batch_id=batch.pk)
    candidates.fail_batch(batch_id=batch.pk, detail="new cannot be loaded: sha256")
    told = mel.get(f"/arenas/{opened.body['id']}").body
    assert told["num_matches"] == 0
    assert told["making"] == {
        "num_asked": 2,
        "num_made": 0,
        "num_failed": 1,
        "num_given_up": 0,
        "failures": [
            {
                "checkpoint": new.pk,
                "name": "new",
                "reason": "new cannot be loaded: sha256",
                "num_candidates": 1,
            }
        ],
    }
    nothing = mel.post(path, {**body, "num_targets": None})
    assert (nothing.status, nothing.code) == (400, "nothing_to_show")


def test_the_console_opens_an_arena_that_makes_its_candidates_and_follows_it(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    for _ in range(3):
        judged.batch(kitchen, made_by=old)
    mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
    page = mel.get(f"/admin/console/projects/{kitchen.pk}/arenas/").content.decode()
    assert "Number of targets" in page and 'value="40"' in page
    body = {"name": "round 2", "checkpoints": [old.pk, new.pk], "votes": "1", "num_targets": "2"}
    reply = mel.post(f"/admin/console/projects/{kitchen.pk}/arenas/open", body)
    page = mel.get(reply["Location"]).content.decode()
    assert "2 candidates are being made for it." in page and "Making candidates: 0 of 2." in page
    meeting = Arena.objects.get()
    one, other = meeting.batches.all()
    made(one)
    candidates.begin_batch(batch_id=other.pk)
    candidates.fail_batch(batch_id=other.pk, detail="new cannot be loaded: its golden outputs differ")
    assert "for an arena" in mel.get(f"/admin/console/targets/{one.target_id}/").content.decode()
    page = mel.get(reply["Location"]).content.decode()
    assert "1 of 2 were made." in page and "its golden outputs differ" in page
    assert "1 match" in page
