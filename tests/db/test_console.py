"""The console: who may enter, what its pages cost, and that every action is the person's, by POST, and journalled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from engine.models import (
    Job,
    Project,
    StateChange,
)
from engine.services import checkpoints, datasets, runs
from engine.states import Role
from engine.transitions import Actor
from tests import judged
from tests.console_world import World, actions, latest_deployment
from tests.web import as_person

pytestmark = pytest.mark.django_db

#: Every page of the console may cost this much SQL, whatever is in the tables.
MOST_QUERIES = 20


@pytest.fixture
def mel(world: World) -> Client:
    return as_person(world.mel)


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
        checkpoints.record_swap(deployment_id=latest_deployment(), worker=f"gpu/{number}", seconds=1.0)
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
