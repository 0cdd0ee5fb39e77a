"""The console's pages of quality, reviews and the arena: who may enter, what they say, what they cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from engine.models import AnnotationTask, Arena, Deployment, Project, SampledReview, Standing, StateChange
from engine.services import checkpoints, reviews
from engine.states import DeploymentStatus, Role, TaskStatus
from engine.transitions import Actor
from tests import judged
from tests.db.test_arena import opened, vote_all
from tests.overlapping import crowd_of_picks
from tests.web import as_person, said

pytestmark = pytest.mark.django_db

MOST_QUERIES = 20
SKILLS = {"ana": 0.85, "bob": 0.85, "cyd": 0.85, "sam": 0.25}


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def lea(kitchen: Project) -> Client:
    return as_person(judged.person("lea", kitchen, Role.LEAD))


def address(name: str, **ids: int) -> str:
    return reverse(f"admin:console-{name}", kwargs=ids)


def drawn(of: Project, number: int = 3) -> list[SampledReview]:
    return reviews.draw_reviews(
        project_id=of.pk, number=number, seed=1, actor=Actor(name="tests"), now=timezone.now()
    )


def test_the_quality_page_tells_who_disagrees_and_a_lead_pauses_and_resumes_them(
    kitchen: Project, lea: Client
) -> None:
    crowd = crowd_of_picks(kitchen, SKILLS, num_tasks=40, seed=3)
    quality = address("quality", project_id=kitchen.pk)
    page = lea.get(quality).content.decode()
    assert "Pause sam" in page and "Pause ana" not in page
    assert "240</td>" in page and "25 %" in page, "pairs of people, and chance of four"
    sam = crowd.people["sam"].pk
    reply = lea.post(address("pause", project_id=kitchen.pk), {"user": sam, "reason": "agrees with nobody"})
    assert said(reply) == ["sam gets no more work until resumed."] and reply["Location"] == quality
    assert "agrees with nobody" in lea.get(quality).content.decode()
    lea.post(address("resume", project_id=kitchen.pk), {"user": sam, "reason": "talked"})
    assert Standing.objects.get(user_id=sam).status == "ACTIVE"
    actors = StateChange.objects.filter(model="standing", new__in=["PAUSED", "ACTIVE"]).exclude(old="")
    assert {each.actor_id for each in actors} == {User.objects.get(username="lea").pk}
    days = lea.get(address("quality-days", project_id=kitchen.pk)).json()
    assert days["series"][0]["x"] == [0] and 0.3 < days["series"][0]["y"][0] < 0.8


def test_a_lead_asks_again_where_picks_are_unsettled(kitchen: Project, lea: Client) -> None:
    crowd_of_picks(kitchen, {"ana": 0.8}, num_tasks=10)
    reply = lea.post(address("overlap", project_id=kitchen.pk))
    assert said(reply) == ["2 unsettled picks are offered to one more person."]
    assert AnnotationTask.objects.filter(status=TaskStatus.OPEN).count() == 2


def test_a_reviewer_goes_through_the_drawn_ones_and_each_decision_leads_to_the_next(
    kitchen: Project,
) -> None:
    crowd_of_picks(kitchen, {"ana": 0.8}, num_tasks=6)
    rev = as_person(judged.person("rev", kitchen, Role.REVIEWER))
    rev.post(address("reviews-draw", project_id=kitchen.pk), {"number": "3"})
    first, second, third = SampledReview.objects.order_by("-risk", "pk")
    page = rev.get(address("review", review_id=first.pk)).content.decode()
    assert "Review of ana" in page and "Picked candidate" in page and "Send back" in page
    reply = rev.post(address("review-accept", review_id=first.pk))
    assert reply["Location"] == address("review", review_id=second.pk)
    empty = rev.post(address("review-back", review_id=second.pk), {"note": ""})
    assert said(empty)[-1].startswith("What is wrong")
    rev.post(address("review-back", review_id=second.pk), {"note": "wrong shape"})
    better = judged.candidates(third.assignment.selection.batch)[3].pk
    body = {"winner": better, "shape_rating": 5, "texture_rating": 5}
    reply = rev.post(address("review-fix", review_id=third.pk), body)
    assert reply["Location"] == address("reviews", project_id=kitchen.pk)
    statuses = [review.status for review in SampledReview.objects.order_by("pk")]
    assert sorted(statuses) == ["ACCEPTED", "FIXED", "SENT_BACK"]
    assert "wrong shape" in rev.get(reply["Location"]).content.decode()


def test_an_arena_is_opened_followed_and_asked_before_a_deployment(kitchen: Project) -> None:
    mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
    old = judged.checkpoint("old")
    new = judged.checkpoint("new", parent=old)
    checkpoints.deploy(checkpoint_id=old.pk, actor=Actor(name="tests"))
    opened(kitchen, (old, new), targets=25).delete()
    body = {"name": "round 2", "checkpoints": [old.pk, new.pk], "votes": "1"}
    reply = mel.post(address("arena-open", project_id=kitchen.pk), body)
    arena = Arena.objects.get()
    assert reply["Location"] == address("arena", arena_id=arena.pk)
    assert "25 matches wait" in mel.get(reply["Location"]).content.decode()
    vote_all(kitchen, new=new, win=0.1)
    page = mel.get(reply["Location"]).content.decode()
    assert "May new replace old?" in page and "The votes say that it is worse." in page
    assert "Elo is only its scale" in page
    deploy = address("deploy", checkpoint_id=new.pk)
    assert "does not let it by" in said(mel.post(deploy))[0]
    assert "The votes say" in mel.get(address("checkpoint", checkpoint_id=new.pk)).content.decode()
    mel.post(deploy, {"override": "for the demonstration"})
    assert Deployment.objects.get(status=DeploymentStatus.SERVING).checkpoint == new
    mel.post(address("arena-close", arena_id=arena.pk))
    arena.refresh_from_db()
    assert arena.status == "CLOSED"


def pages(of: Project) -> dict[str, str]:
    return {
        "quality": address("quality", project_id=of.pk),
        "days": address("quality-days", project_id=of.pk),
        "reviews": address("reviews", project_id=of.pk),
        "review": address("review", review_id=SampledReview.objects.earliest("pk").pk),
        "arenas": address("arenas", project_id=of.pk),
        "arena": address("arena", arena_id=Arena.objects.earliest("pk").pk),
    }


def cost(visit: Callable[[], HttpResponse]) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert visit().status_code == 200
    return len(queries)


def test_every_page_costs_the_same_sql_with_ten_times_the_rows(kitchen: Project, lea: Client) -> None:
    both = judged.checkpoint("old"), judged.checkpoint("new")
    crowd_of_picks(kitchen, {"ana": 0.8, "bob": 0.8}, num_tasks=3)
    drawn(kitchen)
    opened(kitchen, both, targets=2)
    vote_all(kitchen, new=both[1], win=0.7, people=2)
    small = {name: cost(lambda a=url: lea.get(a)) for name, url in pages(kitchen).items()}
    crowd_of_picks(kitchen, SKILLS, num_tasks=20)
    drawn(kitchen, 30)
    for _ in range(3):
        opened(kitchen, both, targets=6)
    vote_all(kitchen, new=both[1], win=0.7, people=6)
    large = {name: cost(lambda a=url: lea.get(a)) for name, url in pages(kitchen).items()}
    assert large == small
    assert max(large.values()) <= MOST_QUERIES, large


def test_engineers_see_no_people_annotators_nothing_and_strangers_do_not_learn_of_it(
    kitchen: Project, lea: Client
) -> None:
    both = judged.checkpoint("old"), judged.checkpoint("new")
    crowd_of_picks(kitchen, {"ana": 0.8, "bob": 0.8}, num_tasks=3)
    drawn(kitchen)
    opened(kitchen, both, targets=2)
    mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
    ana = as_person(judged.person("ana"))
    other = as_person(judged.person("gus", judged.project("garden"), Role.LEAD))
    for name, url in pages(kitchen).items():
        assert mel.get(url).status_code == (200 if name.startswith("arena") else 403), name
        assert ana.get(url, follow=True).status_code == 403, name
        assert other.get(url).status_code == 404, name
        page = lea.get(url).content.decode()
        assert "style=" not in page and "<script>" not in page, name


def test_actions_answer_to_post_by_the_right_people_alone(kitchen: Project) -> None:
    both = judged.checkpoint("old"), judged.checkpoint("new")
    crowd = crowd_of_picks(kitchen, {"ana": 0.8}, num_tasks=5)
    [review, *_] = drawn(kitchen)
    arena = opened(kitchen, both, targets=2)
    body = {"user": crowd.people["ana"].pk, "reason": "x", "note": "x", "number": 1}
    mel = as_person(judged.person("mel", kitchen, Role.ML_ENGINEER))
    rev = as_person(judged.person("rev", kitchen, Role.REVIEWER))
    before = StateChange.objects.count()
    for name, ids, refused in (
        ("pause", {"project_id": kitchen.pk}, (mel, rev)),
        ("resume", {"project_id": kitchen.pk}, (mel, rev)),
        ("overlap", {"project_id": kitchen.pk}, (mel, rev)),
        ("reviews-draw", {"project_id": kitchen.pk}, (mel,)),
        ("review-accept", {"review_id": review.pk}, (mel,)),
        ("review-fix", {"review_id": review.pk}, (mel,)),
        ("review-back", {"review_id": review.pk}, (mel,)),
        ("arena-open", {"project_id": kitchen.pk}, (rev,)),
        ("arena-close", {"arena_id": arena.pk}, (rev,)),
    ):
        for client in refused:
            assert client.get(address(name, **ids)).status_code == 405, name
            assert client.post(address(name, **ids), body).status_code == 403, name
    assert StateChange.objects.count() == before


def test_a_lead_sees_the_gold_of_every_stage_and_sets_how_much_is_hidden(
    kitchen: Project, lea: Client
) -> None:
    quality = address("quality", project_id=kitchen.pk)
    page = lea.get(quality).content.decode()
    assert "Gold among work" in page and page.count("make gold</a>") == 3
    share = address("gold-share", project_id=kitchen.pk)
    reply = lea.post(share, {"floor": "0.02", "ceiling": "0.3"})
    assert said(reply) == ["2 to 30 % of new work is hidden gold."] and reply["Location"] == quality
    kitchen.refresh_from_db()
    assert (kitchen.gold_floor, kitchen.gold_ceiling) == (0.02, 0.3)
    assert LogEntry.objects.get().get_change_message() == "2 to 30 % of new work is hidden gold."
    assert said(lea.post(share, {"floor": "0.4", "ceiling": "0.3"}))[1:] == [
        "Between 0 and half of the work may be gold, and the least not more than the most."
    ]
    rev = as_person(judged.person("rev", kitchen, Role.REVIEWER))
    assert rev.post(share, {"floor": "0", "ceiling": "0"}).status_code == 403
    assert "Set the share" not in rev.get(quality).content.decode()
