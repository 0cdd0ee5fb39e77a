"""Checkpoints are swapped under a stream of generation jobs: none fails, each candidate names what truly made it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from django.db import transaction

from engine import blobs
from engine.models import (
    AnnotationTask,
    Candidate,
    CandidateBatch,
    Deployment,
    Image,
    Job,
    Project,
    WorkerSwap,
)
from engine.selectors.deployments import belongs_to_canary, place_of
from engine.services import checkpoints
from engine.states import BatchStatus, CheckpointStatus, JobStatus, Stage
from modelzoo.checkpoint import WEIGHTS_NAME
from modelzoo.contracts import SamplerSettings
from modelzoo.pipeline import CandidatePipeline
from tests.batches import asked_for, ended
from tests.factories import TESTER
from tests.perturbed import SHIPPED, perturbed_checkpoint, with_a_nan, with_golden_outputs_of
from tests.pictures import photographed_disc
from tests.running_worker import RunningWorker, finished, wait_until
from tests.untrained import deployed, registered
from workers import slots
from workers.model_inputs import model_input

#: Real models: a machine that is busy with something else takes many times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SWAPS = 10
WAITING = 1  # batch behind the one that is made while a checkpoint is promoted
#: Memory of the worker after the tenth swap over that after the third: a leak would keep 35 MB of weights each time.
MOST_GROWTH = 1.1


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The shipped checkpoint and two beside it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return [SHIPPED, *(perturbed_checkpoint(folder / str(seed), seed=seed) for seed in (1, 2))]


@pytest.fixture
def image(project: Project) -> Image:
    Project.objects.update(num_candidates=2)
    project.rounds.update(num_candidates=2)
    with transaction.atomic():
        return photographed_disc(project)


def makers(batch: CandidateBatch) -> set[tuple[int, int]]:
    return set(batch.candidates.values_list("checkpoint_id", "generation"))


def maker(deployment: Deployment) -> set[tuple[int, int]]:
    return {(deployment.checkpoint_id, deployment.generation)}


class Stream:
    """Batches that never cease: one is being made, ``WAITING`` wait."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.batches: list[CandidateBatch] = []
        self._open: deque[CandidateBatch] = deque()

    def keep_up(self) -> None:
        """Asks for more until enough wait, and waits until one of them is being made."""
        while sum(1 for batch in self._refreshed() if batch.status == BatchStatus.REQUESTED) < WAITING:
            self._open.append(asked_for(self.image))
            self.batches.append(self._open[-1])
        wait_until(self._one_is_made, what="a batch to be made", sweeping=True)

    def until_made_by(self, deployment: Deployment) -> CandidateBatch:
        """The first batch of the deployment; more are asked for until it comes."""

        def first() -> CandidateBatch | None:
            ready = [batch.pk for batch in self.batches]
            made = Candidate.objects.filter(batch__in=ready, generation=deployment.generation).first()
            return made.batch if made else None

        def has_come() -> bool:
            self.keep_up()
            return first() is not None

        wait_until(has_come, what=f"the first candidate of {deployment}", sweeping=True)
        batch = first()
        assert batch is not None
        return batch

    def _one_is_made(self) -> bool:
        return any(batch.status == BatchStatus.GENERATING for batch in self._refreshed()) or not self._open

    def _refreshed(self) -> Iterator[CandidateBatch]:
        for batch in list(self._open):
            batch.refresh_from_db()
            if batch.status not in (BatchStatus.REQUESTED, BatchStatus.GENERATING):
                self._open.remove(batch)
            yield batch


def test_ten_promotions_under_a_stream_of_jobs_fail_none_and_every_candidate_names_its_true_maker(
    image: Image, worker: RunningWorker, three: list[Path]
) -> None:
    finished(Job.objects.get(kind="read_point_map"))  # a batch before it would be put off once
    rows = [registered(folder, name=folder.name) for folder in three]
    folders = {row.pk: folder for row, folder in zip(rows, three, strict=True)}
    stream = Stream(image)
    generations = [checkpoints.deploy(checkpoint_id=rows[0].pk, actor=TESTER)]
    stream.until_made_by(generations[0])
    memory = []
    for number in range(1, SWAPS + 1):
        stream.keep_up()
        generations.append(checkpoints.deploy(checkpoint_id=rows[number % 3].pk, actor=TESTER))
        stream.until_made_by(generations[-1])
        memory.append(resident_bytes(worker))
    for batch in stream.batches:
        ended(batch)

    jobs = Job.objects.filter(kind="generate_candidates")
    assert (
        jobs.count()
        == len(stream.batches)
        == jobs.filter(status=JobStatus.DONE, attempts=1, error="").count()
    )
    tasks = AnnotationTask.objects.filter(stage=Stage.PICK)
    assert set(tasks.values_list("batch_id", flat=True)) == {batch.pk for batch in stream.batches}
    assert not Deployment.objects.exclude(swap_error="").exists()
    assert memory[-1] <= MOST_GROWTH * memory[2], memory
    swaps = WorkerSwap.objects.order_by("at")
    assert [swap.deployment.generation for swap in swaps] == list(range(SWAPS - 2, SWAPS + 2))
    assert len({swap.worker for swap in swaps}) == 1
    assert_made_by_what_they_name(generations, folders)


