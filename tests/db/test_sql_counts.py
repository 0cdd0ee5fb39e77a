"""How many statements the hot paths cost: few, and the same however much work and however many people there are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from engine.models import Assignment, Job, Project
from engine.selectors.queues import NothingToClaim
from engine.selectors.tasks import PickTask, task_payload
from engine.services import images, leases
from engine.services.projects import add_member
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PairJudged, PickResult, escalate_pick, submit_pick
from engine.services.stage3 import PoseResult, submit_pose
from engine.states import Role, Stage
from tests.factories import (
    NOW,
    claim,
    make_bare_images,
    make_image,
    make_pick_task,
    make_pose_task,
    mask_bytes,
)
from tests.listening import counted_sql
from tests.people import People, person

#: Of the 6 and 10 of a request one is left for the user's row.
CLAIM_LIMIT, SUBMIT_LIMIT = 5, 9
LATER = NOW + timedelta(hours=1)


def claim_cost(user_id: int, project: Project, stage: Stage, **options: Any) -> int:
    """Statements of a claim with its payload."""
    with counted_sql() as statements:
        task_payload(claim(user_id, project, stage, **options))
    return len(statements)


@pytest.mark.parametrize(
    ("stage", "make"),
    [(Stage.OBJECT, make_image), (Stage.PICK, make_pick_task), (Stage.POSE, make_pose_task)],
)
def test_a_claim_with_its_task_costs_little(
    project: Project, people: People, stage: Stage, make: Any
) -> None:
    make(project)
    make(project)
    first = claim_cost(people.ana.pk, project, stage)
    prefetched = claim_cost(people.ana.pk, project, stage, prefetch=True)
    again = claim_cost(people.ana.pk, project, stage)
    after_expiry = claim_cost(people.ana.pk, project, stage, now=LATER)
    assert max(first, prefetched, again, after_expiry) <= CLAIM_LIMIT, (
        first,
        prefetched,
        again,
        after_expiry,
    )


def test_taking_a_task_is_one_statement(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    with counted_sql() as statements:
        claim(people.ana.pk, project, Stage.OBJECT)
    [taking] = [sql for sql in statements if "SKIP LOCKED" in sql]
    assert len(statements) == 2
    assert "t.status = 'OPEN'" in taking and "engine_statechange" in taking and "open_slots - 1" in taking


def test_taking_a_task_reads_the_head_of_the_queue_alone(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO engine_annotationtask "
            "(project_id, stage, image_id, status, priority, open_slots, num_judgements, overlap, created_at) "
            "SELECT project_id, stage, image_id, "
            "CASE WHEN n % 2 = 0 THEN 'OPEN' ELSE 'DONE' END, n % 5, 1, 0, 1, now() "
            "FROM engine_annotationtask, generate_series(1, 5000) n"
        )
        cursor.execute("ANALYZE engine_annotationtask")
        with counted_sql() as statements:
            claim(people.ana.pk, project, Stage.OBJECT)
        [taking] = [sql for sql in statements if "SKIP LOCKED" in sql]
        cursor.execute(f"EXPLAIN {taking}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Scan using task_next_open" in plan and "Sort" not in plan, plan


def test_a_claim_costs_the_same_with_more_work_and_more_people(project: Project, people: People) -> None:
    make_bare_images(project, how_many=5)
    few = claim_cost(people.ana.pk, project, Stage.OBJECT)
    held = Assignment.objects.get()
    leases.release(user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW)
    make_bare_images(project, how_many=200)
    for number in range(20):
        worker = person(f"worker{number}")
        add_member(project_id=project.pk, user_id=worker.pk, role=Role.ANNOTATOR)
        claim(worker.pk, project, Stage.OBJECT)
    assert claim_cost(people.ana.pk, project, Stage.OBJECT) == few


def test_finding_nothing_costs_three(project: Project, people: People) -> None:
    with counted_sql() as statements:
        answer = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.POSE, now=NOW)
    assert isinstance(answer, NothingToClaim) and len(statements) <= 3


def submission(held: Assignment) -> dict[str, Any]:
    return {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": "key-1",
        "seconds": 1.0,
        "now": NOW,
    }


class TestSubmits:
    """With what runs after the commit: the job's message is noted in its row."""

    @pytest.mark.parametrize("num_targets", [1, 4])
    def test_objects(
        self, project: Project, people: People, num_targets: int, django_capture_on_commit_callbacks: Any
    ) -> None:
        image = make_image(project)
        proposed = images.propose_target(image_id=image.pk, mask_png=mask_bytes())
        held = claim(people.ana.pk, project, Stage.OBJECT)
        targets = [
            ObjectChoice(
                mask_png=mask_bytes(box=(5 + number, 5, 40, 30)),
                label="mug",
                taxonomy_key="mug",
                proposal_id=None if number else proposed.pk,
            )
            for number in range(num_targets)
        ]
        with counted_sql() as statements, django_capture_on_commit_callbacks(execute=True):
            submit_object(targets=targets, discard=None, **submission(held))
        assert Job.objects.filter(kind="generate_candidates", status="SENT").count() == num_targets
        assert len(statements) <= SUBMIT_LIMIT, "\n".join(statements)

    def test_a_pick(self, project: Project, people: People, django_capture_on_commit_callbacks: Any) -> None:
        make_pick_task(project)
        held = claim(people.ana.pk, project, Stage.PICK)
        payload = task_payload(held)
        assert isinstance(payload, PickTask)
        a, b, c = (one.id for one in payload.candidates)
        pairs = [PairJudged(left=a, right=b, outcome="left"), PairJudged(left=a, right=c, outcome="left")]
        result = PickResult(winner=a, mode="king", shape_rating=5, texture_rating=5, comparisons=pairs)
        with counted_sql() as statements, django_capture_on_commit_callbacks(execute=True):
            assert submit_pick(result=result, **submission(held))["layout_requested"]
        assert len(statements) <= SUBMIT_LIMIT, "\n".join(statements)

    def test_an_escalation(
        self, project: Project, people: People, django_capture_on_commit_callbacks: Any
    ) -> None:
        make_pick_task(project)
        held = claim(people.ana.pk, project, Stage.PICK)
        with counted_sql() as statements, django_capture_on_commit_callbacks(execute=True):
            escalate_pick(
                user_id=people.ana.pk,
                assignment=held.uuid,
                lease_token=held.lease_token,
                reason="none_good",
                note="",
                now=NOW,
            )
        assert len(statements) <= SUBMIT_LIMIT, "\n".join(statements)

    def test_a_pose(self, project: Project, people: People, django_capture_on_commit_callbacks: Any) -> None:
        make_pose_task(project)
        held = claim(people.ana.pk, project, Stage.POSE)
        result = PoseResult(rotation_wxyz=[1.0, 0.0, 0.0, 0.0], translation=[0.0, 0.0, 1.0], scale=1.0)
        with counted_sql() as statements, django_capture_on_commit_callbacks(execute=True):
            submit_pose(result=result, **submission(held))
        assert len(statements) <= SUBMIT_LIMIT, "\n".join(statements)
