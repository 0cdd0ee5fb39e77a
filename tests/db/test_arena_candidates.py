"""An arena asks for the candidates that it needs; pairs come as they are made, and nothing else ever counts them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from engine.errors import BadInput, EngineError
from engine.models import (
    AnnotationTask,
    Arena,
    ArtistCase,
    Candidate,
    CandidateBatch,
    Checkpoint,
    GoldItem,
    Job,
    Project,
    Selection,
    StateChange,
)
from engine.selectors.arena import gate_between
from engine.selectors.arena_making import making_of
from engine.selectors.artist_cases import case_view
from engine.selectors.bias import undescribed
from engine.selectors.lineage import offspring
from engine.selectors.queues import work_left
from engine.services import arena, candidates, tasks
from engine.services.evidence import read_evidence
from engine.services.retries import retry_job
from engine.states import BatchStatus, CheckpointStatus, JobStatus, Stage, TargetStatus
from engine.transitions import Actor
from tests import judged
from tests.arena_batches import made, opened
from tests.db.test_arena import NOW, ana_of, target_of_both

pytestmark = pytest.mark.django_db

MEL = Actor(name="mel")


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def old() -> Checkpoint:
    return judged.checkpoint("old")


@pytest.fixture
def new(old: Checkpoint) -> Checkpoint:
    return judged.checkpoint("new", parent=old)


def test_what_is_missing_is_asked_of_exactly_that_checkpoint_with_the_seed_of_what_is_there(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    for _ in range(3):
        judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    batches = list(meeting.batches.order_by("pk"))
    assert len(batches) == 3 and not meeting.matches.exists()
    for batch in batches:
        there = Candidate.objects.filter(target=batch.target, checkpoint=old).order_by("pk")[0]
        assert (batch.checkpoint, batch.seed, batch.num_requested) == (new, there.seed, 1)
        assert (batch.round_id, batch.source_mix, batch.status) == (None, {}, BatchStatus.REQUESTED)
        job = Job.objects.get(key=f"batch-{batch.pk}")
        assert (job.kind, job.queue, job.project_id) == ("generate_for_arena", "gpu", kitchen.pk)
        assert job.payload == {"batch_id": batch.pk}
    created = StateChange.objects.filter(model="candidatebatch", new="REQUESTED", actor_name="mel")
    assert set(created.values_list("object_id", flat=True)) == {batch.pk for batch in batches}


def test_candidates_of_one_target_that_nobody_has_are_drawn_with_one_seed_and_asked_by_checkpoint(
    kitchen: Project, new: Checkpoint
) -> None:
    third = judged.checkpoint("third")
    for _ in range(4):
        judged.batch(kitchen, sources=("retrieval",))
    meeting = opened(kitchen, new, third)
    seeds: dict[int, set[int]] = {}
    for target, seed in meeting.batches.values_list("target_id", "seed"):
        seeds.setdefault(target, set()).add(seed)
    assert [len(each) for each in seeds.values()] == [1] * 4 and len(set.union(*seeds.values())) == 4
    jobs = Job.objects.filter(kind="generate_for_arena").order_by("pk").values_list("payload", flat=True)
    asked = dict(meeting.batches.values_list("pk", "checkpoint_id"))
    assert [asked[each["batch_id"]] for each in jobs] == [new.pk] * 4 + [third.pk] * 4
    again = opened(kitchen, new, third)
    assert set(again.batches.values_list("target_id", "seed")) == {
        (target, seed) for target, each in seeds.items() for seed in each
    }, "the same seed of an arena is the same candidates"


def test_a_pair_comes_when_its_last_candidate_is_made_in_the_order_and_on_the_sides_of_the_seed(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    for _ in range(12):
        judged.batch(kitchen, sources=("retrieval",))
    meeting = opened(kitchen, old, new, votes=2)
    ana = ana_of(kitchen)
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) is None
    batches = list(meeting.batches.order_by("pk"))
    np.random.default_rng(1).shuffle(batches)
    for number, batch in enumerate(batches, start=1):
        made(batch)
        both = Counter(Candidate.objects.filter(batch__arena=meeting).values_list("target_id", flat=True))
        assert meeting.matches.count() == 2 * sum(count == 2 for count in both.values())
        assert making_of(meeting.pk).num_made == number
    matches = list(meeting.matches.order_by("place"))
    assert [match.place for match in matches] == list(range(24))
    for match in matches:
        assert match.left.checkpoint_id == match.left_checkpoint_id
        assert match.right.checkpoint_id == match.right_checkpoint_id
    there = opened(kitchen, old, new, votes=2)
    assert not there.batches.exists(), "what another arena had made is plainly drawn, and used"
    drawn = ("place", "target_id", "left_checkpoint_id")
    assert list(there.matches.order_by("place").values_list(*drawn)) == [
        tuple(getattr(match, name) for name in drawn) for match in matches
    ]
    assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) == matches[0]


def test_a_second_run_of_the_job_changes_nothing(kitchen: Project, old: Checkpoint, new: Checkpoint) -> None:
    judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    [batch] = meeting.batches.all()
    for _ in range(2):
        made(batch)
    assert meeting.matches.count() == 1 and batch.candidates.count() == 1


def test_what_a_reward_kept_of_many_draws_does_not_meet_a_single_draw(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    target = judged.batch(kitchen, sources=("retrieval",)).target
    Candidate.objects.create(
        project=kitchen, target=target, index=0, source="candid8", checkpoint=old, seed=4, mesh_key="m",
        preview_key="p", settings={"source_options": {"prefilter": {"kept_of": 50}}},
    )  # fmt: skip
    meeting = opened(kitchen, old, new)
    assert set(meeting.batches.values_list("checkpoint_id", flat=True)) == {old.pk, new.pk}
    for batch in meeting.batches.all():
        made(batch)
    match = meeting.matches.get()
    met = Candidate.objects.filter(pk__in=[match.left_id, match.right_id])
    assert list(met.values_list("batch__arena_id", flat=True)) == [meeting.pk, meeting.pk]


def test_what_people_got_meanwhile_does_not_step_in_for_what_was_asked_for(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    target = judged.batch(kitchen, sources=("retrieval",)).target
    meeting = opened(kitchen, old, new)
    Candidate.objects.create(
        project=kitchen,
        target=target,
        index=0,
        source="candid8",
        checkpoint=old,
        seed=4,
        mesh_key="m",
        preview_key="p",
    )
    made(meeting.batches.get(checkpoint=new))
    assert not meeting.matches.exists(), "it has another seed"
    made(meeting.batches.get(checkpoint=old))
    match = meeting.matches.get()
    assert match.left.seed == match.right.seed


def test_a_checkpoint_that_fails_is_named_and_the_others_pairs_go_on(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    third = judged.checkpoint("third")
    for _ in range(2):
        judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new, third)
    for batch in meeting.batches.all():
        if batch.checkpoint_id == third.pk:
            candidates.begin_batch(batch_id=batch.pk)
            candidates.fail_batch(
                batch_id=batch.pk, detail="third cannot be loaded: golden output shape differs"
            )
        else:
            made(batch)
    pairs = {frozenset((each.left_checkpoint_id, each.right_checkpoint_id)) for each in meeting.matches.all()}
    assert pairs == {frozenset((old.pk, new.pk))} and meeting.matches.count() == 2
    making = making_of(meeting.pk)
    assert (making.num_asked, making.num_made, making.num_failed, making.is_under_way) == (4, 2, 2, False)
    [failure] = making.failures
    assert (failure.name, failure.num_candidates) == ("third", 2) and "golden output" in failure.reason


def test_what_failed_is_tried_again_and_its_pairs_come_then(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    [batch] = meeting.batches.all()
    candidates.begin_batch(batch_id=batch.pk)
    candidates.fail_batch(batch_id=batch.pk, detail="no space left")
    Job.objects.filter(key=f"batch-{batch.pk}").update(status=JobStatus.FAILED)
    again = retry_job(job_id=Job.objects.get(key=f"batch-{batch.pk}").pk, actor=MEL)
    assert (again.kind, again.key) == ("generate_for_arena", f"batch-{batch.pk}-2")
    made(batch)
    assert meeting.matches.count() == 1


def test_closing_gives_up_what_was_not_made_and_a_worker_in_the_middle_lets_it_go(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    for _ in range(4):
        judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    first, second, third, fourth = meeting.batches.order_by("pk")
    made(first)
    candidates.begin_batch(batch_id=second.pk)
    candidates.begin_batch(batch_id=third.pk)
    candidates.fail_batch(batch_id=third.pk, detail="no space left")
    arena.close_arena(arena_id=meeting.pk, actor=MEL)
    statuses = dict(meeting.batches.values_list("pk", "status"))
    assert statuses == {
        first.pk: BatchStatus.READY,
        second.pk: BatchStatus.WITHDRAWN,
        third.pk: BatchStatus.FAILED,
        fourth.pk: BatchStatus.WITHDRAWN,
    }
    assert made(second).status == BatchStatus.WITHDRAWN and not second.candidates.exists()
    assert candidates.begin_batch(batch_id=fourth.pk).status == BatchStatus.WITHDRAWN
    with pytest.raises(EngineError) as closed:
        candidates.retry_batch(batch_id=third.pk, actor=MEL)
    assert closed.value.code == "arena_closed"
    assert meeting.matches.count() == 1
    making = making_of(meeting.pk)
    assert (making.num_made, making.num_failed, making.num_given_up, making.is_under_way) == (1, 1, 2, False)


def test_an_arena_that_was_closed_before_anything_was_made_binds_no_gate(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    assert gate_between(new_id=new.pk, serving_id=old.pk) is not None
    arena.close_arena(arena_id=meeting.pk, actor=MEL)
    assert gate_between(new_id=new.pk, serving_id=old.pk) is None


def test_targets_are_drawn_by_the_seed_out_of_the_confirmed_ones_without_gold(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    batches = [judged.batch(kitchen, made_by=old) for _ in range(12)]
    gold, proposed, retired = (batch.target for batch in batches[:3])
    for target in (gold, retired):
        task = AnnotationTask.objects.create(
            project=kitchen, stage=Stage.PICK, image=target.image, target=target, batch=target.batches.get()
        )
        GoldItem.objects.create(
            project=kitchen, stage=Stage.PICK, task=task, answer={}, why="It fits.",
            retired_at=NOW if target == retired else None,
        )  # fmt: skip
    type(proposed).objects.filter(pk=proposed.pk).update(status=TargetStatus.PROPOSED)
    judged.batch(judged.project("garden"), made_by=old)
    everything = opened(kitchen, old, new, num_targets=500).target_ids
    assert everything == sorted(batch.target_id for batch in batches[2:])
    some = opened(kitchen, old, new, num_targets=5).target_ids
    assert len(some) == 5 and set(some) < set(everything)
    assert opened(kitchen, old, new, num_targets=5).target_ids == some
    assert opened(kitchen, old, new, num_targets=5, seed=8).target_ids != some
    given = opened(kitchen, old, new, num_targets=None, target_ids=everything[:2])
    assert given.target_ids == everything[:2] and given.batches.count() == 2
    for target in (gold, proposed):
        with pytest.raises(BadInput, match=str(target.pk)) as refusal:
            opened(kitchen, old, new, target_ids=[target.pk, *everything])
        assert refusal.value.code == "bad_targets"


def test_a_target_that_no_version_trains_on_may_be_shown(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    """As the audit set is: nobody could pick, an artist modelled it."""
    batch = judged.batch(kitchen, made_by=old)
    ArtistCase.objects.create(project=kitchen, target=batch.target, reason="none_good")
    assert opened(kitchen, old, new).target_ids == [batch.target_id]


def test_an_arena_that_cannot_be_is_refused_by_name_and_leaves_nothing(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    with pytest.raises(BadInput, match="There is no confirmed target"):
        opened(kitchen, old, new)
    for _ in range(3):
        judged.batch(kitchen, made_by=old)
    bad = judged.checkpoint("spoilt", status=CheckpointStatus.REFUSED)
    Checkpoint.objects.filter(pk=bad.pk).update(detail="not finite")
    with pytest.raises(BadInput, match=r"spoilt \(not finite\)") as refusal:
        opened(kitchen, old, bad)
    assert refusal.value.code == "checkpoint_refused"
    for number in (0, 501):
        with pytest.raises(BadInput, match="1 to 500 targets"):
            opened(kitchen, old, new, num_targets=number)
    assert not Arena.objects.exists() and not Job.objects.exists()
    unchecked = judged.checkpoint("unchecked", status=CheckpointStatus.REGISTERED)
    assert opened(kitchen, old, unchecked).batches.count() == 3


def test_the_candidates_of_an_arena_are_in_no_figure_no_dataset_and_no_queue(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    picked = judged.batch(kitchen, made_by=old)
    judged.pick(picked, by=ana_of(kitchen), winner=0)
    case = ArtistCase.objects.create(project=kitchen, target=picked.target, reason="none_good")

    def figures() -> Any:
        evidence = read_evidence(kitchen.pk)
        return (
            work_left(kitchen.pk),
            offspring(old.pk),
            offspring(new.pk),
            [each.pk for each in undescribed(version=1, limit=100)],
            sorted(evidence.candidates),
            [each.id for each in case_view(case.pk).candidates],
            AnnotationTask.objects.count(),
        )

    before = figures()
    meeting = opened(kitchen, old, new)
    assert figures() == before, "what is asked for"
    made(meeting.batches.get())
    assert figures() == before, "what is made"


def refused(write: Any) -> str:
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        write()
    return str(refusal.value)


def test_the_database_refuses_work_on_an_arenas_candidates_and_another_maker(
    kitchen: Project, old: Checkpoint, new: Checkpoint
) -> None:
    ordinary = judged.batch(kitchen, made_by=old)
    pick = judged.pick(ordinary, by=ana_of(kitchen), winner=0)
    batch = opened(kitchen, old, new).batches.get()
    assert "was asked of another" in refused(lambda: made(batch, checkpoint_id=old.pk))
    assert "was asked of another" in refused(lambda: made(batch, source="retrieval", checkpoint_id=None))
    made(batch)
    batch.refresh_from_db()
    alone = "compared there alone"
    assert alone in refused(lambda: tasks.open_pick_task(batch=batch, by=MEL))
    assert alone in refused(lambda: tasks.open_pose_task(candidate=batch.candidates.get(), by=MEL))
    assert alone in refused(lambda: AnnotationTask.objects.filter(batch=ordinary).update(batch=batch))
    row = {field.attname: getattr(pick, field.attname) for field in pick._meta.concrete_fields}
    row |= {"id": None, "batch_id": batch.pk, "winner_id": batch.candidates.get().pk}
    assert alone in refused(lambda: Selection.objects.create(**row))
    for changes in ({"arena": None, "checkpoint": None}, {"checkpoint": old}):
        asked = CandidateBatch.objects.filter(pk=batch.pk)
        assert "append-only" in refused(lambda asked=asked, changes=changes: asked.update(**changes))


@pytest.mark.django_db(transaction=True)
def test_of_two_candidates_that_end_at_once_the_later_one_makes_the_pair() -> None:
    garden = judged.project("garden")
    judged.batch(garden, sources=("retrieval",))
    meeting = opened(garden, judged.checkpoint("old"), judged.checkpoint("new"))
    first, second = meeting.batches.order_by("pk")
    failures: list[Exception] = []

    def end() -> None:
        try:
            made(second)
        except Exception as error:  # noqa: BLE001  # a thread's failure must reach the test
            failures.append(error)
        finally:
            connection.close()

    later = threading.Thread(target=end)
    with transaction.atomic():
        made(first)
        later.start()
        while later.is_alive() and not somebody_waits_for_a_lock():
            time.sleep(0.01)
    later.join()
    assert not failures and meeting.matches.count() == 1


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_a_claim_costs_what_it_did(kitchen: Project, old: Checkpoint, new: Checkpoint) -> None:
    ana = ana_of(kitchen)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert arena.claim_match(project_id=kitchen.pk, user_id=ana.pk, now=NOW) is not None
        return len(queries)

    target_of_both(kitchen, old, new)
    there = opened(kitchen, old, new, num_targets=None)
    plain = cost()
    arena.close_arena(arena_id=there.pk, actor=MEL)
    for _ in range(30):
        judged.batch(kitchen, made_by=old)
    meeting = opened(kitchen, old, new)
    for batch in meeting.batches.order_by("pk")[:10]:
        made(batch)
    assert cost() == plain
