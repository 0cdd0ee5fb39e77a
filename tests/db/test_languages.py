"""The pages that the server writes speak the person's language; the API and the console speak English."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from engine.models import Project
from tests import factories
from tests.people import People, people_of
from tests.web import Browser

pytestmark = pytest.mark.django_db

GERMAN = "de-AT,de;q=0.9,en;q=0.5"


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


def client_of(user: User | None = None, **headers: str) -> Client:
    client = Client(headers=headers)
    if user:
        client.force_login(user)
    return client


def text_of(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def chooses(user: User, language: str) -> None:
    wishes: Any = {"language": language}
    assert Browser(user).send("PATCH", "/me/settings", json.dumps(wishes)).status == 200


def test_pages_that_know_nobody_speak_the_browsers_language(desk: Project) -> None:
    german, english = text_of(client_of(accept_language=GERMAN), "/login"), text_of(client_of(), "/login")
    assert '<html lang="de">' in german and "Benutzername" in german
    assert '<html lang="en">' in english and "User name" in english
    assert "Unter dieser Adresse ist nichts" in text_of(client_of(accept_language=GERMAN), "/nowhere")


def test_a_persons_choice_wins_over_the_browser_on_every_page(desk: Project, people: People) -> None:
    chooses(people.ana, "en")
    assert "Your projects" in text_of(client_of(people.ana, accept_language=GERMAN), "/")
    chooses(people.ana, "de")
    page = text_of(client_of(people.ana, accept_language="en"), "/")
    assert "Ihre Projekte" in page and "Annotation" in page and '<html lang="de"' in page


def test_the_browser_remembers_the_choice_for_the_log_in_until_it_is_given_up(
    desk: Project, people: People
) -> None:
    chooses(people.ana, "de")
    client = client_of(people.ana)
    client.get(f"/p/{desk.slug}/")
    client.post("/logout")
    assert "Anmelden" in text_of(client, "/login")
    client.force_login(people.ana)
    chooses(people.ana, "")
    client.get("/")
    client.post("/logout")
    assert "Log in" in text_of(client, "/login")


def test_a_language_that_nobody_speaks_here_is_english(desk: Project) -> None:
    client = client_of(accept_language="fr")
    client.cookies["candid8_language"] = "../xx"
    assert '<html lang="en">' in text_of(client, "/login")


def test_the_api_and_the_console_stay_english(desk: Project, people: People) -> None:
    client = client_of(people.ana, accept_language=GERMAN)
    assert client.get("/api/v1/projects/0").json()["detail"].isascii()
    assert client.get("/api/v1/nowhere").json()["detail"].startswith("There is nothing")
    console = text_of(client_of(people.mel, accept_language=GERMAN), "/admin/")
    assert 'lang="en"' in console and "Abmelden" not in console


def test_one_persons_language_is_not_the_next_ones(desk: Project) -> None:
    assert "Anmelden" in text_of(client_of(accept_language=GERMAN), "/login")
    assert "Log in" in text_of(client_of(), "/login")
