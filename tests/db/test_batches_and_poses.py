"""Candidate batches up to READY, layout proposals, and the poses people submit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from engine.errors import BadInput, IllegalTransition, LeaseLost, NotFound, StaleTransition
from engine.models import (
    Alignment,
    AnnotationTask,
    Assignment,
    Candidate,
    Job,
    LayoutProposal,
    PointMap,
    Project,
)
from engine.selectors.tasks import PoseTask, task_payload
from engine.services import candidates, stage3
from engine.services.stage3 import PoseResult, submit_pose
from engine.states import AssignmentStatus, BatchStatus, Stage, TaskStatus
from modelzoo.contracts import Pose
from tests.factories import (
    NOW,
    POSE,
    TESTER,
    claim,
    make_batch,
    make_checkpoint,
    make_image,
    make_pose_task,
    make_ready_batch,
    make_target,
    new_candidates,
)
from tests.listening import Heard
from tests.people import People


class TestBatches:
    """A batch is READY with exactly as many candidates as asked, whatever runs twice."""

    def test_a_batch_becomes_ready_and_opens_one_pick_task(
        self, project: Project, heard: Heard, django_capture_on_commit_callbacks: Any
    ) -> None:
        checkpoint = make_checkpoint()
        batch = make_batch(make_target(make_image(project)))
        assert candidates.begin_batch(batch_id=batch.pk).status == BatchStatus.GENERATING
        with django_capture_on_commit_callbacks(execute=True):
            done = candidates.complete_batch(
                batch_id=batch.pk, candidates=new_candidates(batch, checkpoint=checkpoint), seconds=2.5
            )
        assert (done.status, done.num_candidates, done.seconds) == (BatchStatus.READY, 3, 2.5)
        made = list(Candidate.objects.filter(batch=batch).order_by("index"))
        assert [one.index for one in made] == [0, 1, 2]
        assert all(one.checkpoint_id == checkpoint.pk and one.seed == batch.seed + one.index for one in made)
        task = AnnotationTask.objects.get(stage=Stage.PICK)
        assert (task.batch_id, task.target_id, task.image_id) == (
            batch.pk,
            batch.target_id,
            batch.target.image_id,
        )
        assert {"type": "batch.changed", "id": str(batch.pk), "status": "READY"} in heard.all()
        assert {"type": "queue.changed", "stage": "pick"} in heard.all()

    def test_a_second_run_changes_nothing(self, project: Project) -> None:
        batch = make_ready_batch(make_target(make_image(project)))
        assert candidates.begin_batch(batch_id=batch.pk).status == BatchStatus.READY
        candidates.complete_batch(batch_id=batch.pk, candidates=new_candidates(batch), seconds=9.0)
        candidates.fail_batch(batch_id=batch.pk, detail="too late")
        batch.refresh_from_db()
        assert (batch.status, batch.seconds, batch.detail) == (BatchStatus.READY, 1.0, "")
        assert Candidate.objects.count() == 3 and AnnotationTask.objects.filter(stage=Stage.PICK).count() == 1

    @pytest.mark.parametrize("indices", [[0, 1], [0, 1, 2, 3], [0, 1, 1], [1, 2, 3]])
    def test_another_number_of_candidates_is_refused(self, project: Project, indices: list[int]) -> None:
        batch = make_batch(make_target(make_image(project)))
        made = [replace(new_candidates(batch)[0], index=index) for index in indices]
        with pytest.raises(BadInput, match="asks for 3"):
            candidates.complete_batch(batch_id=batch.pk, candidates=made, seconds=1.0)
        batch.refresh_from_db()
        assert batch.status == BatchStatus.REQUESTED and not Candidate.objects.exists()

    def test_a_candidate_of_ours_names_its_checkpoint(self, project: Project) -> None:
        batch = make_batch(make_target(make_image(project)))
        with pytest.raises(BadInput, match="checkpoint and its seed"):
            replace(new_candidates(batch)[0], source="candid8")

    def test_a_failed_batch_is_asked_for_again_with_a_new_job(self, project: Project) -> None:
        batch = make_batch(make_target(make_image(project)))
        candidates.begin_batch(batch_id=batch.pk)
        failed = candidates.fail_batch(batch_id=batch.pk, detail="out of memory")
        assert (failed.status, failed.detail) == (BatchStatus.FAILED, "out of memory")
        with pytest.raises(StaleTransition):
            candidates.complete_batch(batch_id=batch.pk, candidates=new_candidates(batch), seconds=1.0)
        for _ in range(2):
            again = candidates.retry_batch(batch_id=batch.pk, actor=TESTER)
            assert again.status == BatchStatus.REQUESTED and again.detail == ""
            candidates.fail_batch(batch_id=batch.pk, detail="again")
        assert Job.objects.filter(kind="generate_candidates", payload={"batch_id": batch.pk}).count() == 3

    def test_only_a_failed_batch_is_asked_for_again(self, project: Project) -> None:
        batch = make_ready_batch(make_target(make_image(project)))
        with pytest.raises(IllegalTransition):
            candidates.retry_batch(batch_id=batch.pk, actor=TESTER)

    def test_there_is_no_batch_without_a_row(self, db: None) -> None:
        with pytest.raises(NotFound):
            candidates.begin_batch(batch_id=1)


class TestProposals:
    """The model's layouts open the pose task."""

    def propose(self, candidate: Candidate, **changes: Any) -> LayoutProposal:
        values: dict[str, Any] = {
            "checkpoint_id": None,
            "source": "test",
            "pose": POSE,
            "mask_iou": 0.5,
            "fallbacks": [],
        }
        return stage3.record_layout_proposal(candidate_id=candidate.pk, **{**values, **changes})

    def test_a_proposal_opens_the_pose_task_once(self, project: Project) -> None:
        candidate = make_ready_batch(make_target(make_image(project))).candidates.get(index=0)
        first = self.propose(candidate, fallbacks=["no point map"])
        again = self.propose(candidate, pose=replace(POSE, scale=0.9))
        assert first.pk == again.pk and first.pose["scale"] == 0.5 and first.fallbacks == ["no point map"]
        task = AnnotationTask.objects.get(stage=Stage.POSE)
        assert (task.candidate_id, task.target_id) == (candidate.pk, candidate.target_id)

    def test_the_task_carries_the_newest_proposal(self, project: Project, people: People) -> None:
        candidate = make_ready_batch(make_target(make_image(project))).candidates.get(index=0)
        self.propose(candidate)
        self.propose(candidate, checkpoint_id=make_checkpoint().pk, pose=replace(POSE, scale=0.7))
        payload = task_payload(claim(people.ana.pk, project, Stage.POSE))
        assert isinstance(payload, PoseTask) and payload.proposal is not None
        assert payload.proposal.scale == 0.7 and payload.candidate.id == candidate.pk
        assert payload.point_cloud is not None and payload.point_cloud.unit == "m"
        assert payload.intrinsics is not None and payload.intrinsics.fx == 60.0
        assert (
            LayoutProposal.objects.count() == 2
            and AnnotationTask.objects.filter(stage=Stage.POSE).count() == 1
        )

    def test_a_photograph_whose_map_was_refused_has_no_cloud(self, project: Project, people: People) -> None:
        make_pose_task(project)
        PointMap.objects.update(status="REFUSED")
        payload = task_payload(claim(people.ana.pk, project, Stage.POSE))
        assert isinstance(payload, PoseTask) and payload.point_cloud is None and payload.intrinsics is None


