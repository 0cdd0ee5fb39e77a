"""What a page shows of a project stays true: each change of the picture is told by an event that it listens to."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CannotUndo
from engine.models import Assignment, CandidateBatch, Project
from engine.selectors.projects import overview
from engine.selectors.tasks import PickTask, task_payload
from engine.services import artists, candidates, leases, rounds
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PickResult, escalate_pick, submit_pick
from engine.services.undo import undo
from engine.states import Role, Stage
from engine.transitions import Actor
from tests.factories import NOW, make_image, make_pick_task, make_project, mask_bytes, new_candidates
from tests.listening import Heard, listening_to
from tests.people import People, people_of

LIVE = Path(__file__).resolve().parents[2] / "frontend" / "src" / "net" / "live.ts"
LEAD = Actor(name="lea")


def listened_to() -> frozenset[str]:
    """The kinds of event that make the page fetch the picture again."""
    named = re.search(r"CONCERNS[^=]*= new Set\(\[(.*?)\]\)", LIVE.read_text(encoding="utf-8"), re.DOTALL)
    assert named is not None, "frontend/src/net/live.ts names what it listens to"
    return frozenset(re.findall(r'"([a-z_.]+)"', named[1]))


_numbers = count(1)


class Walk:
    """A project with people at work in it."""

    def __init__(self) -> None:
        self.project: Project = make_project(f"desk-{next(_numbers)}")
        self.people: People = people_of(self.project)
        self.now = NOW
        make_image(self.project)
        make_pick_task(self.project)

    def picture(self) -> dict[str, Any]:
        self.project.refresh_from_db()
        ana = frozenset({Role.ANNOTATOR})
        seen = asdict(overview(project=self.project, roles=ana, user_id=self.people.ana.pk, now=self.now))
        return {name: value for name, value in seen.items() if name != "taxonomy"}

    def held(self, stage: Stage) -> Assignment | None:
        live = Assignment.objects.filter(
            project=self.project, status="LEASED", stage=stage, expires_at__gt=self.now
        )
        return live.order_by("pk").first()

    def under(self, held: Assignment) -> dict[str, Any]:
        return {
            "user_id": held.annotator_id,
            "assignment": held.uuid,
            "lease_token": held.lease_token,
            "now": self.now,
        }


def claims(stage: Stage) -> Callable[[Walk], object]:
    return lambda w: leases.claim(user_id=w.people.ana.pk, project_id=w.project.pk, stage=stage, now=w.now)


def marks(w: Walk) -> None:
    if held := w.held(Stage.OBJECT):
        choice = ObjectChoice(mask_png=mask_bytes(), label="mug")
        taken = held.task.image.targets.filter(status="CONFIRMED").exists()
        submit_object(
            **w.under(held),
            key="k",
            seconds=1.0,
            targets=() if taken else [choice],
            discard="nothing left" if taken else None,
        )


def picks(w: Walk) -> None:
    if held := w.held(Stage.PICK):
        task = task_payload(held)
        assert isinstance(task, PickTask)
        result = PickResult(winner=task.candidates[0].id, mode="grid", shape_rating=5, texture_rating=5)
        submit_pick(**w.under(held), key="k", seconds=1.0, result=result)


def gives_up(w: Walk) -> None:
    if held := w.held(Stage.PICK):
        escalate_pick(**w.under(held), reason="none_good", note="")


def takes_back(w: Walk) -> None:
    done = Assignment.objects.filter(project=w.project, status__in=["SUBMITTED", "ESCALATED"])
    last = done.order_by("-ended_at").first()
    if last is None:
        return
    with suppress(CannotUndo):
        undo(user_id=last.annotator_id, assignment=last.uuid, now=w.now)


def lets_go(w: Walk) -> None:
    if held := w.held(Stage.OBJECT):
        leases.release(**w.under(held))


def time_passes(w: Walk) -> None:
    w.now += timedelta(hours=1)
    leases.expire_leases(now=w.now)


def candidates_come(w: Walk) -> None:
    batch = CandidateBatch.objects.filter(project=w.project, status="REQUESTED").first()
    if batch is not None:
        candidates.begin_batch(batch_id=batch.pk)
        candidates.complete_batch(batch_id=batch.pk, candidates=new_candidates(batch), seconds=1.0)


def round_turns(w: Walk) -> None:
    if (open_one := w.project.rounds.filter(status="OPEN").first()) is not None:
        rounds.close_round(round_id=open_one.pk, actor=LEAD)
    else:
        rounds.open_round(project_id=w.project.pk, alpha=0.25, num_candidates=3, actor=LEAD)


def an_artist_comes(w: Walk) -> None:
    case = w.project.artist_cases.filter(status="OPEN").first()
    if case is not None:
        artists.claim_case(user_id=w.people.art.pk, case_id=case.pk)


STEPS: tuple[Callable[[Walk], object], ...] = (
    claims(Stage.OBJECT), claims(Stage.PICK), marks, picks, gives_up, takes_back, lets_go, time_passes,
    candidates_come, round_turns, an_artist_comes, lambda w: make_image(w.project),
)  # fmt: skip


@pytest.mark.django_db(transaction=True)
@settings(max_examples=3)
@given(walk=st.lists(st.integers(0, len(STEPS) - 1), min_size=8, max_size=14))
def test_an_old_picture_with_the_events_equals_a_fresh_one(walk: list[int]) -> None:
    concerns = listened_to()
    world = Walk()
    with listening_to(world.project.pk) as ear:
        shown = world.picture()
        for number in walk:
            STEPS[number](world)
            if _news(ear) & concerns:
                shown = world.picture()
            assert shown == world.picture(), f"step {number} changed the picture and told nobody"


def _news(ear: Heard) -> set[str]:
    """The kinds of event since the last look."""
    before = len(ear.bodies)
    return {str(body["type"]) for body in ear.all()[before:]}
