"""Whatever is delivered twice, late or to two workers at once changes nothing more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import models, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine import jobs
from engine import models as rows
from engine.models import ArtistCase, CandidateBatch, Image, Job, Project
from engine.services import artists, candidates, images, stage3
from engine.services.new_candidate import NewCandidate
from engine.states import JobStatus
from tests.factories import (
    CAMERA,
    NOW,
    POSE,
    make_image,
    make_project,
    make_ready_batch,
    make_target,
    new_candidates,
)
from tests.listening import listening_to

ARTISTS_MESH = NewCandidate(index=0, source="artist", mesh_key="aa/a.glb", preview_key="aa/b.glb")


def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Every row there is."""
    tables: list[type[models.Model]] = [getattr(rows, name) for name in rows.__all__]
    return {table.__name__: list(table._default_manager.order_by("pk").values()) for table in tables}


class Done:
    """A project where one job of each kind has just ended well, and what would deliver each of them again."""

    def __init__(self) -> None:
        self.project = make_project()
        self.image: Image = make_image(self.project)
        self.batch: CandidateBatch = make_ready_batch(make_target(self.image))
        self.candidate = self.batch.candidates.get(index=0)
        self.propose(scale=0.5)
        target = make_target(self.image)
        self.case = ArtistCase.objects.create(
            project=self.project, target=target, reason="none_good", status="UPLOADED", upload_key="aa/up.glb"
        )
        artists.accept_case(case_id=self.case.pk, candidate=ARTISTS_MESH, report={})

    def propose(self, *, scale: float) -> None:
        stage3.record_layout_proposal(
            candidate_id=self.candidate.pk,
            checkpoint_id=None,
            source="test",
            pose=POSE,
            mask_iou=scale,
            fallbacks=[],
        )

    def again(self) -> dict[str, Callable[[], object]]:
        batch, image, case = self.batch.pk, self.image.pk, self.case.pk
        return {
            "generate: begin": lambda: candidates.begin_batch(batch_id=batch),
            "generate: complete": lambda: candidates.complete_batch(
                batch_id=batch, candidates=new_candidates(self.batch), seconds=9.0
            ),
            "generate: fail": lambda: candidates.fail_batch(batch_id=batch, detail="the other worker died"),
            "layout": lambda: self.propose(scale=0.9),
            "point map": lambda: images.record_point_map(
                image_id=image,
                npz_key="bb/late.npz",
                cloud_key="",
                num_points=1,
                intrinsics=CAMERA,
                source="late",
                approximate=True,
                metric=False,
            ),
            "point map: refuse": lambda: images.refuse_point_map(image_id=image, detail="late"),
            "mesh: accept": lambda: artists.accept_case(
                case_id=case, candidate=ARTISTS_MESH, report={"late": True}
            ),
            "mesh: send back": lambda: artists.send_back(case_id=case, report={"late": True}),
        }


@pytest.mark.django_db
def test_redelivering_any_job_changes_no_row() -> None:
    done = Done()
    deliveries = done.again()
    before = snapshot()

    @settings(max_examples=8)
    @given(names=st.lists(st.sampled_from(sorted(deliveries)), min_size=3, max_size=10))
    def redeliver(names: list[str]) -> None:
        with transaction.atomic():
            for name in names:
                deliveries[name]()
            after = snapshot()
            transaction.set_rollback(True)
        assert after == before

    redeliver()
    for name, deliver in deliveries.items():
        deliver()
        assert snapshot() == before, name


