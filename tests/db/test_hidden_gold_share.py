"""How much of people's work is hidden gold, who is paused for it, and gold made by scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.errors import BadInput, NotFound
from engine.models import (
    Assignment,
    Project,
    Standing,
    StateChange,
)
from engine.selectors.pauses import records_of
from engine.selectors.queues import NothingToClaim
from engine.services import hidden_gold, leases, standings
from engine.states import Stage
from tests.factories import NOW
from tests.golden import (
    GOLD,
    KINDS,
    LEA,
    SOON,
    WORK,
    Draws,
    golden,
    picks,
    takes,
    third,
    under,
)
from tests.listening import counted_sql
from tests.people import People
from tests.web import Browser


class TestHowMuch:
    def test_new_people_get_half_and_the_share_stays_between_floor_and_ceiling(
        self, project: Project, people: People
    ) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=2)
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.49)).gold_id is not None
        hidden_gold.set_share(project_id=project.pk, floor=0.0, ceiling=0.2)
        assert takes(third(project).pk, project, Stage.PICK, draw=Draws(0.21)).gold_id is None

    def test_known_people_get_the_floor(self, project: Project, people: People) -> None:
        hidden_gold.set_share(project_id=project.pk, floor=0.1, ceiling=0.5)
        golden(project, people, KINDS[Stage.PICK], how_many=17)
        for _ in range(15):
            picks(takes(people.ana.pk, project, Stage.PICK))
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.11)).gold_id is None
        held = Assignment.objects.get(annotator=people.ana, status="LEASED")
        leases.release(**under(held))
        assert takes(people.ana.pk, project, Stage.PICK, draw=Draws(0.09)).gold_id is not None

    def test_none_when_a_lead_wants_none(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK])
        hidden_gold.set_share(project_id=project.pk, floor=0.0, ceiling=0.0)
        assert takes(people.ana.pk, project, Stage.PICK).gold_id is None

    @pytest.mark.parametrize(("floor", "ceiling"), [(-0.1, 0.2), (0.3, 0.2), (0.1, 0.6)])
    def test_what_cannot_be_a_share_is_refused(self, project: Project, floor: float, ceiling: float) -> None:
        with pytest.raises(BadInput, match="half"):
            hidden_gold.set_share(project_id=project.pk, floor=floor, ceiling=ceiling)
        with pytest.raises(IntegrityError, match="project_gold_share"), transaction.atomic():
            Project.objects.filter(pk=project.pk).update(gold_floor=floor, gold_ceiling=ceiling)

    def test_an_unknown_project_is_not_found(self, project: Project) -> None:
        with pytest.raises(NotFound):
            hidden_gold.set_share(project_id=project.pk + 1, floor=0.0, ceiling=0.1)


class TestWhoIsOff:
    def wrong_until_paused(self, project: Project, user_id: int, *, now: Any = NOW) -> int:
        """Answers gold wrongly until there is no more work; how often."""
        for number in range(20):
            held = leases.claim(user_id=user_id, project_id=project.pk, stage=Stage.PICK, draw=GOLD, now=now)
            if isinstance(held, NothingToClaim):
                assert held.reason == "paused"
                return number
            assert held.gold_id is not None
            picks(Assignment.objects.get(pk=held.pk), is_right=False)
        raise AssertionError("never paused")

    def test_is_paused_by_the_test_with_the_reason_in_the_journal(
        self, project: Project, people: People
    ) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=12)
        assert self.wrong_until_paused(project, people.ana.pk) == 4
        standing = Standing.objects.get()
        assert standing.status == "PAUSED" and "Right on 0 of 4 gold tasks" in standing.reason
        moves = (
            StateChange.objects.filter(model="standing")
            .order_by("pk")
            .values_list("old", "new", "actor_name")
        )
        assert list(moves) == [("", "ACTIVE", "quality watch"), ("ACTIVE", "PAUSED", "quality watch")]
        standings.resume_person(
            project_id=project.pk, user_id=people.ana.pk, reason="talked", actor=LEA, now=SOON
        )
        after = SOON + timedelta(minutes=1)
        held = takes(people.ana.pk, project, Stage.PICK, now=after)
        assert held.gold_id is not None, "what a lead saw counts no more"
        leases.release(**{**under(held), "now": after})

    def test_the_claim_that_pauses_costs_little(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=6)
        for _ in range(4):
            picks(takes(people.ana.pk, project, Stage.PICK), is_right=False)
        with counted_sql() as statements:
            answer = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.PICK, now=NOW)
        assert isinstance(answer, NothingToClaim) and answer.reason == "paused"
        assert len(statements) <= 5, "\n".join(statements)

    def test_the_watch_pauses_who_claims_no_more(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK], how_many=6)
        for _ in range(4):
            picks(takes(people.ana.pk, project, Stage.PICK), is_right=False)
        standings.watch(now=SOON)
        assert Standing.objects.get().user_id == people.ana.pk


def test_claims_cost_the_same_with_much_gold(project: Project, people: People) -> None:
    items = golden(project, people, KINDS[Stage.PICK])
    for user in (people.ana, third(project)):
        with counted_sql() as few:
            takes(user.pk, project, Stage.PICK)
        if user == people.ana:
            golden(project, people, KINDS[Stage.PICK], how_many=8)
            first = few
    assert len(first) == len(few) == 2 and items


def test_the_journal_tells_after_how_many_answers_somebody_was_paused(
    project: Project, people: People
) -> None:
    golden(project, people, KINDS[Stage.PICK], how_many=6, work=3)
    ana = people.ana.pk
    picks(takes(ana, project, Stage.PICK, draw=WORK))
    for _ in range(3):
        picks(takes(ana, project, Stage.PICK), is_right=False)
    in_hand = takes(ana, project, Stage.PICK)
    ahead = takes(ana, project, Stage.PICK, draw=WORK, prefetch=True)
    picks(in_hand, is_right=False)
    standings.pause_person(project_id=project.pk, user_id=ana, reason="x", actor=LEA, now=NOW)
    picks(ahead)
    Assignment.objects.filter(pk=ahead.pk).update(ended_at=timezone.now() + timedelta(minutes=1))
    with counted_sql() as statements:
        records = {record.username: record for record in records_of(project.pk)}
    assert len(statements) == 3
    hers, bob = records["ana"], records["bob"]
    assert (hers.num_answers, hers.num_gold, hers.num_right) == (6, 4, 0)
    assert (hers.answers_before, hers.gold_before, hers.paused_because) == (5, 4, "x")
    assert bob.paused_at is None and bob.answers_before is None and bob.num_answers == 6


class TestByScript:
    """The same verbs over the interface."""

    def test_a_lead_lists_sources_and_makes_gold(self, project: Project, people: People) -> None:
        lea = Browser(people.lea)
        for kind in KINDS.values():
            golden(project, people, kind)
            kind.right(takes(people.bob.pk, project, kind.stage, draw=WORK))
            path = f"/projects/{project.pk}/gold/{kind.stage.value}"
            listed = lea.get(path)
            assert listed.status == 200, listed.body
            [item], [source] = listed.body["items"], listed.body["sources"]
            assert (item["num_answers"], source["by"], source["label"]) == (0, "bob", "mug")
            names = {Stage.OBJECT: "mask_url", Stage.PICK: "candidates", Stage.POSE: "pose"}
            assert names[kind.stage] in source["answer"]
            made = lea.post(path, {"source": source["id"], "why": "It is so."})
            assert made.status == 201 and made.body["stage"] == kind.stage.value
            assert len(lea.get(path).body["items"]) == 2 and lea.get(path).body["sources"] == []
            assert lea.post(path, {"source": source["id"], "why": "Again."}).code == "bad_request"

    def test_nobody_else_may(self, project: Project, people: People) -> None:
        golden(project, people, KINDS[Stage.PICK])
        path = f"/projects/{project.pk}/gold/pick"
        for user in (people.ana, people.rev, people.mel, people.art):
            assert Browser(user).get(path).status == 403
            assert Browser(user).post(path, {"source": 1, "why": "x"}).status == 403
        assert Browser(people.lea).post(path, {"source": 999, "why": "x"}).status == 404
