"""Many people at one queue, on real connections: no slot twice, none lost, and every slot accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from engine.errors import LeaseLost, StaleTransition
from engine.models import AnnotationTask, Assignment, MaskEdit, Project, StateChange
from engine.selectors.queues import NothingToClaim
from engine.services import leases
from engine.services.projects import add_member
from engine.services.stage1 import submit_object
from engine.states import Role, Stage, TaskStatus
from tests.factories import NOW, make_bare_images, make_project
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)

NUM_THREADS = 6
LATER = NOW + timedelta(hours=1)


def together(work: Callable[[int], Any], how_many: int = NUM_THREADS) -> list[Any]:
    """Runs ``work(0..)`` in as many threads, each with a connection of its own."""

    def run(number: int) -> Any:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(how_many) as pool:
        return list(pool.map(run, range(how_many)))


@pytest.fixture
def project() -> Project:
    made = make_project()
    for number in range(NUM_THREADS):
        add_member(project_id=made.pk, user_id=person(f"worker{number}").pk, role=Role.ANNOTATOR)
    return made


def take(project: Project, user_id: int, **options: Any) -> Assignment | NothingToClaim:
    values: dict[str, Any] = {"stage": Stage.OBJECT, "now": NOW}
    return leases.claim(user_id=user_id, project_id=project.pk, **{**values, **options})


def discard(held: Assignment, *, now: Any = NOW) -> None:
    submit_object(
        user_id=held.annotator_id,
        assignment=held.uuid,
        lease_token=held.lease_token,
        key=str(held.uuid),
        seconds=1.0,
        targets=[],
        discard="nothing here",
        now=now,
    )


def slots_add_up() -> bool:
    """Of every open task: free slots, live leases and judgements make the overlap."""
    live = Counter(Assignment.objects.filter(status="LEASED").values_list("task_id", flat=True))
    return all(
        task.open_slots + live[task.pk] + task.num_judgements == task.overlap
        for task in AnnotationTask.objects.filter(status=TaskStatus.OPEN)
    )


def test_all_work_is_done_once_by_somebody(project: Project) -> None:
    make_bare_images(project, how_many=24)

    def work(number: int) -> int:
        user, done = person(f"worker{number}"), 0
        for _ in range(400):
            held = take(project, user.pk)
            if isinstance(held, NothingToClaim):
                if held.reason == "empty":
                    return done
                continue
            discard(held)
            done += 1
        raise AssertionError("the queue never became empty")

    done = together(work)
    assert sum(done) == 24
    assert set(Counter(MaskEdit.objects.values_list("assignment__task", flat=True)).values()) == {1}
    assert not AnnotationTask.objects.exclude(status=TaskStatus.DONE).exists()
    assert not AnnotationTask.objects.exclude(open_slots=0).exists()


def test_overlapping_work_is_done_by_as_many_people_as_asked(project: Project) -> None:
    make_bare_images(project, how_many=6)
    AnnotationTask.objects.update(overlap=3, open_slots=3)

    def work(number: int) -> None:
        user = person(f"worker{number}")
        for _ in range(400):
            held = take(project, user.pk)
            if isinstance(held, NothingToClaim):
                if held.reason == "empty":
                    return
                continue
            discard(held)

    together(work)
    pairs = list(MaskEdit.objects.values_list("assignment__task", "assignment__annotator"))
    assert len(pairs) == len(set(pairs)) == 18
    assert set(Counter(task for task, _ in pairs).values()) == {3}
    assert not AnnotationTask.objects.exclude(status=TaskStatus.DONE, num_judgements=F("overlap")).exists()


def test_one_person_in_many_windows_holds_one_lease(project: Project) -> None:
    make_bare_images(project, how_many=20)
    user = person("worker0")
    held = together(lambda number: take(project, user.pk, prefetch=number % 2 == 1))
    assert len({one.pk for one in held}) == 2
    assert sorted(Assignment.objects.values_list("prefetched", flat=True)) == [False, True]
    assert slots_add_up()


def test_one_submit_sent_from_many_windows_is_one(project: Project) -> None:
    make_bare_images(project, how_many=1)
    held = take(project, person("worker0").pk)
    assert isinstance(held, Assignment)
    together(lambda number: discard(held))
    assert MaskEdit.objects.count() == 1
    assert StateChange.objects.filter(model="assignment", new="SUBMITTED").count() == 1


def test_claims_submits_releases_and_sweeps_leave_no_slot_lost(project: Project) -> None:
    make_bare_images(project, how_many=12)
    AnnotationTask.objects.update(overlap=2, open_slots=2)

    def work(number: int) -> None:
        user, draw = person(f"worker{number}"), random.Random(number)
        for _ in range(8):
            now = draw.choice([NOW, NOW, LATER])
            held = take(project, user.pk, now=now, prefetch=draw.random() < 0.3)
            if isinstance(held, NothingToClaim):
                continue
            own = {"user_id": user.pk, "assignment": held.uuid, "lease_token": held.lease_token, "now": now}
            try:
                match draw.randrange(5):
                    case 0:
                        leases.release(**own)
                    case 1:
                        leases.skip(reason="blurred", **own)
                    case 2:
                        discard(held, now=now)
                    case 3:
                        leases.expire_leases(now=now)
                    case _:
                        leases.heartbeat(**own)
            except (LeaseLost, StaleTransition):
                continue  # somebody else's sweep with the later clock was faster

    together(work)
    assert slots_add_up()
    live = Assignment.objects.filter(status="LEASED").count()
    assert leases.expire_leases(now=LATER + timedelta(days=1)) == live
    assert slots_add_up() and not Assignment.objects.filter(status="LEASED").exists()
    for one in Assignment.objects.all():
        journal = StateChange.objects.filter(model="assignment", object_id=one.pk).order_by("id")
        statuses = [""] + [change.new for change in journal]
        assert [change.old for change in journal] == statuses[:-1] and statuses[-1] == one.status
