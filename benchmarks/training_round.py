"""A whole SFT and DPO round at preset tiny: 200 demonstrations, 400 pairs, from dataset on disk to child checkpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.result import Result
from modelzoo.checkpoint import Lineage, assemble
from modelzoo.registry import Models, build, preset_config
from modelzoo.serving import golden_outputs
from training.configs import Stage, default_config
from training.runs import run_training
from training.simulation.annotators import Annotator, judge
from training.simulation.datasets import Origin, write_dataset
from training.simulation.proposals import propose
from training.simulation.targets import fresh_targets

TARGETS, CANDIDATES = 200, 3  # a winner and two that it beat
BUDGET_S = 180


def measure(*, seed: int) -> list[Result]:
    """Processor time of one thread, so that other work hardly counts. Untrained weights cost what trained ones do."""
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="candid8-round-") as folder:
        place = Path(folder)
        models = build("tiny", seed=seed)
        torch.nn.init.constant_(
            models.ss_vae.decoder.leave.bias, 0.05
        )  # so that untrained weights give some solid
        _write_checkpoint(models, place / "base")
        demonstrations, pairs = _write_judged(models, place / "dataset", seed=seed)
        spent = {stage: _spent(stage, place, seed=seed) for stage in ("sft", "dpo")}
    parts = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in spent.items())
    return [
        Result(
            name="training: a round (SFT, then DPO) at tiny, one CPU core",
            value=sum(spent.values()),
            unit="s",
            budget=BUDGET_S,
            note=f"{demonstrations} demonstrations, {pairs} pairs; {parts}",
        )
    ]


def _spent(stage: Stage, place: Path, *, seed: int) -> float:
    """Seconds from the dataset to the child. The winners of untrained weights may not hold: no stop rule."""
    start = time.process_time()
    run_training(
        replace(default_config(stage, seed=seed), max_chosen_rise=float("inf")),
        workdir=place / stage,
        checkpoint_dir=place / "base",
        manifest_dir=place / "dataset",
    )
    return time.process_time() - start


def _write_checkpoint(models: Models, folder: Path) -> None:
    components = models.components()
    assemble(
        components,
        folder=folder,
        preset=models.preset.name,
        config=preset_config(models.preset),
        lineage=Lineage(objective="none", dataset_hash="none", command="none", seed=0, steps=0),
        golden=golden_outputs(components, models.preset.name),
    )


def _write_judged(models: Models, folder: Path, *, seed: int) -> tuple[int, int]:
    targets = fresh_targets(models, count=TARGETS, seed=seed)
    proposals = propose(models, targets, num=CANDIDATES, seed=seed)
    judgements = judge(proposals, Annotator(name="bench", noise=0.0, indifference=0.0), alpha=-1.0, seed=seed)
    counts = write_dataset(
        folder, targets, proposals, judgements, origin=Origin(checkpoint="none"), seed=seed
    )
    return counts.demonstrations, counts.preferences