class TestPoses:
    """Stage 3 submits."""

    @pytest.fixture
    def held(self, project: Project, people: People) -> Assignment:
        make_pose_task(project)
        return claim(people.ana.pk, project, Stage.POSE)

    def submit(self, held: Assignment, **changes: Any) -> dict[str, Any]:
        options = {name: changes.pop(name) for name in ("now", "key") if name in changes}
        result: dict[str, Any] = {
            "rotation_wxyz": [0.0, 1.0, 0.0, 0.0],
            "translation": [0.1, 0.2, 1.5],
            "scale": 0.4,
            "mask_iou": 0.8,
            "depth_residual": 0.01,
            "actions": {"rotate": 3},
        }
        values: dict[str, Any] = {
            "user_id": held.annotator_id,
            "assignment": held.uuid,
            "lease_token": held.lease_token,
            "key": "key-1",
            "seconds": 30.0,
            "now": NOW,
        }
        return submit_pose(result=PoseResult(**{**result, **changes}), **{**values, **options})

    def test_a_pose_becomes_an_alignment(
        self, held: Assignment, heard: Heard, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            answer = self.submit(held)
        alignment = Alignment.objects.get()
        assert answer == {"assignment": str(held.uuid), "status": "SUBMITTED", "alignment": alignment.pk}
        assert alignment.pose == {
            "rotation_wxyz": [0.0, 1.0, 0.0, 0.0],
            "translation": [0.1, 0.2, 1.5],
            "scale": 0.4,
            "unit": "m",
        }
        assert (alignment.candidate_id, alignment.approximate) == (held.task.candidate_id, False)
        assert alignment.proposal == LayoutProposal.objects.get() and alignment.actions == {"rotate": 3}
        held.refresh_from_db()
        assert (held.status, held.task.status) == (AssignmentStatus.SUBMITTED, TaskStatus.DONE)
        assert {"type": "assignment.changed", "id": str(held.uuid), "status": "SUBMITTED"} in heard.all()

    def test_an_alignment_to_an_estimated_map_says_so(self, held: Assignment) -> None:
        PointMap.objects.update(approximate=True, metric=False)
        self.submit(held)
        alignment = Alignment.objects.get()
        assert alignment.approximate and alignment.pose["unit"] == "pointmap"

    @pytest.mark.parametrize("symmetry", [0, 1, 2, 6])
    def test_the_declared_symmetry_is_kept_with_the_alignment(self, held: Assignment, symmetry: int) -> None:
        self.submit(held, symmetry=symmetry)
        assert Alignment.objects.get().symmetry == symmetry

    def test_a_repeat_gives_the_first_answer(self, held: Assignment) -> None:
        assert self.submit(held) == self.submit(held)
        assert Alignment.objects.count() == 1

    def test_a_late_pose_is_kept_as_a_draft(self, held: Assignment) -> None:
        with pytest.raises(LeaseLost):
            self.submit(held, now=NOW + timedelta(hours=1))
        held.refresh_from_db()
        assert (
            held.draft["unsent_result"]["translation"] == [0.1, 0.2, 1.5] and not Alignment.objects.exists()
        )

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"rotation_wxyz": [1.0, 0.0, 0.0]}, "four numbers"),
            ({"rotation_wxyz": [1.0, 1.0, 0.0, 0.0]}, "unit quaternion"),
            ({"rotation_wxyz": [float("nan"), 0.0, 0.0, 0.0]}, "unit quaternion"),
            ({"translation": [0.0, 1.0]}, "three numbers"),
            ({"translation": [0.0, float("inf"), 1.0]}, "finite"),
            ({"translation": [0.0, 0.0, -1.0]}, "in front of the camera"),
            ({"scale": 0.0}, "positive"),
            ({"scale": float("inf")}, "positive"),
            ({"mask_iou": 1.5}, "mask_iou"),
            ({"mask_iou": float("nan")}, "mask_iou"),
            ({"depth_residual": -1.0}, "depth_residual"),
            ({"actions": {"rotate": -1}}, "actions"),
            ({"symmetry": 7}, "symmetry"),
        ],
    )
    def test_what_is_no_pose_is_refused(self, held: Assignment, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(BadInput, match=words):
            self.submit(held, **changes)
        held.refresh_from_db()
        assert held.status == AssignmentStatus.LEASED and not Alignment.objects.exists()


class TestSnaps:
    """Snapping a pose to the scene's points on demand."""

    @pytest.fixture
    def held(self, project: Project, people: People) -> Assignment:
        make_pose_task(project)
        return claim(people.ana.pk, project, Stage.POSE)

    def ask(self, held: Assignment, *, now: datetime = NOW, **changes: Any) -> Job:
        pose: dict[str, Any] = {
            "rotation_wxyz": [0.0, 1.0, 0.0, 0.0],
            "translation": [0.1, 0.2, 1.5],
            "scale": 0.4,
        }
        return stage3.request_snap(
            user_id=held.annotator_id,
            assignment=held.uuid,
            lease_token=held.lease_token,
            pose=PoseResult(**{**pose, **changes}),
            with_scale=True,
            now=now,
        )

    def test_a_snap_is_a_job_for_those_who_wait(self, held: Assignment) -> None:
        job = self.ask(held)
        assert (job.kind, job.queue, job.project_id) == ("snap_pose", "interactive", held.project_id)
        assert job.payload == {
            "candidate_id": held.task.candidate_id,
            "pose": {
                "rotation_wxyz": [0.0, 1.0, 0.0, 0.0],
                "translation": [0.1, 0.2, 1.5],
                "scale": 0.4,
                "unit": "m",
            },
            "with_scale": True,
        }
        held.refresh_from_db()
        assert held.status == AssignmentStatus.LEASED and not Alignment.objects.exists()

    def test_an_estimated_map_is_not_snapped_to(self, held: Assignment) -> None:
        PointMap.objects.update(approximate=True)
        with pytest.raises(BadInput, match="only estimated") as refused:
            self.ask(held)
        assert refused.value.code == "points_approximate" and not Job.objects.filter(kind="snap_pose")

    def test_a_photograph_without_points_cannot_be_snapped_to(self, held: Assignment) -> None:
        PointMap.objects.update(status="REFUSED")
        with pytest.raises(BadInput, match="no points") as refused:
            self.ask(held)
        assert refused.value.code == "no_points"

    def test_a_lost_lease_or_a_bad_pose_asks_nobody(self, held: Assignment) -> None:
        with pytest.raises(LeaseLost):
            self.ask(held, now=NOW + timedelta(hours=1))
        with pytest.raises(BadInput, match="positive"):
            self.ask(held, scale=0.0)
        assert not Job.objects.filter(kind="snap_pose").exists()


def test_a_pose_is_stored_as_plain_numbers() -> None:
    pose = Pose(rotation_wxyz=(1.0, 0.0, 0.0, 0.0), translation=(0.0, 0.0, 1.0), scale=2.0, unit="m")
    assert stage3.pose_json(pose) == {
        "rotation_wxyz": [1.0, 0.0, 0.0, 0.0],
        "translation": [0.0, 0.0, 1.0],
        "scale": 2.0,
        "unit": "m",
    }


def test_a_batch_is_asked_for_in_the_callers_transaction(project: Project) -> None:
    target = make_target(make_image(project))
    with transaction.atomic():
        make_batch(target)
        transaction.set_rollback(True)
    assert not target.batches.exists() and not Job.objects.filter(kind="generate_candidates").exists()
