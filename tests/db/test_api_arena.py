"""The arena over HTTP: a blind pair is claimed, answered once, and the standings are read."""

from __future__ import annotations

from uuid import uuid4

import pytest

from engine.models import Project
from engine.services import checkpoints
from engine.states import Role
from engine.transitions import Actor
from tests import judged
from tests.db.test_arena import target_of_both, vote_all
from tests.web import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


def test_a_pair_is_blind_answered_once_and_counted(kitchen: Project) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    target_of_both(kitchen, old, new)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    opened = mel.post(
        f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk], "seed": 3}
    )
    assert opened.status == 201 and opened.body["status"] == "OPEN"
    ana = Browser(judged.person("ana", kitchen, Role.ANNOTATOR))
    claim = ana.post(f"/projects/{kitchen.pk}/arena-claims")
    assert claim.status == 200
    assert set(claim.body) == {"match", "claimed_until", "photo", "target", "left", "right"}
    assert set(claim.body["left"]) == set(claim.body["right"]) == {"mesh_url", "preview_url", "splat_url"}
    assert ana.post(f"/projects/{kitchen.pk}/arena-claims").body["match"] == claim.body["match"]
    path, key = f"/arena-matches/{claim.body['match']}/answer", str(uuid4())
    said = ana.post(path, {"outcome": "left", "seconds": 4}, Idempotency_Key=key)
    assert (said.status, said.body["outcome"], said.body["status"]) == (200, "left", "ANSWERED")
    assert ana.post(path, {"outcome": "right", "seconds": 4}, Idempotency_Key=key).body == said.body
    assert ana.post(path, {"outcome": "left", "seconds": 4}, Idempotency_Key=str(uuid4())).status == 409
    assert ana.post(f"/projects/{kitchen.pk}/arena-claims").status == 204
    result = mel.get(f"/arenas/{opened.body['id']}").body
    assert (result["num_matches"], result["num_votes"]) == (1, 1)
    first, second = result["contestants"]
    assert first["elo"]["value"] > 1000 > second["elo"]["value"] and (first["won"], second["lost"]) == (1, 1)


def test_what_its_arena_does_not_let_by_is_promoted_with_a_reason_only(kitchen: Project) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    checkpoints.deploy(checkpoint_id=old.pk, actor=Actor(name="tests"))
    for _ in range(3):
        target_of_both(kitchen, old, new)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    mel.post(f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk]})
    vote_all(kitchen, new=new, win=1.0)
    path = f"/projects/{kitchen.pk}/deployments"
    refused = mel.post(path, {"checkpoint": new.pk})
    assert (refused.status, refused.code) == (409, "gate_not_passed")
    assert "3 of at least 200 votes" in refused.body["detail"]
    assert mel.post(path, {"checkpoint": new.pk, "override": "a trial"}).status == 201


def test_arenas_are_listed_and_closed_by_a_script(kitchen: Project) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    target_of_both(kitchen, old, new)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    opened = mel.post(f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk]}).body
    assert [row["id"] for row in mel.get(f"/projects/{kitchen.pk}/arenas").body["results"]] == [opened["id"]]
    assert mel.post(f"/arenas/{opened['id']}/close").body["status"] == "CLOSED"
    ana = Browser(judged.person("ana", kitchen, Role.ANNOTATOR))
    assert ana.post(f"/arenas/{opened['id']}/close").status == 403
    assert ana.post(f"/projects/{kitchen.pk}/arena-claims").status == 204


def test_a_skipped_pair_goes_to_somebody_else_and_comes_back_when_it_is_asked_for(kitchen: Project) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    for _ in range(2):
        target_of_both(kitchen, old, new)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    mel.post(f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk], "seed": 3})
    ana, bob = (Browser(judged.person(name, kitchen, Role.ANNOTATOR)) for name in ("ana", "bob"))
    claims = f"/projects/{kitchen.pk}/arena-claims"
    first = ana.post(claims).body["match"]
    assert bob.post(f"/arena-matches/{first}/skip").status == 404
    skipped = ana.post(f"/arena-matches/{first}/skip")
    assert (skipped.status, skipped.body["status"]) == (200, "WAITING")
    assert ana.post(f"/arena-matches/{first}/skip").body == skipped.body, "twice is once"
    second = ana.post(claims, {"skipped": [first]}).body["match"]
    assert second != first
    assert bob.post(claims).body["match"] == first
    key = str(uuid4())
    for person, match in ((ana, second), (bob, first)):
        answered = person.post(
            f"/arena-matches/{match}/answer", {"outcome": "left", "seconds": 3}, Idempotency_Key=key
        )
        assert answered.status == 200
    assert ana.post(claims, {"skipped": [first]}).status == 204
    assert ana.post(f"/arena-matches/{second}/skip").status == 409
    assert ana.post(claims, {"skipped": ["nonsense"]}).status == 400


def test_the_project_tells_each_person_how_many_pairs_wait_for_them(kitchen: Project) -> None:
    old, new = judged.checkpoint("old"), judged.checkpoint("new")
    for _ in range(3):
        target_of_both(kitchen, old, new)
    mel = Browser(judged.person("mel", kitchen, Role.ML_ENGINEER))
    ana, rev = (
        Browser(judged.person(name, kitchen, role))
        for name, role in (("ana", Role.ANNOTATOR), ("rev", Role.REVIEWER))
    )

    def waiting(person: Browser) -> int:
        return int(person.get(f"/projects/{kitchen.pk}").body["arena_matches"])

    assert waiting(ana) == 0
    arena = mel.post(f"/projects/{kitchen.pk}/arenas", {"name": "a", "checkpoints": [old.pk, new.pk]}).body
    assert (waiting(ana), waiting(rev), waiting(mel)) == (3, 3, 0)
    match = ana.post(f"/projects/{kitchen.pk}/arena-claims").body["match"]
    assert (waiting(ana), waiting(rev)) == (3, 2), "what one holds waits for oneself alone"
    said = {"outcome": "equal", "seconds": 3}
    ana.post(f"/arena-matches/{match}/answer", said, Idempotency_Key=str(uuid4()))
    assert (waiting(ana), waiting(rev)) == (2, 2)
    mel.post(f"/arenas/{arena['id']}/close")
    assert (waiting(ana), waiting(rev)) == (0, 0)
