"""The one place where training meets the engine: a run's frozen data and base in, progress and a checkpoint out.

Run as ``python -m training.bridge RUN_ID`` by a worker, in a process of its own. May be killed at any moment and
started again: the work folder holds what is fetched and the trainer's state. Exit status 0 means that the run has
ended in its row, well or badly; anything else asks the worker to start it again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import django
import torch
from django.apps import apps

if not apps.ready:  # run as a program; models cannot be imported earlier
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings.dev")
    django.setup()

from django.conf import settings

from engine import blobs
from engine.errors import EngineError
from engine.jobs import WORKER
from engine.models import Checkpoint, DatasetVersion, TrainingRun
from engine.services import checkpoints, runs
from modelzoo.checkpoint import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    CheckpointRefused,
    manifest_from_document,
    manifest_to_bytes,
    read_manifest,
)
from modelzoo.serving import ModelSlot
from training.configs import RunConfig, Stage, default_config
from training.evaluate import compare
from training.loop.distributed import Team
from training.loop.launch import run_on_processes
from training.loop.reporting import TensorBoardLog, both
from training.reports.side_by_side import SideBySide
from training.runs import RunResult, RunStopped, run_training
from training.trainer import Progress

log = logging.getLogger(__name__)

BLOB_FIELDS = (
    *("image", "mask", "pointmap", "latents", "mesh"),
    *("chosen_latents", "chosen_mesh", "rejected_latents", "rejected_mesh"),
)
MANIFEST_FILE = "manifest.jsonl"
FETCHES_AT_ONCE = 8
#: Every run is evaluated on the same held-out objects, so that checkpoints compare and a base is measured once; reports
#: have others (seed 0), which nobody has chosen a checkpoint by.
EVALUATION_SEED = 4242
REPORT_EVERY_S = 0.3
LOG_LINES = 200


class RunCancelled(Exception):  # not an error: somebody cancelled the run
    """The run is no longer RUNNING, so nobody waits for its result."""


def execute(run_id: int) -> None:
    """Carries the run to its end in the row. Raises passing EngineErrors, and whatever nobody foresaw."""
    run = runs.begin(run_id)
    if run is None:
        log.info("run %s has ended already", run_id)
        return
    folder = Path(settings.HOME) / "runs" / str(run_id)
    try:
        _carry_out(run, folder)
    except RunCancelled:
        log.info("run %s was cancelled", run_id)
    except EngineError as error:
        if not error.permanent:
            raise
        runs.fail(run_id=run_id, detail=error.message)
    except (ValueError, FloatingPointError) as error:
        log.exception("run %s cannot go on", run_id)
        runs.fail(run_id=run_id, detail=f"{type(error).__name__}: {error}")


def _carry_out(run: TrainingRun, folder: Path) -> None:
    reporter = _Reporter(run)
    reporter.say("fetching")
    base = _materialised_checkpoint(run.base_checkpoint, folder / "base")
    dataset = _materialised_dataset(run.dataset_version, folder / "dataset")
    reporter.say("training")
    watched = (
        both(reporter.step, TensorBoardLog(folder / "events")) if settings.TENSORBOARD_URL else reporter.step
    )
    result = _trained(_config(run), workdir=folder / "work", base=base, dataset=dataset, on_progress=watched)
    reporter.say("storing")
    checkpoint = _registered(run, result.output_dir)
    reporter.say("evaluating")
    compared = compare(
        result.output_dir,
        base,
        seed=EVALUATION_SEED,
        num_objects=run.settings["evaluation_objects"],
        kept=Path(settings.HOME) / "cache" / "evaluations",
        on_progress=lambda done, total: reporter.say("evaluating"),
    )
    stored = [_stored(example) for example in compared.examples]
    checkpoints.record_evaluation(
        checkpoint_id=checkpoint.pk, evaluation={**compared.report, "examples": stored}
    )
    reporter.say("done")
    runs.succeed(run_id=run.pk, checkpoint_id=checkpoint.pk)


def _trained(
    config: RunConfig, *, workdir: Path, base: Path, dataset: Path, on_progress: Progress
) -> RunResult:
    """On all CUDA devices there are, each with a process of its own; otherwise here, on the CPU or the one device."""
    devices = torch.cuda.device_count()
    folders = {"workdir": workdir, "checkpoint_dir": base, "manifest_dir": dataset}
    if devices > 1:
        count = math.gcd(devices, config.batch_size)  # each takes an equal part of a batch
        return run_on_processes(
            replace(config, micro_batches=count),
            count=count,
            device="cuda",
            strategy="ddp",
            on_progress=on_progress,
            **folders,
        )
    team = Team(device=torch.device("cuda" if devices else "cpu"))
    return run_training(config, on_progress=on_progress, team=team, **folders)


def _config(run: TrainingRun) -> RunConfig:
    chosen = {name: value for name, value in run.settings.items() if name != "evaluation_objects"}
    stage: Stage = "sft" if run.objective == TrainingRun.Objective.SFT else "dpo"
    config = default_config(stage, steps=chosen.pop("steps", None), seed=run.seed)
    names = {"learning_rate": "learning_rate", "optimizer": "kind"}
    optimizer = {field: chosen.pop(name) for name, field in names.items() if name in chosen}
    config = replace(config, optimizer=replace(config.optimizer, **optimizer))
    return replace(config, **chosen)


def _materialised_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """The checkpoint as a folder, fetched unless it is there whole; raises EngineError when its bytes changed."""
    folder.mkdir(parents=True, exist_ok=True)
    _fetch(checkpoint.weights_key, folder / WEIGHTS_NAME, sha256=checkpoint.sha256)
    (folder / MANIFEST_NAME).write_bytes(manifest_to_bytes(manifest_from_document(checkpoint.manifest)))
    return folder


def _materialised_dataset(version: DatasetVersion, folder: Path) -> Path:
    """The frozen manifest, checked against its hash, and every blob it names, under its key.

    Versions share most of their blobs: each is fetched once for all runs of this machine and linked into the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST_FILE
    _fetch(version.manifest_key, manifest, sha256=version.manifest_sha256)
    kept = Path(settings.HOME) / "cache" / "blobs"

    def brought(key: str) -> None:
        _fetch(key, kept / key, sha256=Path(key).stem)
        _link(kept / key, folder / key)

    with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        list(pool.map(brought, sorted(set(_blob_keys(manifest)))))
    return folder


