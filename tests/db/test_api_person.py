"""What is a person's own, over HTTP: settings that hold on every page and device, answers taken back, pace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from engine.models import Assignment, PersonalSettings, Project
from tests import factories, web
from tests.people import People, people_of
from tests.web import Browser, Reply

pytestmark = pytest.mark.django_db

USUAL = {"keys": {}, "single_keys": True, "language": "", "theme": "", "motion": ""}


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


def changes(who: Browser, wishes: Any) -> Reply:
    return who.send("PATCH", "/me/settings", json.dumps(wishes))


def page_of(user: User, desk: Project, **headers: str) -> tuple[str, Any]:
    """The work page and the configuration in it."""
    client = Client(headers=headers)
    client.force_login(user)
    text = client.get(f"/p/{desk.slug}/work/object").content.decode()
    config = text.partition('<script id="candid8-config" type="application/json">')[2].partition("</script>")[
        0
    ]
    return text, json.loads(config)


def test_settings_begin_as_usual_and_change_one_by_one(people: People) -> None:
    ana, bob = Browser(people.ana), Browser(people.bob)
    assert ana.get("/me/settings").body == USUAL and not PersonalSettings.objects.exists()
    assert changes(ana, {"keys": {"tool.brush": ["M"], "skip": []}}).body["keys"] == {
        "tool.brush": ["M"],
        "skip": [],
    }
    assert changes(ana, {"theme": "light", "single_keys": False}).status == 200
    assert ana.get("/me/settings").body == {
        **USUAL, "keys": {"tool.brush": ["M"], "skip": []}, "theme": "light", "single_keys": False,
    }  # fmt: skip
    assert changes(ana, {"keys": {}}).body["keys"] == {}, "all usual keys again"
    assert bob.get("/me/settings").body == USUAL, "everybody has their own"


@pytest.mark.parametrize(
    "wishes",
    [
        {"keys": {"skip": ["\x00"]}},
        {"keys": {"x" * 61: ["A"]}},
        {"keys": {"skip": ["A", "B", "C", "D", "E"]}},
        {"keys": {f"command{number}": ["A"] for number in range(401)}},
        {"keys": {"skip": "A"}},
        {"keys": []},
        {"language": "xx"},
        {"theme": "pink"},
        {"colour": "red"},
    ],
)
def test_what_no_page_could_use_is_refused_and_nothing_is_kept(people: People, wishes: Any) -> None:
    reply = changes(Browser(people.ana), wishes)
    assert (reply.status, reply.code) == (400, "bad_request")
    assert not PersonalSettings.objects.exists()


def test_a_page_is_born_with_the_persons_settings(desk: Project, people: People) -> None:
    text, config = page_of(people.ana, desk)
    assert config["settings"] == USUAL and config["language"] == "en" and '<html lang="en">' in text
    changes(Browser(people.ana), {"language": "de", "theme": "light", "keys": {"skip": ["Q"]}})
    text, config = page_of(people.ana, desk)
    assert '<html lang="de" data-theme="light">' in text
    assert (config["settings"]["keys"], config["language"]) == ({"skip": ["Q"]}, "de")


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [("de-AT,de;q=0.9,en;q=0.5", "de"), ("fr, de;q=0.8", "de"), ("fr", "en"), ("en, de", "en")],
)
def test_without_a_choice_the_page_speaks_the_browsers_language(
    desk: Project, people: People, asked: str, spoken: str
) -> None:
    assert page_of(people.ana, desk, accept_language=asked)[1]["language"] == spoken


def test_an_answer_is_taken_back_with_its_claim_and_the_code_says_when_it_cannot(
    desk: Project, people: People
) -> None:
    factories.make_image(desk)
    ana = Browser(people.ana)
    claim = ana.claim(desk.pk, "object")
    path = f"/assignments/{claim['assignment']}/undo"
    assert (ana.post(path).status, ana.post(path).code) == (409, "undo_nothing")
    ana.submit(claim, web.object_result())
    assert Browser(people.bob).post(path).status == 404, "other people's are not there"
    back = ana.post(path)
    assert back.status == 200
    assert back.body["assignment"] != claim["assignment"] and back.body["lease_token"] != claim["lease_token"]
    [target] = back.body["draft"]["taken_back"]["targets"]
    [proposal] = back.body["task"]["proposals"]
    assert (target["proposal_id"], target["label"]) == (proposal["id"], "blue mug")
    again = ana.submit(back.body, web.object_result(proposal_id=proposal["id"]))
    assert again.status == 200 and again.body["targets"] == [proposal["id"]]


def test_my_work_lists_what_i_said_and_how_fast_and_nothing_of_others(desk: Project, people: People) -> None:
    factories.make_image(desk)
    factories.make_pick_task(desk)
    factories.make_pose_task(desk)
    ana, bob = Browser(people.ana), Browser(people.bob)
    first = ana.claim(desk.pk, "object")
    ana.submit(first, web.object_result(), seconds=9.0)
    second = ana.claim(desk.pk, "object")
    ana.post(
        f"/assignments/{second['assignment']}/skip",
        {"lease_token": second["lease_token"], "reason": "unsure"},
    )
    picking = ana.claim(desk.pk, "pick")
    ana.submit(picking, web.pick_result(picking), seconds=80.0)
    placing = ana.claim(desk.pk, "pose")
    ana.post(
        f"/assignments/{placing['assignment']}/escalate",
        {"lease_token": placing["lease_token"], "reason": "shape_wrong", "note": ""},
    )
    work = ana.get(f"/projects/{desk.pk}/my-work").body
    said = [(past["stage"], past["status"], past["labels"], past["reason"]) for past in work["past"]]
    assert said == [
        ("pose", "ESCALATED", ["mug"], "shape_wrong"),
        ("pick", "SUBMITTED", ["mug"], ""),
        ("object", "SKIPPED", [], "unsure"),
        ("object", "SUBMITTED", ["blue mug"], ""),
    ]
    pick = work["past"][1]
    assert (pick["shape_rating"], pick["texture_rating"]) == (5, 4)
    assert all(past["undo_until"] > past["ended_at"] for past in work["past"])
    assert work["pace"]["object"] == {"today": 1, "median_seconds": 9.0, "last_seconds": [9.0]}
    assert work["pace"]["pick"]["last_seconds"] == [80.0] and work["pace"]["pose"]["median_seconds"] is None
    assert bob.get(f"/projects/{desk.pk}/my-work").body["past"] == []
    Assignment.objects.update(ended_at=factories.NOW.replace(year=2020))
    old = ana.get(f"/projects/{desk.pk}/my-work").body
    assert [past["undo_until"] for past in old["past"]] == [None] * 4 and old["pace"]["object"]["today"] == 0