def test_what_cannot_be_loaded_leaves_the_old_one_serving_and_a_roll_back_takes_one_job(
    image: Image, worker: RunningWorker, three: list[Path], tmp_path: Path
) -> None:
    _, one, two = three
    deployed(SHIPPED, name="first")
    served = deployed(one, name="good")
    assert makers(ended(asked_for(image))) == maker(served)

    wrong = with_golden_outputs_of(tmp_path / "wrong", weights_of=two, golden_of=one)
    cut = with_a_nan(tmp_path / "cut", of=two)
    half = (cut / WEIGHTS_NAME).read_bytes()[:5_000_000]
    spoilt = {
        "differs by": registered(wrong, name="wrong golden outputs"),
        "sha256": registered(cut, name="truncated", weights=half),
        "not finite": registered(with_a_nan(tmp_path / "nan", of=one), name="NaN"),
    }
    for words, checkpoint in spoilt.items():
        refused = checkpoints.deploy(checkpoint_id=checkpoint.pk, actor=TESTER)
        assert makers(ended(asked_for(image))) == maker(served), checkpoint.name
        refused.refresh_from_db()
        assert words in refused.swap_error, checkpoint.name
        assert refused.swaps.get().error == refused.swap_error
        back = checkpoints.rollback(actor=TESTER)
        assert back.checkpoint == served.checkpoint
        assert makers(ended(asked_for(image))) == maker(back)
        served = back
    assert worker.log.read_text().count("goes on serving") == len(spoilt)
    assert not Job.objects.filter(status=JobStatus.FAILED).exists()

    unchecked = registered(with_a_nan(tmp_path / "another", of=SHIPPED), name="NaN", verified=False)
    assert finished(Job.objects.get(key=f"verify-{unchecked.pk}")).status == JobStatus.DONE
    unchecked.refresh_from_db()
    assert unchecked.status == CheckpointStatus.REFUSED and "not finite" in unchecked.detail


def test_a_canary_makes_its_own_batches_and_when_it_does_not_load_what_serves_makes_them(
    image: Image, worker: RunningWorker, three: list[Path], tmp_path: Path
) -> None:
    shipped, one, two = three
    serving = deployed(shipped, name="serving")
    spoilt = registered(with_a_nan(tmp_path / "nan", of=two), name="NaN")
    bad = checkpoints.stage_canary(checkpoint_id=spoilt.pk, share=0.99, actor=TESTER)
    assert makers(ended(asked_for(image))) == maker(serving)
    bad.refresh_from_db()
    assert "not finite" in bad.swap_error
    checkpoints.abandon_canary(deployment_id=bad.pk, actor=TESTER)

    row = registered(one, name="canary")
    canary = checkpoints.stage_canary(checkpoint_id=row.pk, share=0.5, actor=TESTER)
    newest = CandidateBatch.objects.latest("pk").pk
    places = [place_of(newest + number, canary=canary) for number in (1, 2)]
    canary = checkpoints.set_canary_share(deployment_id=canary.pk, share=sum(places) / 2, actor=TESTER)
    batches = [ended(asked_for(image)) for _ in places]
    for batch in batches:
        is_its_own = belongs_to_canary(batch.pk, canary=canary)
        assert makers(batch) == maker(canary if is_its_own else serving)
    assert {belongs_to_canary(batch.pk, canary=canary) for batch in batches} == {True, False}

    promoted = checkpoints.promote_canary(deployment_id=canary.pk, actor=TESTER)
    before = WorkerSwap.objects.count()
    assert makers(ended(asked_for(image))) == maker(promoted)
    assert WorkerSwap.objects.count() == before, "what was loaded as a canary is not loaded again"
    back = checkpoints.rollback(actor=TESTER)
    assert makers(ended(asked_for(image))) == {(serving.checkpoint_id, back.generation)}


def assert_made_by_what_they_name(generations: list[Deployment], folders: dict[int, Path]) -> None:
    """One candidate of each generation is drawn again with what its row names, and has the same bytes."""
    torch.set_num_threads(slots.num_threads())
    pipelines = {pk: CandidatePipeline.load(folder) for pk, folder in folders.items()}
    for deployment in generations:
        candidate = Candidate.objects.filter(generation=deployment.generation).order_by("?")[0]
        assert candidate.checkpoint_id == deployment.checkpoint_id
        stored = blobs.get(candidate.latents_key)
        assert drawn_again(candidate, pipelines[candidate.checkpoint_id]) == stored, deployment
    others = [pipeline for pk, pipeline in pipelines.items() if pk != candidate.checkpoint_id]
    assert all(drawn_again(candidate, other) != stored for other in others), "any of them makes the same"


def drawn_again(candidate: Candidate, pipeline: CandidatePipeline) -> bytes:
    assert candidate.seed is not None
    request = model_input(
        candidate.target,
        seeds=(candidate.seed,),
        may_wait=False,
        settings=SamplerSettings.from_document(candidate.settings),
    )
    return pipeline.generate(request)[0].latents


def resident_bytes(worker: RunningWorker) -> int:
    """Of the worker's pool process, which does the work."""
    [child] = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
    lines = Path(f"/proc/{child}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