def _blob_keys(manifest: Path) -> Iterator[str]:
    for line in manifest.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        yield from (entry[field] for field in BLOB_FIELDS if entry.get(field))


def _fetch(key: str, path: Path, *, sha256: str) -> None:
    """Writes the blob to ``path`` unless it is there; blobs are named by their hash, so the name can be held to it."""
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return
    data = blobs.get(key)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EngineError(f"The blob {key} is not what its hash says.", code="blob_changed")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.part")
    fresh.write_bytes(data)
    fresh.replace(path)


def _link(kept: Path, path: Path) -> None:
    """One file under two names; what stood at ``path`` before, a spoilt copy say, is replaced."""
    if path.exists() and path.samefile(kept):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.part")
    fresh.unlink(missing_ok=True)
    fresh.hardlink_to(kept)
    fresh.replace(path)


def _registered(run: TrainingRun, output: Path) -> Checkpoint:
    """Stores and verifies what the run made; raises EngineError when it does not serve."""
    manifest = read_manifest(output)
    document: dict[str, Any] = json.loads((output / MANIFEST_NAME).read_bytes())
    key = blobs.put(
        (output / WEIGHTS_NAME).read_bytes(), suffix=".safetensors", content_type="application/octet-stream"
    )
    checkpoint = checkpoints.register(
        weights_key=key,
        sha256=manifest.sha256,
        manifest=document,
        name=f"{run.objective} run {run.pk}",
        parent_id=run.base_checkpoint_id,
        run_id=run.pk,
        actor=WORKER,
    )
    try:
        ModelSlot(device="cpu").swap(weights=output / WEIGHTS_NAME, manifest=document, generation=0)
    except CheckpointRefused as error:
        checkpoints.refuse(checkpoint_id=checkpoint.pk, detail=str(error))
        raise EngineError(f"The trained checkpoint was refused: {error}", code="bad_checkpoint") from error
    checkpoints.verify(checkpoint_id=checkpoint.pk, actor=WORKER)
    return checkpoint


def _stored(example: SideBySide) -> dict[str, Any]:
    """The example with the keys of its blobs; None for a guess that has no surface."""

    def glb(data: bytes) -> str | None:
        return blobs.put(data, suffix=".glb", content_type="model/gltf-binary") if data else None

    return {
        "case": example.case,
        "family": example.family,
        "photo": blobs.put(example.photo_png, suffix=".png", content_type="image/png"),
        "truth": glb(example.truth_glb),
        "parent": [glb(data) for data in example.parent_glbs],
        "checkpoint": [glb(data) for data in example.child_glbs],
        "parent_ious": list(example.parent_ious),
        "checkpoint_ious": list(example.child_ious),
    }


class _Reporter:
    """Tells the engine how far the run is, not more often than one can look; raises RunCancelled when it should end."""

    def __init__(self, run: TrainingRun) -> None:
        self._run_id = run.pk
        self._phase = ""
        self._step, self._total = run.step, run.total_steps
        self._lines: deque[str] = deque(run.log_tail.splitlines(), maxlen=LOG_LINES)
        self._last = 0.0

    def say(self, phase: str) -> None:
        self._phase = phase
        self._lines.append(f"{time.strftime('%H:%M:%S')} {phase}")
        self._report({})

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self._step, self._total = step, total
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._lines.append(f"{time.strftime('%H:%M:%S')} step {step}/{total}  {numbers}")
        if step >= total or time.monotonic() - self._last >= REPORT_EVERY_S:
            self._report(metrics)

    def _report(self, metrics: Mapping[str, float]) -> None:
        self._last = time.monotonic()
        still_wanted = runs.report_progress(
            run_id=self._run_id,
            step=self._step,
            total=self._total,
            phase=self._phase,
            metrics=metrics,
            log_tail="\n".join(self._lines),
        )
        if not still_wanted:
            raise RunCancelled


if __name__ == "__main__":
    try:
        execute(int(sys.argv[1]))
    except RunStopped as stopped:
        log.warning("%s", stopped)
        sys.exit(os.EX_TEMPFAIL)
