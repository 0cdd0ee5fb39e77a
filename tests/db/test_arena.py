"""The arena: blind matches, answered once; strengths with intervals; and the gate before a deployment."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from engine.errors import BadInput, EngineError, IdempotencyConflict, LeaseLost, NoAccess, NotFound
from engine.models import Arena, ArenaMatch, Candidate, Checkpoint, Project, StateChange
from engine.ranking.gate import GatePolicy, GateVerdict
from engine.selectors.arena import gate_between, standings, votes_of
from engine.services import arena, checkpoints
from engine.services import standings as people_standings
from engine.states import Role
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MEL = Actor(name="mel")
FEW = GatePolicy(min_votes=20, min_annotators=3)


def target_of_both(of: Project, *makers: Checkpoint, label: str = "mug") -> int:
    """A target with a candidate of each checkpoint."""
    batch = judged.batch(of, label=label, sources=("candid8",) * 2, made_by=makers[0])
    for index, maker in enumerate(makers[1:], start=2):
        Candidate.objects.create(
            project=of, target=batch.target, batch=batch, index=index, source="candid8", checkpoint=maker,
            generation=2, seed=index, mesh_key="me/a.glb", preview_key="pr/a.glb",
        )  # fmt: skip
    return batch.target_id


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def both(kitchen: Project) -> tuple[Checkpoint, Checkpoint]:
    old = judged.checkpoint("old")
    return old, judged.checkpoint("new", parent=old)


def opened(of: Project, both: tuple[Checkpoint, ...], *, targets: int = 4, votes: int = 1) -> Arena:
    for number in range(targets):
        target_of_both(of, *both, label=("mug", "chair")[number % 2])
    return arena.open_arena(
        project_id=of.pk,
        name="old against new",
        checkpoint_ids=[each.pk for each in both],
        votes=votes,
        seed=7,
        actor=MEL,
    )


def ana_of(of: Project) -> User:
    return judged.person("ana", of, Role.ANNOTATOR)


def answer(match: ArenaMatch, user: User, outcome: str, **changes: Any) -> ArenaMatch:
    return arena.answer_match(
        **{
            "match": match.uuid,
            "user_id": user.pk,
            "outcome": outcome,
            "seconds": 4.0,
            "key": str(uuid4()),
            "now": NOW,
            **changes,
        }
    )


def vote_all(of: Project, *, new: Checkpoint, win: float, people: int = 4, seed: int = 1) -> None:
    """Every match is answered; the new checkpoint is preferred with chance ``win``."""
    rng = np.random.default_rng(seed)
    users = [judged.person(f"ann{number}", of, Role.ANNOTATOR) for number in range(people)]
    waiting = True
    while waiting:
        waiting = False
        for user in users:
            match = arena.claim_match(project_id=of.pk, user_id=user.pk, now=NOW)
            if match is None:
                continue
            waiting = True
            new_side = "left" if match.left_checkpoint_id == new.pk else "right"
            other = "right" if new_side == "left" else "left"
            answer(match, user, new_side if rng.random() < win else other)


def test_every_pair_meets_on_every_frozen_target_in_a_random_order_and_on_random_sides(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    third = judged.checkpoint("third")
    lonely = judged.batch(kitchen, made_by=both[0]).target_id
    made = opened(kitchen, (*both, third), targets=10, votes=2)
    matches = list(made.matches.order_by("place"))
    assert len(matches) == 10 * 3 * 2
    assert lonely not in {match.target_id for match in matches}, "one checkpoint alone cannot meet anybody"
    pairs = Counter(frozenset((m.left_checkpoint_id, m.right_checkpoint_id)) for m in matches)
    assert set(pairs.values()) == {20}
    lefts = Counter(match.left_checkpoint_id for match in matches)
    assert all(8 < lefts[each.pk] < 32 for each in (*both, third))
    assert [m.target_id for m in matches] != sorted(m.target_id for m in matches)
    target_of_both(kitchen, *both)
    assert made.matches.count() == 60, "targets that come later do not enter"
    assert StateChange.objects.filter(model="arenamatch", new="WAITING").count() == 60


def test_an_arena_without_two_checkpoints_or_a_common_target_is_refused(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    def open_with(ids: list[int]) -> None:
        arena.open_arena(project_id=kitchen.pk, name="a", checkpoint_ids=ids, votes=1, seed=0, actor=MEL)

    with pytest.raises(BadInput, match="two checkpoints"):
        open_with([both[0].pk, both[0].pk])
    with pytest.raises(BadInput, match="No target has a candidate of each of"):
        open_with([each.pk for each in both])
    assert not Arena.objects.exists()


def test_a_claim_is_kept_until_answered_and_then_the_next_one_comes(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    opened(kitchen, both, targets=2)
    ana = ana_of(kitchen)
    first = arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW)
    assert first is not None
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) == first
    answer(first, ana, "equal")
    second = arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW)
    assert second is not None and second.pk != first.pk
    answer(second, ana, "left")
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) is None


def test_nobody_judges_one_pair_on_one_target_twice(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    opened(kitchen, both, targets=1, votes=3)
    ana = ana_of(kitchen)
    match = arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW)
    assert match is not None
    answer(match, ana, "left")
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) is None
    bob = judged.person("bob", kitchen, Role.ANNOTATOR)
    assert arena.claim_match(project_id=kitchen.pk, user_id=bob.pk, now=NOW) is not None


def test_an_answer_is_taken_once_and_is_final(kitchen: Project, both: tuple[Checkpoint, Checkpoint]) -> None:
    opened(kitchen, both)
    ana = ana_of(kitchen)
    match = arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW)
    assert match is not None
    answer(match, ana, "left", key="k1")
    again = answer(match, ana, "right", key="k1")
    assert again.outcome == "left", "the repeat gets what was recorded"
    with pytest.raises(IdempotencyConflict):
        answer(match, ana, "right", key="k2")
    assert StateChange.objects.filter(model="arenamatch", new="ANSWERED").count() == 1
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        ArenaMatch.objects.filter(pk=match.pk).update(outcome="right")


def test_a_claim_that_ran_out_goes_to_others_and_its_late_answer_is_refused(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    opened(kitchen, both, targets=1)
    ana, bob = ana_of(kitchen), judged.person("bob", kitchen, Role.ANNOTATOR)
    match = arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW)
    assert match is not None
    assert arena.claim_match(project_id=kitchen.pk, user_id=bob.pk, now=NOW) is None
    later = NOW + timedelta(minutes=11)
    with pytest.raises(LeaseLost):
        answer(match, ana, "left", now=later)
    taken = arena.claim_match(project_id=kitchen.pk, user_id=bob.pk, now=later)
    assert taken is not None and taken.pk == match.pk
    with pytest.raises(NotFound):
        answer(match, ana, "left", now=later)
    answer(taken, bob, "right", now=later)


def test_strangers_artists_and_paused_people_get_no_match(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    opened(kitchen, both)
    with pytest.raises(NotFound):
        arena.claim_match(project_id=kitchen.pk, user_id=judged.person("eve").pk, now=NOW)
    with pytest.raises(NoAccess):
        arena.claim_match(
            project_id=kitchen.pk, user_id=judged.person("art", kitchen, Role.ARTIST).pk, now=NOW
        )
    ana = ana_of(kitchen)
    people_standings.pause_person(project_id=kitchen.pk, user_id=ana.pk, reason="look", actor=MEL, now=NOW)
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) is None


def test_a_closed_arena_gives_no_matches(kitchen: Project, both: tuple[Checkpoint, Checkpoint]) -> None:
    made = opened(kitchen, both)
    arena.close_arena(arena_id=made.pk, actor=MEL)
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana_of(kitchen).pk, now=NOW) is None


def test_the_standings_rank_by_strength_with_intervals_and_say_what_they_rest_on(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    old, new = both
    made = opened(kitchen, both, targets=30, votes=2)
    vote_all(kitchen, new=new, win=0.85)
    table = standings(votes_of(made.pk), names={old.pk: "old", new.pk: "new"})
    assert table is not None
    first, second = table.contestants
    assert (first.name, second.name) == ("new", "old")
    assert first.elo.low > second.elo.high and first.elo.low <= first.elo.value <= first.elo.high
    assert (first.ranks.best, first.ranks.worst, second.ranks.best) == (1, 1, 2)
    assert (table.num_votes, table.num_targets, table.num_people) == (60, 30, 4)
    assert first.won == second.lost and first.won + first.lost == 60
    assert table.flips is not None and table.flips > 10
    assert table.left_share is not None and 0.3 < table.left_share < 0.7


def test_votes_of_people_who_are_paused_do_not_count(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    made = opened(kitchen, both, targets=4)
    vote_all(kitchen, new=both[1], win=1.0, people=2)
    assert len(votes_of(made.pk)) == 4
    people_standings.pause_person(
        project_id=kitchen.pk, user_id=judged.person("ann0").pk, reason="look", actor=MEL, now=NOW
    )
    assert len(votes_of(made.pk)) == 2


def test_several_votes_on_one_target_are_one_in_the_gate(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    opened(kitchen, both, targets=10, votes=3)
    vote_all(kitchen, new=both[1], win=1.0, people=4)
    met = gate_between(new_id=both[1].pk, serving_id=both[0].pk, policy=FEW)
    assert met is not None
    assert met[1].votes.wins == 10 and met[1].verdict == GateVerdict.WAIT


def test_a_checkpoint_that_lost_its_arena_is_deployed_only_with_a_reason_that_the_journal_keeps(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    old, new = both
    checkpoints.deploy(checkpoint_id=old.pk, actor=MEL)
    opened(kitchen, both, targets=25)
    vote_all(kitchen, new=new, win=0.1)
    with pytest.raises(EngineError, match="The votes say that it is worse") as refusal:
        checkpoints.deploy(checkpoint_id=new.pk, actor=MEL)
    assert refusal.value.code == "gate_not_passed"
    deployment = checkpoints.deploy(checkpoint_id=new.pk, actor=MEL, override="needed for the demonstration")
    move = StateChange.objects.get(model="deployment", object_id=deployment.pk, new="SERVING")
    assert move.reason.startswith(
        "needed for the demonstration (against the gate of the arena old against new"
    )
    assert checkpoints.rollback(actor=MEL).checkpoint == old, "a rollback needs no arena"


def test_a_checkpoint_that_never_met_the_serving_one_is_deployed_as_before(
    both: tuple[Checkpoint, Checkpoint],
) -> None:
    checkpoints.deploy(checkpoint_id=both[0].pk, actor=MEL)
    assert checkpoints.deploy(checkpoint_id=both[1].pk, actor=MEL).generation == 2


def test_geometry_that_got_worse_refuses_though_the_votes_are_clear(
    kitchen: Project, both: tuple[Checkpoint, Checkpoint]
) -> None:
    old, new = both
    opened(kitchen, both, targets=40)
    vote_all(kitchen, new=new, win=0.95)
    metrics = {"chamfer": {"difference": 0.02, "low": 0.01, "high": 0.03, "higher_is_better": False}}
    checkpoints.record_evaluation(checkpoint_id=new.pk, evaluation={"metrics": metrics})
    met = gate_between(new_id=new.pk, serving_id=old.pk, policy=FEW)
    assert met is not None and met[1].verdict == GateVerdict.REFUSE
    assert met[1].reasons[0].startswith("chamfer is worse")
    metrics["chamfer"] |= {"difference": -0.02, "low": -0.03, "high": -0.01}
    checkpoints.record_evaluation(checkpoint_id=new.pk, evaluation={"metrics": metrics})
    met = gate_between(new_id=new.pk, serving_id=old.pk, policy=FEW)
    assert met is not None and met[1].verdict == GateVerdict.PASS, met[1].reasons


@pytest.mark.django_db(transaction=True)
def test_eight_people_who_claim_at_once_get_eight_matches() -> None:
    garden = judged.project("garden")
    both = judged.checkpoint("old"), judged.checkpoint("new")
    opened(garden, both, targets=8)
    users = [judged.person(f"w{number}", garden, Role.ANNOTATOR) for number in range(8)]
    found: list[Any] = []

    def take(user: User) -> None:
        try:
            match = arena.claim_match(project_id=garden.pk, user_id=user.pk, now=NOW)
            found.append(match.pk if match else None)
        except Exception as error:  # noqa: BLE001  # a thread's failure must reach the test
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8 and all(isinstance(each, int) for each in found), found
