"""Who may do what over HTTP: strangers learn nothing, members get 403 for other roles' work, and CSRF is enforced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern

from annotate.api.urls import urlpatterns
from engine.models import Arena, ArenaMatch, ArtistCase, GuidelineVersion, Job, Project, TrainingRun
from engine.services.checkpoints import deploy
from engine.states import Stage
from engine.transitions import Actor
from tests import factories, judged
from tests.people import PASSWORD, People, people_of, person
from tests.web import Browser

pytestmark = pytest.mark.django_db

#: Addresses that belong to no project: anybody who is logged in may ask.
OF_NO_PROJECT = {"me", "me/settings", "checkpoints", "checkpoints/<row:checkpoint_id>"}
METHODS = ("get", "post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, str]]:
    """Every (method, route) of the interface, taken from the URL table, so that none can be forgotten."""
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        for method in METHODS:
            if hasattr(view, method):
                yield method.upper(), str(pattern.pattern)


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


@pytest.fixture
def ids(desk: Project, people: People) -> dict[str, str]:
    """Rows that are there, one for each name in the URL table."""
    target = factories.make_target(factories.make_image(desk))
    held = factories.claim(people.ana.pk, desk, Stage.OBJECT)
    case = ArtistCase.objects.create(project=desk, target=target, reason="none_good")
    version = desk.dataset_versions.create(number=1, alpha=0.5)
    base = judged.checkpoint()
    run = TrainingRun.objects.create(
        project=desk, dataset_version=version, objective="sft", base_checkpoint=base
    )
    job = Job.objects.filter(project=desk).first()
    assert job is not None
    # Of another stage than the one that is claimed, which would wait until it is read.
    guide = GuidelineVersion.objects.create(
        project=desk, stage="pose", number=1, markdown="Look.", status="PUBLISHED", published_at=factories.NOW
    )
    made = judged.candidates(judged.batch(desk, made_by=base))
    arena = Arena.objects.create(project=desk, name="arena", seed=1)
    match = ArenaMatch.objects.create(
        project=desk, arena=arena, target=made[0].target, place=0, left=made[0], right=made[1],
        left_checkpoint=base, right_checkpoint=judged.checkpoint("other"),
    )  # fmt: skip
    return {
        "<row:project_id>": str(desk.pk),
        "<uuid:assignment>": str(held.uuid),
        "<uuid:job>": str(job.uuid),
        "<row:case_id>": str(case.pk),
        "<row:dataset_version_id>": str(version.pk),
        "<row:run_id>": str(run.pk),
        "<row:checkpoint_id>": str(base.pk),
        "<row:deployment_id>": str(deploy(checkpoint_id=base.pk, actor=Actor(name="test")).pk),
        "<row:target_id>": str(target.pk),
        "<row:version_id>": str(guide.pk),
        "<row:round_id>": str(desk.rounds.get().pk),
        "<row:arena_id>": str(arena.pk),
        "<uuid:match>": str(match.uuid),
        "<stage:stage>": "object",
    }


def filled(route: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        route = route.replace(name, value)
    assert "<" not in route, f"tell the fixture what {route} needs"
    return f"/{route}"


#: Whatever an operation wants to read, so that only the missing right can refuse it.
ANYTHING_GOES = {
    "object": {"source": 999_999, "why": "It is so."},
    "claims": {"stage": "object"},
    "submit": {"lease_token": str(uuid4()), "seconds": 1, "result": {"discard": {"reason": "no"}}},
    "skip": {"lease_token": str(uuid4()), "reason": "no"},
    "escalate": {"lease_token": str(uuid4()), "reason": "none_good"},
    "answer": {"outcome": "left", "seconds": 1},
    "draft": {"lease_token": str(uuid4()), "draft": {}},
    "refine": {"lease_token": str(uuid4()), "box": [1, 1, 9, 9]},
    "snap": {
        "lease_token": str(uuid4()),
        "rotation_wxyz": [1, 0, 0, 0],
        "translation": [0, 0, 1],
        "scale": 1,
    },
}


def call(browser: Browser, method: str, path: str) -> tuple[int, str]:
    last = path.rpartition("/")[2]
    if method == "GET":
        reply = browser.get(path)
    elif last in {"images", "upload"}:
        reply = browser.upload(path, file=b"not much")
    else:
        body = ANYTHING_GOES.get(last, {"lease_token": str(uuid4())} if "/assignments/" in path else {})
        headers = {"Idempotency_Key": str(uuid4()), "If_Match": '"0"'}
        reply = browser.send(method, path, json.dumps(body), **headers)
    return reply.status, reply.code if reply.status >= 400 else ""


def test_a_stranger_gets_404_and_nobody_gets_401(ids: dict[str, str], people: People) -> None:
    nobody, eve = Browser(), Browser(people.eve)
    for method, route in operations():
        path = filled(route, ids)
        assert call(nobody, method, path) == (401, "not_authenticated"), (method, route)
        if route in OF_NO_PROJECT:
            assert call(eve, method, path)[0] in (200, 403)
        else:
            assert call(eve, method, path) == (404, "not_found"), (method, route)


def test_what_is_not_there_is_404_for_members_too(people: People) -> None:
    nothing = {
        "<row:project_id>": "999999",
        "<uuid:assignment>": str(uuid4()),
        "<uuid:job>": str(uuid4()),
        "<uuid:match>": str(uuid4()),
        "<row:arena_id>": "999999",
        "<stage:stage>": "object",
        **dict.fromkeys(
            (
                "<row:case_id>",
                "<row:dataset_version_id>",
                "<row:run_id>",
                "<row:checkpoint_id>",
                "<row:deployment_id>",
                "<row:target_id>",
                "<row:version_id>",
                "<row:round_id>",
            ),
            "999999",
        ),
    }
    lea, mel = Browser(people.lea), Browser(people.mel)
    for method, route in operations():
        if "<" in route:
            who = mel if route.startswith("checkpoints") else lea  # of no project: only engineers may ask
            assert call(who, method, filled(route, nothing)) == (404, "not_found"), (method, route)


def test_a_member_without_the_role_gets_403(ids: dict[str, str], people: People) -> None:
    for who, method, route in (
        ("ana", "GET", "projects/<row:project_id>/artist-cases"),
        ("ana", "POST", "artist-cases/<row:case_id>/claim"),
        ("ana", "POST", "artist-cases/<row:case_id>/upload"),
        ("rev", "POST", "artist-cases/<row:case_id>/claim"),
        ("ana", "GET", "projects/<row:project_id>/dataset-versions"),
        ("art", "POST", "projects/<row:project_id>/dataset-versions"),
        ("rev", "POST", "projects/<row:project_id>/runs"),
        ("ana", "GET", "runs/<row:run_id>"),
        ("art", "POST", "runs/<row:run_id>/cancel"),
        ("ana", "GET", "checkpoints"),
        ("rev", "GET", "projects/<row:project_id>/gold/<stage:stage>"),
        ("mel", "POST", "projects/<row:project_id>/gold/<stage:stage>"),
        ("ana", "POST", "projects/<row:project_id>/deployments"),
        ("rev", "POST", "projects/<row:project_id>/deployments/rollback"),
    ):
        user: User = getattr(people, who)
        assert call(Browser(user), method, filled(route, ids)) == (403, "no_access"), (who, method, route)


def test_me_lists_ones_own_projects_with_all_ones_roles(desk: Project, people: People) -> None:
    factories.make_project("elsewhere")
    body = Browser(people.ana).get("/me").body
    assert body["user"] == {"id": people.ana.pk, "username": "ana", "name": "Ana"}
    assert body["projects"] == [{"id": desk.pk, "slug": "desk", "name": "Desk", "roles": ["annotator"]}]
    assert Browser(people.eve).get("/me").body["projects"] == []


def test_a_project_at_a_glance_counts_what_waits(desk: Project, people: People) -> None:
    factories.make_image(desk)
    factories.make_image(desk)
    ana = Browser(people.ana)
    ana.claim(desk.pk, "object")
    body = ana.get(f"/projects/{desk.pk}").body
    assert body["queues"] == {
        "object": {"open": 1, "leased": 1},
        "pick": {"open": 0, "leased": 0},
        "pose": {"open": 0, "leased": 0},
    }
    assert (body["num_images"], body["round_number"], body["alpha"], body["artist_cases_open"]) == (
        2,
        1,
        0.5,
        0,
    )
    assert body["taxonomy"] == [{"key": "mug", "label": "Mug"}, {"key": "toy", "label": "Toy"}]
    assert body["roles"] == ["annotator"] and body["stage2_mode"] == "grid" and body["num_candidates"] == 3


def test_a_write_without_the_csrf_token_is_refused(desk: Project) -> None:
    ana = people_of(desk).ana
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(ana)
    path = f"/api/v1/projects/{desk.pk}/claims"
    refused = client.post(path, {"stage": "object"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    client.get("/p/desk/")  # the page that gives the token
    token = client.cookies["csrftoken"].value
    taken = client.post(
        path, {"stage": "object"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert taken.status_code == 204


def test_one_logs_in_with_the_form_and_out_with_a_post() -> None:
    person("ana")
    client = Client()
    assert client.get("/").headers["Location"] == "/login?next=/"
    page = client.post("/login", {"username": "ana", "password": "wrong"})
    assert page.status_code == 200 and b"do not match" in page.content
    assert client.post("/login", {"username": "ana", "password": PASSWORD}).headers["Location"] == "/"
    assert client.get("/login").headers["Location"] == "/"
    assert client.get("/logout").status_code == 405
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").status_code == 302


PAGES = [
    "/p/desk/",
    "/p/desk/work/object",
    "/p/desk/work/pick",
    "/p/desk/work/pose",
    "/p/desk/artists/",
    "/p/desk/guidelines/",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_there_for_members_not_for_strangers_and_asks_others_to_log_in(
    page: str, desk: Project, people: People
) -> None:
    def status(user: User | None) -> int:
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        return client.get(page).status_code

    assert status(people.lea) == 200
    assert status(people.eve) == 404
    assert status(None) == 302
    if page.endswith("/artists/"):
        assert status(people.art) == 200 and status(people.ana) == 403


def test_the_page_of_a_case_of_another_project_is_not_there(desk: Project, people: People) -> None:
    elsewhere = factories.make_project("elsewhere")
    target = factories.make_target(factories.make_image(elsewhere))
    case = ArtistCase.objects.create(project=elsewhere, target=target, reason="none_good")
    client = Client(raise_request_exception=False)
    client.force_login(people_of(elsewhere).art)
    assert client.get(f"/p/elsewhere/artists/{case.pk}").status_code == 200
    assert client.get(f"/p/desk/artists/{case.pk}").status_code == 404


def test_a_page_carries_its_configuration_and_a_strict_policy(desk: Project, people: People) -> None:
    client = Client()
    client.force_login(people.ana)
    page = client.get("/p/desk/work/pick")
    text = page.content.decode()
    assert '<script id="candid8-config" type="application/json">' in text
    assert '<main id="app" data-ready="0"></main>' in text
    config = page.context["config"]
    assert (config["page"], config["stage"], config["apiBase"], config["wsBase"]) == (
        "work",
        "pick",
        "/api/v1",
        "/ws",
    )
    assert config["project"] == {"id": desk.pk, "slug": "desk", "name": "Desk", "roles": ["annotator"]}
    assert config["user"] == {"id": people.ana.pk, "username": "ana", "name": "Ana"}
    policy = page.headers["Content-Security-Policy"]
    assert (
        "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "frame-ancestors 'none'" in policy
    )


def test_the_health_probe_needs_no_session_and_says_ok() -> None:
    reply = Client().get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
