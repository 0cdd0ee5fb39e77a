"""Rounds open one at a time and remember what served."""

from __future__ import annotations

import pytest

from engine.errors import BadInput, IllegalTransition, NotFound
from engine.models import Project, Round, StateChange
from engine.services import checkpoints, rounds
from engine.states import RoundStatus
from engine.transitions import Actor
from tests import judged

pytestmark = pytest.mark.django_db


def test_a_round_is_numbered_journalled_and_remembers_what_served() -> None:
    mel = judged.person("mel")
    deployment = checkpoints.deploy(checkpoint_id=judged.checkpoint().pk, actor=Actor(user_id=mel.pk))
    kitchen = judged.project()
    first = rounds.current_round(kitchen.pk)
    assert first is not None
    rounds.close_round(round_id=first.pk, actor=Actor(user_id=mel.pk))

    second = rounds.open_round(
        project_id=kitchen.pk, alpha=0.75, num_candidates=6, actor=Actor(user_id=mel.pk)
    )

    assert (second.number, second.alpha, second.deployment) == (2, 0.75, deployment)
    assert rounds.current_round(kitchen.pk) == second
    project = Project.objects.get(pk=kitchen.pk)
    assert (project.alpha, project.num_candidates) == (0.75, 6)
    moves = StateChange.objects.filter(model="round", actor=mel).order_by("id")
    assert list(moves.values_list("object_id", "old", "new")) == [
        (first.pk, "OPEN", "CLOSED"),
        (second.pk, "", "OPEN"),
    ]


def test_a_second_open_round_is_refused_and_nothing_is_written() -> None:
    kitchen = judged.project()
    with pytest.raises(BadInput) as refusal:
        rounds.open_round(project_id=kitchen.pk, alpha=0.9, num_candidates=8, actor=judged.TESTS)
    assert refusal.value.code == "round_open"
    assert Round.objects.count() == 1
    assert Project.objects.get().alpha == 0.5


@pytest.mark.parametrize(("alpha", "num_candidates"), [(1.2, 8), (-0.1, 8), (0.5, 1), (0.5, 65)])
def test_a_round_outside_its_limits_is_refused(alpha: float, num_candidates: int) -> None:
    kitchen = Project.objects.create(slug="bare", name="Bare")
    with pytest.raises(BadInput):
        rounds.open_round(
            project_id=kitchen.pk, alpha=alpha, num_candidates=num_candidates, actor=judged.TESTS
        )
    assert not Round.objects.exists()


def test_a_closed_round_is_not_closed_again_and_an_unknown_one_is_not_found() -> None:
    kitchen = judged.project()
    open_round = Round.objects.get(project=kitchen)
    closed = rounds.close_round(round_id=open_round.pk, actor=judged.TESTS)
    assert closed.status == RoundStatus.CLOSED and closed.closed_at is not None
    with pytest.raises(IllegalTransition):
        rounds.close_round(round_id=open_round.pk, actor=judged.TESTS)
    with pytest.raises(NotFound):
        rounds.close_round(round_id=0, actor=judged.TESTS)