class OutboxWalk(RuleBasedStateMachine):
    """Workers take, keep, finish and lose one job while the sweep runs and time passes."""

    project: Project

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.job = jobs.enqueue(
            kind="refine_mask", key=f"walk-{Job.objects.count()}", payload={}, project_id=self.project.pk
        )
        self.holds: list[jobs.Hold] = []
        self.ends = 0

    def row(self) -> Job:
        return Job.objects.get(pk=self.job.pk)

    @rule(seconds=st.sampled_from([1, 10, 30, 100]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def the_same_work_is_asked_for_again(self) -> None:
        again = jobs.enqueue(
            kind="refine_mask", key=self.job.key, payload={"other": 1}, project_id=self.project.pk
        )
        assert again.pk == self.job.pk

    @rule()
    def a_message_arrives(self) -> None:
        before = self.row()
        hold = jobs.take(self.job.pk, now=self.now)
        free = before.lease_until is None or before.lease_until < self.now
        if hold is None:
            assert not free or before.status in (JobStatus.DONE, JobStatus.FAILED) or before.attempts >= 5
            return
        assert free and before.status in (JobStatus.PENDING, JobStatus.SENT)
        assert hold.attempt == before.attempts + 1 == self.row().attempts
        self.holds.append(hold)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def a_worker_speaks(self, data: st.DataObject) -> None:
        hold = data.draw(st.sampled_from(self.holds))
        before = self.row()
        owns = hold.attempt == before.attempts and before.status in (JobStatus.PENDING, JobStatus.SENT)
        match data.draw(st.sampled_from(["renew", "finish", "give up", "later"])):
            case "renew":
                assert jobs.renew(hold, now=self.now) is owns
            case "finish":
                assert jobs.finish(hold, result={"by": hold.attempt}) is owns
                self.ends += owns
            case "give up":
                assert jobs.give_up(hold, error="broken") is owns
                self.ends += owns
            case _:
                assert jobs.retry_later(hold, error="busy", now=self.now, delay=timedelta(seconds=5)) is owns

    @rule()
    def the_sweep_runs(self) -> None:
        before = self.row()
        jobs.sweep(now=self.now)
        after = self.row()
        if before.lease_until is not None and before.lease_until >= self.now:
            assert after.attempts == before.attempts and after.status == before.status

    @invariant()
    def it_ends_once_and_stays_ended(self) -> None:
        row = self.row()
        assert self.ends <= 1
        if self.ends:
            assert row.status in (JobStatus.DONE, JobStatus.FAILED) and row.lease_until is None


@pytest.mark.django_db
def test_a_job_ends_once_whoever_takes_it_how_often() -> None:
    project = make_project()
    with listening_to(project.pk):
        walk = type("Walk", (OutboxWalk,), {"project": project})
        run_state_machine_as_test(walk, settings=settings(max_examples=12, stateful_step_count=12))


@pytest.mark.django_db
def test_a_job_that_kills_its_workers_is_given_up() -> None:
    project = make_project()
    job = jobs.enqueue(kind="refine_mask", key="killer", payload={}, project_id=project.pk)
    now = NOW
    for _ in range(5):
        assert jobs.take(job.pk, now=now) is not None
        assert jobs.take(job.pk, now=now) is None, "somebody has it"
        now += timedelta(minutes=1)
    assert jobs.take(job.pk, now=now) is None
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED and "5 attempts" in job.error


@pytest.mark.django_db
def test_a_job_that_was_never_sent_is_sent_by_the_sweep() -> None:
    project = make_project()
    job = jobs.enqueue(kind="refine_mask", key="lost", payload={}, project_id=project.pk)
    with listening_to(project.pk):
        assert jobs.sweep(now=job.created_at + timedelta(seconds=1)) == 0
        assert jobs.sweep(now=job.created_at + timedelta(seconds=10)) == 1
        assert jobs.sweep(now=job.created_at + timedelta(seconds=11)) == 0
        job.refresh_from_db()
        assert job.status == JobStatus.SENT and job.sent_at is not None
        assert jobs.sweep(now=job.sent_at + jobs.LOST_AFTER + timedelta(seconds=1)) == 1


@pytest.mark.django_db
def test_what_is_rolled_back_was_never_asked_for() -> None:
    project = make_project()
    with transaction.atomic():
        jobs.enqueue(kind="refine_mask", key="undone", payload={}, project_id=project.pk)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
