"""The order of new work over rows: bands that the claim follows, and drift that the console shows."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadInput, NotFound
from engine.models import AnnotationTask, Project
from engine.selectors.sampling import sampling_figures, waiting_in
from engine.services import projects, sampling
from engine.services.stage2 import PickResult, submit_pick
from engine.services.tasks import REOPENED_PRIORITY
from engine.states import Stage
from tests.factories import NOW, claim, make_bare_images, make_image, make_ready_batch, make_target
from tests.listening import counted_sql
from tests.people import People


def pick_task(project: Project, *, label: str = "mug", flags: Any = (), size: int = 20) -> AnnotationTask:
    target = make_target(make_image(project), label=label, box=(5, 5, 5 + size, 5 + size))
    target.flags = list(flags)
    target.save()
    return AnnotationTask.objects.get(batch=make_ready_batch(target))


def judged(project: Project, people: People) -> AnnotationTask:
    held = claim(people.bob.pk, project, Stage.PICK)
    winner = held.task.batch.candidates.order_by("index")[0]  # type: ignore[union-attr]
    submit_pick(
        user_id=people.bob.pk,
        assignment=held.uuid,
        lease_token=held.lease_token,
        key=f"key-{held.pk}",
        seconds=5.0,
        result=PickResult(winner=winner.pk, mode="grid", shape_rating=5, texture_rating=5),
        now=NOW,
    )
    return held.task


def test_claims_follow_the_bands_and_take_classes_in_turn(project: Project, people: People) -> None:
    mugs = [pick_task(project, label="mug") for _ in range(20)]
    [toy] = [pick_task(project, label="toy")]
    assert sampling.reband(project_id=project.pk) == 42, "picks and their photographs"
    toy.refresh_from_db()
    first = claim(people.ana.pk, project, Stage.PICK).task
    assert toy.priority == 9 and first.priority == 9, "the toy came last and is served in the first band"
    by_band = [AnnotationTask.objects.get(pk=task.pk).priority for task in mugs]
    assert by_band == [9] * 15 + [8] * 5
    assert sampling.reband(project_id=project.pk) == 0, "twice is once"


def test_what_was_reopened_or_put_first_by_hand_keeps_its_place(project: Project, people: People) -> None:
    reopened, other = pick_task(project), pick_task(project)
    AnnotationTask.objects.filter(pk=reopened.pk).update(priority=REOPENED_PRIORITY)
    sampling.reband(project_id=project.pk)
    reopened.refresh_from_db()
    other.refresh_from_db()
    assert (reopened.priority, other.priority) == (REOPENED_PRIORITY, 9)


def test_arrival_takes_the_bands_away_again(project: Project) -> None:
    task = pick_task(project)
    sampling.reband(project_id=project.pk)
    projects.set_sampling(project_id=project.pk, sampling="arrival", easy_first=False)
    assert sampling.reband_all() == 2, "the pick and its photograph"
    task.refresh_from_db()
    assert task.priority == 0
    with pytest.raises(BadInput, match="balanced"):
        projects.set_sampling(project_id=project.pk, sampling="random", easy_first=False)
    with pytest.raises(NotFound):
        sampling.reband(project_id=project.pk + 1)


def test_a_paused_project_is_left_alone(project: Project) -> None:
    pick_task(project)
    Project.objects.filter(pk=project.pk).update(paused=True)
    assert sampling.reband_all() == 0


def test_difficulty_and_doubt_are_read_from_masks_flags_and_judgements(project: Project) -> None:
    easy = pick_task(project, size=20)
    hidden = pick_task(project, size=20, flags=["occluded"])
    small = pick_task(project, size=4)
    AnnotationTask.objects.filter(pk=small.pk).update(num_judgements=1, overlap=2)
    found = {task.id: task for task in waiting_in(project.pk, Stage.PICK)}
    assert [found[task.pk].level for task in (easy, hidden, small)] == [1, 2, 3]
    assert found[small.pk].is_unsettled and found[easy.pk].class_name == "mug"


def test_easy_ones_come_first_when_a_lead_says_so(project: Project, people: People) -> None:
    hard = [pick_task(project, size=4) for _ in range(16)]
    easy = pick_task(project, size=20)
    sampling.reband(project_id=project.pk)
    easy.refresh_from_db()
    assert easy.priority == 8
    projects.set_sampling(project_id=project.pk, sampling="balanced", easy_first=True)
    sampling.reband(project_id=project.pk)
    easy.refresh_from_db()
    assert easy.priority == 9 and AnnotationTask.objects.get(pk=hard[-1].pk).priority == 8


def test_drift_says_how_far_the_judged_are_from_those_there(project: Project, people: People) -> None:
    for label in ("mug", "mug", "mug", "toy"):
        pick_task(project, label=label)
    with counted_sql() as few:
        assert sampling_figures(project.pk).drift is None
    for _ in range(2):
        judged(project, people)
    figures = sampling_figures(project.pk)
    by_label = {each.label: each for each in figures.classes}
    assert (by_label["mug"].num_there, by_label["mug"].num_sampled, by_label["mug"].num_accepted) == (3, 2, 2)
    assert figures.drift == pytest.approx(0.25) and figures.drift_accepted == pytest.approx(0.25)
    assert by_label["toy"].wanted == pytest.approx(1.5 / (1.5 + 1.25)), "mugs: both of two picks passed"
    assert figures.levels == {1: 2, 2: 0, 3: 0}
    for _ in range(6):
        pick_task(project, label="vase")
    with counted_sql() as many:
        sampling_figures(project.pk)
    assert len(few) == len(many) <= 5


def test_rebanding_costs_the_same_with_ten_times_the_work(project: Project) -> None:
    make_bare_images(project, how_many=3)
    with counted_sql() as few:
        sampling.reband(project_id=project.pk)
    make_bare_images(project, how_many=30)
    with counted_sql() as many:
        assert sampling.reband(project_id=project.pk) == 30
    assert len(few) == len(many) <= 15
