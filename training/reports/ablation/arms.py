"""One seed of the ablation: its stages collected, judged and trained in turn, beside an arm without people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from modelzoo.contracts import SamplerSettings
from modelzoo.registry import load_models
from training.configs import STAGES, RunConfig, Stage, default_config
from training.runs import run_training
from training.simulation.annotators import judge
from training.simulation.datasets import Origin, Share, write_dataset
from training.simulation.eyes import Eyes, as_seen
from training.simulation.proposals import SETTINGS, propose
from training.simulation.rounds import typical_annotator, yields
from training.simulation.targets import fresh_targets
from training.trainer import Progress

#: Rows of the cumulative table, in the order of the paper; the first two are given, the rest is made for each seed.
GIVEN = ("pretrain", "midtrain")
MADE: tuple[Stage, ...] = ("sft", "dpo", "sft_art", "dpo_art")
CONTROL = "control"  # as many steps as all of MADE from midtrain, on rendered scenes alone


@dataclass(frozen=True, kw_only=True)
class AblationPlan:
    """What every seed does. ``accepted`` is the share of picks that clears the bar: alpha follows from it."""

    num_targets: int = 240
    num_candidates: int = 8
    guidance: float = SamplerSettings().geometry_cfg_strength  # of candidates: as people really get them
    eyes: Eyes = "surface"
    accepted: float = 0.6
    pairs_per_target: int = 3
    num_replay: int = 256  # procedural examples that fine-tuning keeps seeing
    steps: tuple[tuple[Stage, int], ...] = ()  # other than the table's of training/configs.py

    def config(self, stage: Stage, *, seed: int) -> RunConfig:
        """A stage's settings for a seed."""
        config = default_config(stage, steps=dict(self.steps).get(stage), seed=seed)
        return replace(config, num_replay=self.num_replay)

    def control(self, *, seed: int) -> RunConfig:
        """Midtrain's data, the fine-tuning's optimizer, and the steps of all made stages together."""
        steps = sum(self.config(stage, seed=seed).steps for stage in MADE)
        return replace(STAGES["midtrain"], steps=steps, seed=seed, optimizer=STAGES["sft"].optimizer)


def run_arms(
    *,
    midtrained: Path,
    folder: Path,
    plan: AblationPlan,
    seed: int,
    on_progress: Progress | None = None,
) -> Iterator[tuple[str, Path]]:
    """Yields each made stage's name and checkpoint folder, then the control's; finished stages are not run again.

    People judge the mid-trained model's candidates; SFT takes what they accepted, DPO what they picked before what they
    did not. Then the model so far proposes for other targets, and artists make what it failed at: SFT on their shapes,
    DPO between these and the best failure.
    """
    people = _collect(midtrained, folder / "people", plan, seed=seed, start=0, shares=("people",))
    done = {"midtrain": midtrained}
    made: tuple[tuple[Stage, str, Path], ...] = (("sft", "midtrain", people), ("dpo", "sft", people))
    for stage, parent, dataset in made:
        done[stage] = _train(stage, done[parent], dataset, folder, plan, seed=seed, on_progress=on_progress)
        yield stage, done[stage]
    artists = _collect(
        done["dpo"], folder / "artists", plan, seed=seed, start=plan.num_targets, shares=("artist",)
    )
    made = (("sft_art", "dpo", artists), ("dpo_art", "sft_art", artists))
    for stage, parent, dataset in made:
        done[stage] = _train(stage, done[parent], dataset, folder, plan, seed=seed, on_progress=on_progress)
        yield stage, done[stage]
    result = run_training(
        plan.control(seed=seed),
        workdir=folder / CONTROL,
        checkpoint_dir=midtrained,
        manifest_dir=None,
        on_progress=on_progress,
    )
    yield CONTROL, result.output_dir


def _train(
    stage: Stage,
    parent: Path,
    dataset: Path,
    folder: Path,
    plan: AblationPlan,
    *,
    seed: int,
    on_progress: Progress | None,
) -> Path:
    result = run_training(
        plan.config(stage, seed=seed),
        workdir=folder / stage,
        checkpoint_dir=parent,
        manifest_dir=dataset,
        on_progress=on_progress,
    )
    return result.output_dir


def _collect(
    checkpoint: Path,
    folder: Path,
    plan: AblationPlan,
    *,
    seed: int,
    start: int,
    shares: tuple[Share, ...],
) -> Path:
    """A simulated round's dataset and, beside it, what the round gave."""
    summary = folder / "round.json"
    if summary.exists():
        return folder
    manifest, models = load_models(checkpoint)
    targets = fresh_targets(models, count=plan.num_targets, seed=seed, start=start)
    drawn = replace(SETTINGS, cfg_strength=plan.guidance)
    blind = propose(models, targets, num=plan.num_candidates, seed=seed, settings=drawn)
    proposals = as_seen(plan.eyes, blind, targets)
    person = typical_annotator(proposals, seed=seed)
    free = judge(proposals, person, alpha=0.0, seed=seed)
    alpha = float(np.quantile(free.rating, 1.0 - plan.accepted))
    judgements = replace(free, alpha=alpha)
    counts = write_dataset(
        folder,
        targets,
        proposals,
        judgements,
        origin=Origin(checkpoint=manifest.sha256),
        shares=shares,
        pairs_per_target=plan.pairs_per_target,
        seed=seed,
    )
    told = {"alpha": round(alpha, 4), "noise": round(person.noise, 4), **yields(proposals, judgements)}
    winners = blind.quality[np.arange(len(targets)), judgements.picks.winner]
    told |= {"mean_viou": round(float(blind.quality.mean()), 4), "picked_viou": round(float(winners.mean()), 4)}
    summary.write_text(json.dumps({**told, **asdict(counts)}))
    return folder
