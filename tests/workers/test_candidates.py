"""Generation by real workers: eight candidates whatever dies, each naming the checkpoint that truly made it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import transaction

from engine import blobs, jobs
from engine.models import (
    AnnotationTask,
    Candidate,
    CandidateBatch,
    Deployment,
    Image,
    Job,
    LayoutProposal,
    PointMap,
    Project,
)
from engine.services import checkpoints
from engine.states import BatchStatus, CheckpointStatus, JobStatus, PointMapStatus, Stage
from tests.batches import asked_for, ended
from tests.factories import TESTER
from tests.pictures import photographed_disc
from tests.running_worker import RunningWorker, finished, running_worker, wait_until
from tests.untrained import deployed, registered, untrained_checkpoint
from workers import mesh_files
from workers.point_cloud import decoded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("first"), seed=0)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("second"), seed=1)


@pytest.fixture
def image(project: Project) -> Image:
    with transaction.atomic():
        return photographed_disc(project)


def test_a_worker_killed_while_it_generates_leaves_a_batch_that_ends_with_exactly_eight(
    image: Image, first: Path, tmp_path: Path
) -> None:
    deployed(first, name="first")
    batch = asked_for(image)

    def is_generating() -> bool:
        batch.refresh_from_db()
        return batch.status == BatchStatus.GENERATING

    with running_worker(tmp_path / "doomed", lease_s=3) as doomed:
        wait_until(is_generating, what="a worker to begin the batch")
        doomed.kill()
    batch.refresh_from_db()
    assert batch.status == BatchStatus.GENERATING and not batch.candidates.exists()

    with running_worker(tmp_path / "next", lease_s=3):
        ended(batch)
    made = list(batch.candidates.order_by("index"))
    assert [one.index for one in made] == list(range(8))
    assert [one.seed for one in made] == [batch.seed + index for index in range(8)]
    assert AnnotationTask.objects.filter(stage=Stage.PICK, batch=batch).count() == 1
    assert Job.objects.get(key=f"batch-{batch.pk}").attempts >= 2


def test_a_promoted_checkpoint_makes_the_next_batch_and_a_spoilt_one_never_serves(
    image: Image, worker: RunningWorker, first: Path, second: Path, tmp_path: Path
) -> None:
    one = deployed(first, name="first")
    earlier = ended(asked_for(image))
    assert makers(earlier) == {(one.checkpoint_id, one.generation)}
    assert PointMap.objects.get(image=image).status == PointMapStatus.READY

    two = deployed(second, name="second")
    later = ended(asked_for(image))
    assert makers(later) == {(two.checkpoint_id, two.generation)}
    assert makers(earlier) == {(one.checkpoint_id, one.generation)}

    spoilt = registered(
        untrained_checkpoint(tmp_path / "third", seed=2), name="spoilt", weights=b"only the beginning"
    )
    three = checkpoints.deploy(checkpoint_id=spoilt.pk, actor=TESTER)
    last = ended(asked_for(image))
    assert makers(last) == {(two.checkpoint_id, two.generation)}
    assert "sha256" in Deployment.objects.get(pk=three.pk).swap_error
    assert "goes on serving" in worker.log.read_text()

    candidate = last.candidates.order_by("index")[0]
    assert_files_are_whole(candidate)
    assert_layout_is_proposed(candidate)


def test_a_point_map_file_becomes_a_metric_point_map_and_a_cloud(image: Image, worker: RunningWorker) -> None:
    assert finished(Job.objects.get(kind="read_point_map")).status == JobStatus.DONE
    row = PointMap.objects.get(image=image)
    assert (row.status, row.metric, row.approximate) == (PointMapStatus.READY, True, False)
    cloud = decoded(blobs.get(row.cloud_key))
    assert len(cloud.points) == row.num_points > 1000
    assert 2.0 < cloud.points[:, 2].min() < cloud.points[:, 2].max() < 3.1


def test_a_checkpoint_whose_weights_are_not_its_own_is_refused_by_the_worker(
    project: Project, worker: RunningWorker, first: Path
) -> None:
    row = registered(first, name="spoilt", weights=b"other bytes", verified=False)
    assert finished(Job.objects.get(key=f"verify-{row.pk}")).status == JobStatus.DONE
    row.refresh_from_db()
    assert row.status == CheckpointStatus.REFUSED
    assert "sha256" in row.detail


def makers(batch: CandidateBatch) -> set[tuple[int, int]]:
    return set(batch.candidates.values_list("checkpoint_id", "generation"))


def assert_files_are_whole(candidate: Candidate) -> None:
    shape = mesh_files.shape_from_glb(blobs.get(candidate.mesh_key))
    assert len(shape.faces) and abs(shape.vertices).max() <= 0.51
    preview = blobs.get(candidate.preview_key)
    assert preview.startswith(b"glTF") and b"EXT_meshopt_compression" in preview
    assert blobs.get(candidate.splat_key).startswith(b"ply\n")
    assert candidate.pose["unit"] == "m"


def assert_layout_is_proposed(own: Candidate) -> None:
    """The pose a candidate came with; for one that came without, the best that what serves draws for it."""
    artists = Candidate.objects.create(
        project=own.project,
        target=own.target,
        index=0,
        source="artist",
        mesh_key=own.mesh_key,
        preview_key=own.preview_key,
    )
    for candidate, fallbacks in ((own, []), (artists, ["shape_encoded_from_mesh"])):
        job = jobs.enqueue(
            kind="propose_layout",
            key=f"layout-{candidate.pk}",
            payload={"candidate_id": candidate.pk},
            project_id=candidate.project_id,
        )
        assert finished(job).status == JobStatus.DONE, job.error
        proposal = LayoutProposal.objects.get(candidate=candidate)
        assert proposal.source == "candid8" and 0 <= proposal.mask_iou <= 1
        assert (proposal.checkpoint_id, proposal.fallbacks) == (own.checkpoint_id, fallbacks)
        assert (proposal.pose == own.pose) == (candidate == own)
        assert AnnotationTask.objects.filter(stage=Stage.POSE, candidate=candidate).count() == 1
