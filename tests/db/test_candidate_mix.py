"""Sources are mixed by counts that add up; one that is late or fails is named as missing, and nobody waits for it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from engine import blobs
from engine.errors import BadInput, EngineError, IllegalTransition
from engine.models import BatchPart, CandidateBatch, Job, Project, Round, StateChange
from engine.selectors.sources import Shortfall, shortfalls
from engine.services import batch_parts, candidates, datasets, rounds
from engine.services.batch_parts import Missing
from engine.services.mix import checked_mix, mix_from_text, mix_of
from engine.services.new_candidate import NewCandidate
from engine.services.retries import retry_job
from engine.states import BatchPartStatus, BatchStatus, JobStatus
from tests import judged
from tests.factories import TESTER, make_image, make_project, make_target

pytestmark = pytest.mark.django_db

MIXED = {"candid8": 4, "retrieval": 2, "trellis": 2}


@pytest.fixture(autouse=True)
def ports(settings: Any) -> None:
    settings.CANDIDATE_SOURCES = ["trellis", "hi3dgen"]


@pytest.fixture
def project() -> Project:
    return make_project(num_candidates=8)


def open_mixed(project: Project, mix: dict[str, int] = MIXED, **more: Any) -> Round:
    current = rounds.current_round(project.pk)
    assert current is not None
    rounds.close_round(round_id=current.pk, actor=TESTER)
    return rounds.open_round(
        project_id=project.pk,
        alpha=0.5,
        num_candidates=sum(mix.values()),
        source_mix=mix,
        actor=TESTER,
        **more,
    )


def asked_for(project: Project, mix: dict[str, int] = MIXED) -> CandidateBatch:
    opened = open_mixed(project, mix)
    return candidates.request_batch(target=make_target(make_image(project)), round=opened, by=TESTER)


def made_by(source: str, how_many: int) -> list[NewCandidate]:
    return [
        NewCandidate(
            index=number,
            source=source,
            seed=number,
            mesh_key=f"aa/{source}{number}.glb",
            preview_key=f"aa/{source}{number}-small.glb",
            settings={"source_options": {"weights": "/w"}},
            fallbacks=("pose_searched",),
        )
        for number in range(how_many)
    ]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"num_candidates": 1}, "bad_num_candidates", "2 to 64"),
        ({"source_mix": {"candid8": 6, "retrieval": 1}}, "bad_mix", "7 candidates together"),
        ({"source_mix": {"candid8": 6, "treliss": 2}}, "bad_mix", "trellis"),
        ({"source_mix": {"candid8": 8, "retrieval": 0}}, "bad_mix", "from 1 on"),
        ({"source_mix": {"candid8": 9, "retrieval": -1}}, "bad_mix", "from 1 on"),
        ({"source_mix": {"candid8": 8.0}}, "bad_mix", "whole number"),
        ({"source_mix": {"candid8": True, "retrieval": 7}}, "bad_mix", "whole number"),
        ({"num_draws": 50}, "bad_draws", "both"),
        ({"reward": "consensus"}, "bad_draws", "both"),
        ({"num_draws": 50, "reward": "beauty"}, "bad_draws", "depth_error"),
        ({"num_draws": 8, "reward": "consensus"}, "bad_draws", "9 to 64"),
        ({"num_draws": 65, "reward": "consensus"}, "bad_draws", "9 to 64"),
        ({"source_mix": {"retrieval": 8}, "num_draws": 50, "reward": "consensus"}, "bad_draws", "leaves out"),
    ],
)
def test_a_mix_that_does_not_add_up_is_refused_with_what_would_be_right(
    changes: dict[str, Any], code: str, words: str
) -> None:
    given: dict[str, Any] = {"num_candidates": 8, "source_mix": {}, "num_draws": None, "reward": ""}
    with pytest.raises(BadInput) as refusal:
        checked_mix(**(given | changes))
    assert refusal.value.code == code and words in refusal.value.message


def test_a_mix_is_written_as_people_write_it() -> None:
    assert mix_from_text("candid8 6, retrieval: 2") == {"candid8": 6, "retrieval": 2}
    assert mix_from_text(" hunyuan3d-2 = 3 ,") == {"hunyuan3d-2": 3}
    assert mix_from_text("") == {}
    for text in ("candid8", "6", "candid8 six", "candid8 1, candid8 2", "candid8 -1"):
        with pytest.raises(BadInput) as refusal:
            mix_from_text(text)
        assert refusal.value.code == "bad_mix", text
    row = make_project("other", num_candidates=8)
    assert mix_of(row).text() == "candid8 8"


def test_a_round_gives_its_mix_to_the_project_and_to_every_batch(project: Project) -> None:
    opened = open_mixed(project, {"candid8": 6, "retrieval": 2}, num_draws=50, reward="depth_error")
    project.refresh_from_db()
    batches = [
        candidates.request_batch(target=make_target(make_image(project)), round=round_, by=TESTER)
        for round_ in (opened, None)
    ]
    for row in (opened, project, *batches):
        assert (row.source_mix, row.num_draws, row.reward) == (
            {"candid8": 6, "retrieval": 2},
            50,
            "depth_error",
        )
    assert {batch.num_requested for batch in batches} == {8}
    assert not BatchPart.objects.exists(), "retrieval is our own worker's"
    keys = {f"batch-{batch.pk}" for batch in batches}
    assert set(Job.objects.filter(kind="generate_candidates").values_list("key", flat=True)) == keys


def test_a_port_is_asked_on_its_own_queue_and_our_turn_comes_when_it_has_given(project: Project) -> None:
    batch = asked_for(project)
    part = batch.parts.get()
    assert (part.source, part.num_asked, part.status) == ("trellis", 2, BatchPartStatus.ASKED)
    job = Job.objects.get(kind="source_candidates")
    assert (job.queue, job.payload) == ("source.trellis", {"part_id": part.pk})
    assert not Job.objects.filter(kind="generate_candidates").exists()

    for _ in range(2):
        batch_parts.record_part(part_id=part.pk, candidates=made_by("trellis", 2))

    assert Job.objects.get(kind="generate_candidates").key == f"batch-{batch.pk}"
    given, missing = batch_parts.parts_of(batch)
    assert (given, missing) == (
        [*(NewCandidate.from_document(one.document()) for one in made_by("trellis", 2))],
        [],
    )
    moves = StateChange.objects.filter(model="batchpart", object_id=part.pk).order_by("id")
    assert list(moves.values_list("old", "new")) == [("", "ASKED"), ("ASKED", "MADE")]


def test_our_turn_waits_for_the_last_of_several_ports(project: Project) -> None:
    batch = asked_for(project, {"candid8": 2, "trellis": 3, "hi3dgen": 3})
    first, second = batch.parts.order_by("source")
    batch_parts.record_part(part_id=first.pk, candidates=made_by("hi3dgen", 1))
    assert not Job.objects.filter(kind="generate_candidates").exists()
    batch_parts.miss_part(part_id=second.pk, detail="out of memory")
    assert Job.objects.filter(kind="generate_candidates").count() == 1
    given, missing = batch_parts.parts_of(batch)
    assert [one.source for one in given] == ["hi3dgen"]
    assert missing == [
        Missing(source="trellis", asked=3, made=0, why="out of memory"),
        Missing(source="hi3dgen", asked=3, made=1, why="it gave 1 of 3"),
    ]


def test_nobody_waits_for_a_port_without_a_worker_longer_than_stated(project: Project, settings: Any) -> None:
    settings.SOURCE_PATIENCE_SECONDS = 120
    batch = asked_for(project)
    now = timezone.now()
    assert batch_parts.give_up_late_parts(now=now + timedelta(seconds=100)) == 0
    assert batch_parts.give_up_late_parts(now=now + timedelta(seconds=130)) == 1
    part = batch.parts.get()
    assert part.status == BatchPartStatus.MISSING
    assert part.detail == "no answer within 120 s: no worker took the job"
    assert Job.objects.get(kind="source_candidates").status == JobStatus.FAILED
    assert Job.objects.filter(kind="generate_candidates").count() == 1
    with pytest.raises(EngineError) as refusal:
        retry_job(job_id=Job.objects.get(kind="source_candidates").pk, actor=TESTER)
    assert refusal.value.code == "batch_went_on"
    late = batch_parts.record_part(part_id=part.pk, candidates=made_by("trellis", 2))
    assert (late.status, late.candidates) == (BatchPartStatus.MISSING, []), "too late is too late"
    assert batch_parts.give_up_late_parts(now=now + timedelta(seconds=500)) == 0


@pytest.mark.parametrize("given", [[], made_by("trellis", 3), made_by("retrieval", 1)])
def test_a_port_gives_what_it_was_asked_for(project: Project, given: list[NewCandidate]) -> None:
    part = asked_for(project).parts.get()
    with pytest.raises(BadInput):
        batch_parts.record_part(part_id=part.pk, candidates=given)
    part.refresh_from_db()
    assert part.status == BatchPartStatus.ASKED


def test_what_is_missing_stands_in_the_batch_and_on_the_rounds_page(project: Project) -> None:
    batch = asked_for(project)
    batch_parts.miss_part(part_id=batch.parts.get().pk, detail="no answer within 600 s")
    candidates.begin_batch(batch_id=batch.pk)
    missing = batch_parts.parts_of(batch)[1]
    filled = made_by("retrieval", 8)
    done = candidates.complete_batch(batch_id=batch.pk, candidates=filled, seconds=1.0, missing=missing)
    assert done.missing == [{"source": "trellis", "asked": 2, "made": 0, "why": "no answer within 600 s"}]
    assert batch.round is not None
    assert shortfalls(batch.round) == (
        Shortfall(source="trellis", num_batches=1, num_missing=2, why="no answer within 600 s"),
    )


def test_asking_again_for_a_failed_batch_asks_the_missing_ports_first(project: Project) -> None:
    batch = asked_for(project, {"candid8": 2, "trellis": 3, "hi3dgen": 3})
    kept, missed = batch.parts.order_by("source")
    batch_parts.record_part(part_id=kept.pk, candidates=made_by("hi3dgen", 3))
    batch_parts.miss_part(part_id=missed.pk, detail="no answer")
    candidates.fail_batch(batch_id=batch.pk, detail="nothing serves")
    candidates.retry_batch(batch_id=batch.pk, actor=TESTER)
    missed.refresh_from_db()
    assert (missed.status, missed.detail) == (BatchPartStatus.ASKED, "")
    assert Job.objects.filter(kind="source_candidates", key=f"batch-{batch.pk}-trellis-2").exists()
    assert Job.objects.filter(kind="generate_candidates").count() == 1
    batch_parts.record_part(part_id=missed.pk, candidates=made_by("trellis", 3))
    assert Job.objects.filter(kind="generate_candidates", key=f"batch-{batch.pk}-2").exists()
    with pytest.raises(IllegalTransition):
        candidates.retry_batch(batch_id=batch.pk, actor=TESTER)


def test_a_withdrawn_batch_asks_nobody_any_more(project: Project) -> None:
    batch = asked_for(project)
    CandidateBatch.objects.filter(pk=batch.pk).update(status=BatchStatus.WITHDRAWN)
    batch_parts.miss_part(part_id=batch.parts.get().pk, detail="no answer")
    assert not Job.objects.filter(kind="generate_candidates").exists()


def test_of_a_mixed_batch_only_our_own_models_losers_are_rejected_halves() -> None:
    blobs.ensure_bucket(origins=["http://testserver"])
    kitchen = judged.project()
    ana = judged.person("ana", kitchen)
    batch = judged.batch(kitchen, sources=("candid8", "candid8", "retrieval", "trellis"))
    lost = [(0, 2, "left"), (0, 3, "left"), (0, 1, "left")]
    judged.pick(batch, by=ana, winner=0, mode="king", ratings=(5, 5), pairs=lost)
    version = datasets.freeze(project_id=kitchen.pk, alpha=0.5, actor=judged.TESTS)
    lines = [json.loads(line) for line in blobs.get(version.manifest_key).splitlines()]
    cells = judged.candidates(batch)
    rejected = [one["rejected_latents"] for one in lines if "rejected_latents" in one]
    assert rejected == [cells[1].latents_key] and version.num_preference_pairs == 1
    assert {one["reason"] for one in version.exclusions} == {"not_ours"}
