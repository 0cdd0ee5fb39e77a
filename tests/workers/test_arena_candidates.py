"""A real worker makes an arena's candidates: of exactly the checkpoint asked for, beside what serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from engine import blobs
from engine.models import AnnotationTask, Arena, Candidate, Image, Job, Project, WorkerSwap
from engine.selectors.arena_making import making_of
from engine.services import arena
from engine.states import JobStatus, Role, Stage
from modelzoo.pipeline import CandidatePipeline
from tests.batches import asked_for, ended
from tests.factories import TESTER
from tests.judged import person
from tests.perturbed import SHIPPED, perturbed_checkpoint, with_golden_outputs_of
from tests.pictures import confirmed_disc, photographed_disc
from tests.running_worker import RunningWorker, finished, wait_until
from tests.untrained import deployed, registered
from tests.workers.test_hot_swap import drawn_again
from workers import slots

#: Real models: a machine that is busy with something else takes many times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return [perturbed_checkpoint(folder / str(seed), seed=seed) for seed in (1, 2)]


@pytest.fixture
def photos(project: Project, worker: RunningWorker) -> list[Image]:
    """Four, each with its point map and its disc as a target."""
    Project.objects.update(num_candidates=2)
    project.rounds.update(num_candidates=2)
    with transaction.atomic():
        made = [photographed_disc(project, seed=seed) for seed in range(4)]
        for photo in made:
            confirmed_disc(photo)
    for job in Job.objects.filter(kind="read_point_map"):
        finished(job)
    return made


def opened(project: Project, checkpoints: list[int]) -> Arena:
    return arena.open_arena(
        project_id=project.pk,
        name="a",
        checkpoint_ids=checkpoints,
        votes=1,
        seed=7,
        num_targets=40,
        actor=TESTER,
    )


def made(meeting: Arena) -> None:
    wait_until(
        lambda: not making_of(meeting.pk).is_under_way, what="the candidates of the arena", sweeping=True
    )


def everything_is_answered(of: Project, user: User) -> int:
    answered = 0
    while (match := arena.claim_match(project_id=of.pk, user_id=user.pk, now=timezone.now())) is not None:
        arena.answer_match(
            match=match.uuid,
            user_id=user.pk,
            outcome="left",
            seconds=1.0,
            key=str(match.uuid),
            now=timezone.now(),
        )
        answered += 1
    return answered


def test_what_serves_meets_what_never_served_on_every_target_and_the_spoilt_one_is_named(
    project: Project, photos: list[Image], worker: RunningWorker, two: list[Path], tmp_path: Path
) -> None:
    serving = deployed(SHIPPED, name="serving")
    for photo in photos[:3]:
        ended(asked_for(photo))
    targets = [confirmed_disc(photo) for photo in photos]
    one, other = two
    new = registered(one, name="new")
    wrong = registered(
        with_golden_outputs_of(tmp_path / "wrong", weights_of=other, golden_of=one),
        name="wrong",
    )
    swaps = WorkerSwap.objects.count()
    tasks = AnnotationTask.objects.filter(stage=Stage.PICK).count()

    meeting = opened(project, [serving.checkpoint_id, new.pk, wrong.pk])
    assert sorted(meeting.target_ids) == sorted(target.pk for target in targets)
    made(meeting)
    making = making_of(meeting.pk)
    assert (making.num_asked, making.num_made, making.num_failed) == (1 + 4 + 4, 1 + 4, 4)
    [failure] = making.failures
    assert failure.name == "wrong" and failure.num_candidates == 4 and "differs by" in failure.reason
    assert worker.log.read_text().count("wrong cannot be loaded") == 4

    found = Candidate.objects.filter(batch__arena=meeting)
    assert found.exists() and not found.exclude(checkpoint=F("batch__checkpoint")).exists()
    assert set(found.values_list("generation", flat=True)) == {None}
    for target in targets:
        seeds = Candidate.objects.filter(target=target, index=0).values_list("seed", flat=True)
        assert len(seeds) == 2 and len(set(seeds)) == 1, "both draw from one seed"
    ana = person("ana", project, Role.ANNOTATOR)
    assert everything_is_answered(project, ana) == meeting.matches.count() == len(targets)

    torch.set_num_threads(slots.num_threads())
    pipelines = {
        serving.checkpoint_id: CandidatePipeline.load(SHIPPED),
        new.pk: CandidatePipeline.load(one),
    }
    sample = found.filter(checkpoint=new).order_by("pk")[0]
    stored = blobs.get(sample.latents_key)
    assert drawn_again(sample, pipelines[new.pk]) == stored
    assert drawn_again(sample, pipelines[serving.checkpoint_id]) != stored

    assert WorkerSwap.objects.count() == swaps, "what serves was not touched"
    assert set(ended(asked_for(photos[0])).candidates.values_list("checkpoint_id", "generation")) == {
        (serving.checkpoint_id, serving.generation)
    }
    assert AnnotationTask.objects.filter(stage=Stage.PICK).count() == tasks + 1
    assert WorkerSwap.objects.count() == swaps
    asked = dict(meeting.batches.values_list("pk", "checkpoint_id"))
    ended_in_order = Job.objects.filter(kind="generate_for_arena").order_by("ended_at")
    makers = [asked[payload["batch_id"]] for payload in ended_in_order.values_list("payload", flat=True)]
    assert makers == sorted(makers), "jobs come by checkpoint, so that each is loaded once"


def test_people_come_first_and_a_closed_arena_lets_its_jobs_end(
    project: Project, photos: list[Image], two: list[Path]
) -> None:
    serving = deployed(SHIPPED, name="serving")
    ended(asked_for(photos[0]))
    new = registered(two[0], name="new")
    meeting = opened(project, [serving.checkpoint_id, new.pk])
    assert making_of(meeting.pk).num_asked == 3 + 4
    ordinary = ended(asked_for(photos[0]))
    assert making_of(meeting.pk).is_under_way, "work that people wait for overtakes what an arena asks for"
    assert set(ordinary.candidates.values_list("checkpoint_id", flat=True)) == {serving.checkpoint_id}

    arena.close_arena(arena_id=meeting.pk, actor=TESTER)
    for job in Job.objects.filter(kind="generate_for_arena"):
        assert finished(job, sweeping=True).status == JobStatus.DONE
    making = making_of(meeting.pk)
    assert making.num_given_up > 0 and making.num_made + making.num_given_up == making.num_asked
