"""A training run from judgements to a checkpoint that may serve: killed on the way, cancelled, and spoilt data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from django.db import transaction
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from engine import blobs
from engine.models import CandidateBatch, Checkpoint, DatasetVersion, Job, Project, TrainingRun
from engine.selectors import deployments
from engine.services import candidates, checkpoints, datasets, runs
from engine.services.rounds import current_round
from engine.states import CheckpointStatus, JobStatus, RunStatus
from tests.factories import TESTER
from tests.judged import pick
from tests.people import PASSWORD, people_of
from tests.pictures import confirmed_disc, photographed_disc
from tests.running_worker import finished, running_worker, wait_until
from tests.untrained import deployed, untrained_checkpoint
from training import bridge
from workers.tasks.candidates import generate_candidates
from workers.tasks.point_maps import read_point_map

pytestmark = pytest.mark.slow

STEPS = 3
SMALL = {"steps": STEPS, "batch_size": 2, "evaluation_objects": 2}
SFT = SMALL | {"replay_share": 0.0}
MANUAL = Path(__file__).resolve().parents[2] / "docs" / "guide" / "ml-engineers.md"


@pytest.fixture
def home(tmp_path: Path, settings: Settings) -> Path:
    settings.HOME = tmp_path / "home"
    torch.set_num_threads(1)
    return Path(settings.HOME)


@pytest.fixture
def version(project: Project, home: Path, tmp_path: Path) -> DatasetVersion:
    """Frozen from one pick of eight candidates that an untrained model really made."""
    deployed(untrained_checkpoint(tmp_path / "parent"), name="parent")
    with transaction.atomic():
        image = photographed_disc(project)
    read_point_map(Job.objects.get(kind="read_point_map").pk)
    with transaction.atomic():
        batch = candidates.request_batch(
            target=confirmed_disc(image), round=current_round(project.pk), by=TESTER
        )
    generate_candidates(Job.objects.get(key=f"batch-{batch.pk}").pk)
    pick(CandidateBatch.objects.get(pk=batch.pk), by=people_of(project).ana, winner=2, ratings=(5, 5))
    return datasets.freeze(project_id=project.pk, alpha=None, actor=TESTER)


def started(version: DatasetVersion, **settings: float) -> TrainingRun:
    return runs.start_run(
        project_id=version.project_id,
        dataset_version_id=version.pk,
        objective="sft",
        base_checkpoint_id=None,
        seed=7,
        settings=SFT | settings,
        actor=TESTER,
    )


def test_a_run_whose_worker_is_killed_goes_on_and_ends_with_a_checkpoint_that_may_serve(
    version: DatasetVersion, tmp_path: Path
) -> None:
    run = started(version)

    def is_under_way() -> bool:
        run.refresh_from_db()
        return run.phase in ("fetching", "training")

    with running_worker(tmp_path / "home", lease_s=5) as doomed:
        wait_until(is_under_way, what="the training process to begin", sweeping=True)
        doomed.kill()
    with running_worker(tmp_path / "home", lease_s=5):
        job = finished(Job.objects.get(kind="train_run"), sweeping=True)
    run.refresh_from_db()
    assert (job.status, run.status) == (JobStatus.DONE, RunStatus.SUCCEEDED), f"{job.error}\n{run.detail}"
    made = run.output_checkpoint
    assert made is not None and made.status == CheckpointStatus.VERIFIED
    assert made.parent_id == run.base_checkpoint_id and made.sha256 != run.base_checkpoint.sha256
    assert made.evaluation["parent"] == run.base_checkpoint.sha256 and made.evaluation["metrics"]
    assert set(run.metrics.values_list("step", flat=True)) >= {STEPS}
    assert checkpoints.deploy(checkpoint_id=made.pk, actor=TESTER).generation == 2


def test_a_cancelled_run_ends_without_a_checkpoint(version: DatasetVersion) -> None:
    run = started(version)
    runs.begin(run.pk)
    runs.cancel_run(run_id=run.pk, actor=TESTER)
    before = Checkpoint.objects.count()
    bridge.execute(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED and Checkpoint.objects.count() == before


def test_a_run_on_a_manifest_that_was_changed_fails_and_says_so(version: DatasetVersion) -> None:
    run = started(version)
    other = blobs.put(b"{}\n", suffix=".jsonl", content_type="application/jsonl")
    DatasetVersion.objects.filter(pk=version.pk).update(manifest_key=other)
    bridge.execute(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "not what its hash says" in run.detail


def test_runs_of_one_machine_share_their_blobs_and_a_spoilt_one_is_fetched_again(
    version: DatasetVersion, settings: Settings, tmp_path: Path
) -> None:
    settings.HOME = tmp_path
    one, other = (bridge._materialised_dataset(version, tmp_path / name) for name in ("one", "other"))
    names = [path.relative_to(one) for path in one.rglob("*.safetensors")]
    assert names and all((one / name).samefile(other / name) for name in names)
    (one / names[0]).write_bytes(b"spoilt")
    bridge._materialised_dataset(version, tmp_path / "one")
    assert (one / names[0]).read_bytes() == blobs.get(str(names[0]))


def test_the_manuals_script_turns_a_round_word_by_word(
    version: DatasetVersion, live_server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the address, the password and the size of the runs are others."""
    mel = people_of(version.project).mel
    monkeypatch.setenv("PASSWORD", PASSWORD)
    (script,) = re.findall(
        r"^```python\n(.+?)^```", MANUAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for said, here in (
        ("http://127.0.0.1:8000", live_server.url),
        ("time.sleep(5)", "time.sleep(0.2)"),
        ('"settings": {}', f'"settings": {SMALL}'),
    ):
        assert said in script
        script = script.replace(said, here)
    told: dict[str, Any] = {}
    with running_worker(tmp_path / "home"):
        exec(script, told)  # the manual's own words
    sft, dpo = TrainingRun.objects.order_by("pk")
    assert (sft.objective, dpo.objective) == ("sft", "dpo")
    assert dpo.base_checkpoint == sft.output_checkpoint and told["base"] == dpo.output_checkpoint_id
    assert sft.dataset_version.alpha == 0.6 and sft.dataset_version != version
    assert sft.settings["steps"] == SMALL["steps"]
    # Runs this small are seldom better: what the script does for one that is, is done here for this one.
    last = script.strip().splitlines()[-1].strip()
    exec(last, told)
    serving = deployments.serving()
    assert serving is not None and serving.checkpoint_id == told["base"] and serving.deployed_by == mel
