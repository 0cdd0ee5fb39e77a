"""Batches by a mix of sources, made by a real worker: retrieval, a port, our own model, a pre-filter."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from engine.models import AnnotationTask, CandidateBatch, Image, Job, Project
from engine.services import rounds
from engine.services.candidates import request_batch
from engine.states import BatchStatus, JobStatus, Stage
from modelzoo.ports.image_features import LiteEmbedder
from modelzoo.retrieval.build import add_collection
from modelzoo.retrieval.entries import folder_entries
from modelzoo.retrieval.views import ViewRings
from tests.factories import TESTER
from tests.ml.foreign_request import DOUBLES
from tests.pictures import confirmed_disc, photographed_disc
from tests.running_worker import finished, running_worker, wait_until
from tests.untrained import deployed, untrained_checkpoint
from training.data.procedural_meshes import write_object
from workers.stack.processes import source_worker
from workers.stack.sources import foreign_sources, sources_environment

#: Real models: a machine that is busy with something else takes many times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MESHES = 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three procedural meshes, seen from two sides each, with the packaged encoder."""
    meshes, folder = tmp_path_factory.mktemp("meshes"), tmp_path_factory.mktemp("library")
    for number in range(MESHES):
        write_object(meshes, seed=0, index=number)
    add_collection(
        folder,
        folder_entries(meshes, licence="CC0-1.0"),
        collection="procedural",
        embedder=LiteEmbedder.load(),
        views=ViewRings(azimuths=2, elevations_deg=(20.0,)),
    )
    return folder


@pytest.fixture
def image(project: Project, settings: Any) -> Image:
    settings.CANDIDATE_SOURCES = ["trellis", "hi3dgen"]
    with transaction.atomic():
        return photographed_disc(project)


@pytest.fixture
def worker(image: Image, library: Path, tmp_path: Path) -> Iterator[None]:
    """Ours, and beside it the one that the stack starts for a port, a stand-in; the other port has no worker."""
    table = tmp_path / "sources.toml"
    table.write_text(
        f'[trellis]\ninterpreter = "{sys.executable}"\npaths = ["{DOUBLES / "torch"}", "{DOUBLES / "trellis"}"]\n'
        '[trellis.options]\nweights = "/w"\nstructure_sampler = { steps = 12 }\n'
    )
    given = {"SOURCES_TABLE": str(table), "CANDIDATE_SOURCES": "hi3dgen"}
    (name,) = foreign_sources(given)
    more = {"MESH_LIBRARY": str(library), **sources_environment(given, (name,))}
    with (
        running_worker(tmp_path / "home", more=more),
        running_worker(tmp_path / "port", more=more, process=source_worker(name)),
    ):
        yield


def made_with(image: Image, mix: dict[str, int], **more: Any) -> CandidateBatch:
    """A batch of a round of its own, READY."""
    current = rounds.current_round(image.project_id)
    if current is not None:
        rounds.close_round(round_id=current.pk, actor=TESTER)
    opened = rounds.open_round(
        project_id=image.project_id,
        alpha=0.5,
        num_candidates=sum(mix.values()),
        source_mix=mix,
        actor=TESTER,
        **more,
    )
    with transaction.atomic():
        batch = request_batch(target=confirmed_disc(image), round=opened, by=TESTER)
    ours = Job.objects.filter(kind="generate_candidates", payload={"batch_id": batch.pk})
    wait_until(ours.exists, what="the end of what others were asked for", sweeping=True)
    job = finished(ours.get(), sweeping=True)
    batch.refresh_from_db()
    assert batch.status == BatchStatus.READY, job.error
    assert AnnotationTask.objects.filter(stage=Stage.PICK, batch=batch).count() == 1
    return batch


def sources_of(batch: CandidateBatch) -> Counter[str]:
    return Counter(batch.candidates.values_list("source", flat=True))


def test_a_project_begins_with_retrieval_alone_and_mixes_when_a_checkpoint_serves(
    image: Image, worker: None, tmp_path: Path
) -> None:
    mix = {"candid8": 1, "retrieval": 1}
    cold = made_with(image, mix)
    assert sources_of(cold) == {"retrieval": 2}
    assert cold.missing == [
        {"source": "candid8", "asked": 1, "made": 0, "why": "No checkpoint serves yet: deploy one."}
    ]
    found = cold.candidates.order_by("index")[0]
    assert found.checkpoint is None and found.latents_key == ""
    assert found.settings["source_options"]["licence"] == "CC0-1.0"

    serving = deployed(untrained_checkpoint(tmp_path / "nano"), name="nano")
    warm = made_with(image, mix)
    assert (sources_of(warm), warm.missing) == ({"candid8": 1, "retrieval": 1}, [])
    assert warm.candidates.get(source="candid8").generation == serving.generation
    assert [one.index for one in warm.candidates.order_by("index")] == [0, 1]

    short = made_with(image, {"candid8": 1, "retrieval": MESHES + 2})
    assert sources_of(short) == {"candid8": 3, "retrieval": MESHES}
    assert short.missing == [
        {"source": "retrieval", "asked": 5, "made": 3, "why": "the library has 3 meshes"}
    ]
    seeds = short.candidates.filter(source="candid8").order_by("index").values_list("seed", flat=True)
    assert list(seeds) == [short.seed + number for number in range(3)]


def test_a_port_gives_its_share_and_one_without_a_worker_does_not_block(
    image: Image, worker: None, tmp_path: Path, settings: Any
) -> None:
    deployed(untrained_checkpoint(tmp_path / "nano"), name="nano")
    both = made_with(image, {"candid8": 1, "trellis": 2})
    assert (sources_of(both), both.missing) == ({"candid8": 1, "trellis": 2}, [])
    theirs = both.candidates.filter(source="trellis")
    assert all(one.settings["source_options"]["weights"] == "/w" for one in theirs)
    assert all(one.checkpoint is None and one.preview_key for one in theirs)

    settings.SOURCE_PATIENCE_SECONDS = 0
    filled = made_with(image, {"candid8": 1, "hi3dgen": 2})
    assert sources_of(filled) == {"candid8": 3}
    why = "no answer within 0 s: no worker took the job"
    assert filled.missing == [{"source": "hi3dgen", "asked": 2, "made": 0, "why": why}]
    assert Job.objects.get(kind="source_candidates", status=JobStatus.FAILED).queue == "source.hi3dgen"


def test_a_pre_filter_keeps_the_best_of_many_and_each_says_of_how_many_and_its_score(
    image: Image, worker: None, tmp_path: Path
) -> None:
    deployed(untrained_checkpoint(tmp_path / "nano"), name="nano")
    for reward in ("depth_error", "consensus"):
        batch = made_with(image, {"candid8": 2, "retrieval": 1}, num_draws=6, reward=reward)
        assert sources_of(batch) == {"candid8": 2, "retrieval": 1}
        kept = list(batch.candidates.filter(source="candid8").order_by("index"))
        told = [one.settings["source_options"]["prefilter"] for one in kept]
        assert [(one["kept_of"], one["reward"], one["rank"]) for one in told] == [
            (6, reward, 1),
            (6, reward, 2),
        ]
        assert told[0]["score"] >= told[1]["score"]
        seeds = {one.seed for one in kept}
        assert len(seeds) == 2 and seeds <= {batch.seed + number for number in range(6)}
