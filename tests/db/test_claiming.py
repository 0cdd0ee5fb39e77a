"""Claims: who gets which work, under which lease, and what a repeat, a release or an expiry does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from engine.errors import BadInput, DraftConflict, LeaseLost, NotFound
from engine.models import AnnotationTask, Assignment, Project, StateChange
from engine.selectors.queues import NothingToClaim, queue_depths
from engine.services import leases
from engine.states import AssignmentStatus, Stage, TaskStatus
from tests.factories import NOW, claim, make_bare_images, make_project
from tests.listening import Heard
from tests.people import People, people_of

LATER = NOW + timedelta(hours=1)


def journal_of(assignment: Assignment) -> list[tuple[str, str]]:
    return list(
        StateChange.objects.filter(model="assignment", object_id=assignment.pk)
        .order_by("id")
        .values_list("old", "new")
    )


def try_claim(people: People, name: str, project: Project, **options: Any) -> Assignment | NothingToClaim:
    user = getattr(people, name)
    return leases.claim(
        user_id=user.pk, project_id=project.pk, **{"stage": Stage.OBJECT, "now": NOW, **options}
    )


def test_a_claim_leases_the_first_task_and_says_so(
    project: Project, people: People, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    make_bare_images(project, how_many=2)
    with django_capture_on_commit_callbacks(execute=True):
        held = claim(people.ana.pk, project, Stage.OBJECT)
    first = AnnotationTask.objects.order_by("id")[0]
    assert held.task_id == first.pk and held.status == AssignmentStatus.LEASED and not held.prefetched
    assert held.expires_at == NOW + timedelta(seconds=project.lease_seconds)
    assert first.open_slots == 0
    assert journal_of(held) == [("", "LEASED")]
    assert {"type": "assignment.changed", "id": str(held.uuid), "status": "LEASED"} in heard.all()
    assert {"type": "queue.changed", "stage": "object"} in heard.all()


def test_a_repeated_claim_gives_the_same_lease(project: Project, people: People) -> None:
    make_bare_images(project, how_many=2)
    first = claim(people.ana.pk, project, Stage.OBJECT)
    again = claim(people.ana.pk, project, Stage.OBJECT, now=NOW + timedelta(seconds=5))
    assert (again.pk, again.lease_token, again.expires_at) == (first.pk, first.lease_token, first.expires_at)
    assert journal_of(first) == [("", "LEASED")]


def test_higher_priority_goes_first_and_then_the_older_task(project: Project, people: People) -> None:
    make_bare_images(project, how_many=3)
    oldest, _, newest = AnnotationTask.objects.order_by("id")
    AnnotationTask.objects.filter(pk=newest.pk).update(priority=5)
    assert claim(people.ana.pk, project, Stage.OBJECT).task_id == newest.pk
    assert claim(people.bob.pk, project, Stage.OBJECT).task_id == oldest.pk


def test_two_people_never_get_the_same_slot(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    claim(people.ana.pk, project, Stage.OBJECT)
    assert try_claim(people, "bob", project) == NothingToClaim(reason="all_leased", retry_after_s=5)


def test_an_empty_queue_says_empty(project: Project, people: People) -> None:
    answer = try_claim(people, "ana", project)
    assert isinstance(answer, NothingToClaim) and answer.reason == "empty"


def test_a_paused_project_says_paused(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    Project.objects.update(paused=True)
    answer = try_claim(people, "ana", project)
    assert isinstance(answer, NothingToClaim) and answer.reason == "paused"


def test_an_artist_is_not_qualified_but_a_lead_is(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    answer = try_claim(people, "art", project)
    assert isinstance(answer, NothingToClaim) and answer.reason == "not_qualified"
    assert isinstance(try_claim(people, "lea", project), Assignment)


def test_eve_learns_nothing_of_the_project(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    with pytest.raises(NotFound):
        try_claim(people, "eve", project)
    assert not Assignment.objects.exists()


def test_overlap_gives_one_task_to_several_people_but_twice_to_none(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    AnnotationTask.objects.update(overlap=2, open_slots=2)
    one, two = claim(people.ana.pk, project, Stage.OBJECT), claim(people.bob.pk, project, Stage.OBJECT)
    assert one.task_id == two.task_id and AnnotationTask.objects.get().open_slots == 0
    assert isinstance(try_claim(people, "ana", project, prefetch=True), NothingToClaim)


def test_a_lease_in_one_project_does_not_bar_another(project: Project, people: People) -> None:
    other = make_project("shelf")
    people_of(other)
    make_bare_images(project, how_many=1)
    make_bare_images(other, how_many=1)
    here, there = claim(people.ana.pk, project, Stage.OBJECT), claim(people.ana.pk, other, Stage.OBJECT)
    assert here.pk != there.pk


def test_released_work_comes_back_to_the_same_row_with_its_draft(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    leases.save_draft(
        user_id=people.ana.pk,
        assignment=held.uuid,
        lease_token=held.lease_token,
        draft={"a": 1},
        version=0,
        now=NOW,
    )
    let_go = leases.release(
        user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW
    )
    assert let_go.status == AssignmentStatus.RELEASED and AnnotationTask.objects.get().open_slots == 1
    again = claim(people.ana.pk, project, Stage.OBJECT)
    assert again.pk == held.pk and again.draft == {"a": 1} and again.lease_token != held.lease_token
    assert again.ended_at is None
    assert journal_of(held) == [("", "LEASED"), ("LEASED", "RELEASED"), ("RELEASED", "LEASED")]


def test_skipped_work_is_never_offered_to_the_same_person_again(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    skipped = leases.skip(
        user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, reason="blurred", now=NOW
    )
    assert (skipped.status, skipped.reason) == (AssignmentStatus.SKIPPED, "blurred")
    answer = try_claim(people, "ana", project)
    assert isinstance(answer, NothingToClaim) and answer.reason == "empty"
    assert claim(people.bob.pk, project, Stage.OBJECT).task_id == held.task_id


@pytest.mark.parametrize("verb", ["release", "skip"])
def test_letting_go_twice_is_once(project: Project, people: People, verb: str) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    more: dict[str, Any] = {"reason": "blurred"} if verb == "skip" else {}
    for _ in range(2):
        ended = getattr(leases, verb)(
            user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW, **more
        )
    assert ended.status in (AssignmentStatus.RELEASED, AssignmentStatus.SKIPPED)
    assert AnnotationTask.objects.get().open_slots == 1
    assert len(journal_of(held)) == 2


def test_letting_go_needs_the_live_lease(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    with pytest.raises(LeaseLost):
        leases.release(user_id=people.ana.pk, assignment=held.uuid, lease_token=uuid4(), now=NOW)
    with pytest.raises(LeaseLost):
        leases.release(user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=LATER)
    with pytest.raises(NotFound):
        leases.release(user_id=people.bob.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW)
    held.refresh_from_db()
    assert held.status == AssignmentStatus.LEASED


def test_a_heartbeat_moves_the_end_away(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    soon = NOW + timedelta(seconds=60)
    end = leases.heartbeat(
        user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=soon
    )
    held.refresh_from_db()
    assert end == held.expires_at == soon + timedelta(seconds=project.lease_seconds)


def test_a_heartbeat_revives_no_ended_lease(project: Project, people: People) -> None:
    make_bare_images(project, how_many=1)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    with pytest.raises(LeaseLost):
        leases.heartbeat(user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=LATER)


def test_the_sweep_takes_back_what_ran_out_and_only_that(
    project: Project, people: People, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    make_bare_images(project, how_many=2)
    old = claim(people.ana.pk, project, Stage.OBJECT)
    young = claim(people.bob.pk, project, Stage.OBJECT, now=LATER)
    with django_capture_on_commit_callbacks(execute=True):
        assert leases.expire_leases(now=LATER) == 1
        assert leases.expire_leases(now=LATER) == 0
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.status, young.status) == (AssignmentStatus.EXPIRED, AssignmentStatus.LEASED)
    assert old.task.open_slots == 1 and young.task.open_slots == 0
    assert journal_of(old) == [("", "LEASED"), ("LEASED", "EXPIRED")]
    assert {"type": "assignment.changed", "id": str(old.uuid), "status": "EXPIRED"} in heard.all()


def test_the_sweep_takes_back_more_than_one_batch(
    project: Project, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SWEEP_BATCH", 2)
    make_bare_images(project, how_many=3)
    AnnotationTask.objects.update(overlap=3, open_slots=3)
    for name in ("ana", "bob", "lea"):
        assert isinstance(try_claim(people, name, project), Assignment)
        assert isinstance(try_claim(people, name, project, prefetch=True), Assignment)
    assert leases.expire_leases(now=LATER) == 6
    assert set(AnnotationTask.objects.values_list("open_slots", flat=True)) == {3}


def test_who_comes_back_before_the_sweep_gets_their_own_work_anew(project: Project, people: People) -> None:
    make_bare_images(project, how_many=2)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    again = claim(people.ana.pk, project, Stage.OBJECT, now=LATER)
    assert again.pk == held.pk and again.lease_token != held.lease_token and again.expires_at > LATER
    assert journal_of(held) == [("", "LEASED"), ("LEASED", "EXPIRED"), ("EXPIRED", "LEASED")]
    assert sorted(AnnotationTask.objects.values_list("open_slots", flat=True)) == [0, 1]


def test_an_expired_lease_of_a_cancelled_task_bars_nothing(project: Project, people: People) -> None:
    make_bare_images(project, how_many=2)
    held = claim(people.ana.pk, project, Stage.OBJECT)
    AnnotationTask.objects.filter(pk=held.task_id).update(status=TaskStatus.CANCELLED)
    assert claim(people.ana.pk, project, Stage.OBJECT, now=LATER).task_id != held.task_id


def test_a_prefetched_lease_stands_beside_the_live_one_and_follows_it(
    project: Project, people: People
) -> None:
    make_bare_images(project, how_many=3)
    live = claim(people.ana.pk, project, Stage.OBJECT)
    ahead = claim(people.ana.pk, project, Stage.OBJECT, prefetch=True)
    assert ahead.prefetched and ahead.task_id != live.task_id
    assert claim(people.ana.pk, project, Stage.OBJECT, prefetch=True).pk == ahead.pk
    leases.release(user_id=people.ana.pk, assignment=live.uuid, lease_token=live.lease_token, now=NOW)
    promoted = claim(people.ana.pk, project, Stage.OBJECT, now=NOW + timedelta(seconds=30))
    assert promoted.pk == ahead.pk and not promoted.prefetched and promoted.lease_token == ahead.lease_token
    assert promoted.expires_at == NOW + timedelta(seconds=30 + project.lease_seconds)
    assert Assignment.objects.count() == 2


def test_depths_count_slots_and_leases(project: Project, people: People) -> None:
    make_bare_images(project, how_many=3)
    claim(people.ana.pk, project, Stage.OBJECT)
    depths = queue_depths(project.pk)
    assert (depths["object"].open, depths["object"].leased) == (2, 1)
    assert (depths["pick"].open, depths["pick"].leased) == (0, 0)


class TestDrafts:
    """Drafts are versioned, and outlive the lease."""

    def save(self, held: Assignment, **options: Any) -> int:
        values: dict[str, Any] = {
            "user_id": held.annotator_id,
            "assignment": held.uuid,
            "lease_token": held.lease_token,
            "draft": {"stroke": 1},
            "version": 0,
            "now": NOW,
        }
        return leases.save_draft(**{**values, **options})

    def test_a_draft_grows_by_versions(self, project: Project, people: People) -> None:
        make_bare_images(project, how_many=1)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        assert self.save(held) == 1
        assert self.save(held, version=1, draft={"stroke": 2}) == 2
        held.refresh_from_db()
        assert (held.draft, held.draft_version) == ({"stroke": 2}, 2)

    def test_an_older_version_is_refused_and_changes_nothing(self, project: Project, people: People) -> None:
        make_bare_images(project, how_many=1)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        self.save(held)
        with pytest.raises(DraftConflict) as refusal:
            self.save(held, draft={"stroke": "old"})
        held.refresh_from_db()
        assert refusal.value.code == "draft_conflict" and held.draft == {"stroke": 1}

    def test_a_draft_sent_after_the_end_is_kept_and_comes_back(
        self, project: Project, people: People
    ) -> None:
        make_bare_images(project, how_many=1)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        leases.expire_leases(now=LATER)
        with pytest.raises(LeaseLost):
            self.save(held, now=LATER)
        again = claim(people.ana.pk, project, Stage.OBJECT, now=LATER)
        assert (again.draft, again.draft_version) == ({"stroke": 1}, 1)

    def test_nobody_saves_into_the_work_of_another(self, project: Project, people: People) -> None:
        make_bare_images(project, how_many=1)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        with pytest.raises(NotFound):
            self.save(held, user_id=people.bob.pk)

    @pytest.mark.parametrize("draft", [{"x": float("nan")}, {"x": "a\x00b"}, {"x": "y" * 8_000_001}])
    def test_a_draft_that_no_row_can_hold_is_refused(
        self, project: Project, people: People, draft: dict[str, Any]
    ) -> None:
        make_bare_images(project, how_many=1)
        held = claim(people.ana.pk, project, Stage.OBJECT)
        with pytest.raises(BadInput, match="draft"):
            self.save(held, draft=draft)
