"""One seed of the ablation: its stages collected, judged and trained in turn, beside an arm without people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from modelzoo.contracts import SamplerSettings
from modelzoo.registry import load_models
from training.configs import STAGES, RunConfig, Stage
from training.runs import run_training
from training.simulation.annotators import judge
from training.simulation.datasets import Origin, Share, merge_datasets, write_dataset
from training.simulation.eyes import Eyes, as_seen
from training.simulation.proposals import SETTINGS, propose
from training.simulation.rounds import typical_annotator, yields
from training.simulation.targets import fresh_targets
from training.trainer import Progress

#: Rows of the cumulative table, in the order of the paper; the first two are given, the rest is made for each seed.
GIVEN = ("pretrain", "midtrain")
MADE: tuple[Stage, ...] = ("sft", "dpo", "sft_art", "dpo_art")
REPLAY_BESIDE_ARTISTS = 0.25
_SFT = replace(STAGES["sft"].optimizer, kind="muon", learning_rate=6e-4)
_DPO = replace(STAGES["dpo"].optimizer, learning_rate=3e-5)
#: For a base that learned for minutes instead of hours: it can take larger steps. Measured on development objects.
YOUNG: Mapping[Stage, RunConfig] = {
    "sft": replace(STAGES["sft"], steps=90, optimizer=_SFT),
    "dpo": replace(STAGES["dpo"], steps=60, optimizer=_DPO),
    "sft_art": replace(STAGES["sft_art"], steps=60, optimizer=_SFT),
    "dpo_art": replace(STAGES["dpo_art"], steps=40, optimizer=_DPO),
}
CONTROL = "control"  # as many steps as all of MADE from midtrain, on rendered scenes alone


@dataclass(frozen=True, kw_only=True)
class AblationPlan:
    """What every seed does. ``accepted`` is the share of picks that clears the bar: alpha follows from it."""

    num_targets: int = 200
    num_candidates: int = 8
    guidance: float = SamplerSettings().geometry_cfg_strength  # of candidates: as people really get them
    sampler_steps: int = 6
    eyes: Eyes = "surface"
    accepted: float = 0.6
    pairs_per_target: int = 3
    num_replay: int = 256  # procedural examples that fine-tuning keeps seeing
    steps: tuple[tuple[Stage, int], ...] = ()  # other than the table's
    young: bool = False  # whose table: of YOUNG, or of training/configs.py

    def config(self, stage: Stage, *, seed: int) -> RunConfig:
        """A stage's settings for a seed. Artists' shapes come with what people accepted: alone they are the hard and
        thin objects, and every candidate turns thinner (docs/log.md)."""
        table = YOUNG if self.young else STAGES
        config = replace(table[stage], steps=dict(self.steps).get(stage, table[stage].steps), seed=seed)
        if stage == "sft_art":
            config = replace(config, data="demonstrations", replay_share=REPLAY_BESIDE_ARTISTS)
        return replace(config, num_replay=self.num_replay)

    def control(self, *, seed: int) -> RunConfig:
        """Midtrain's data, the fine-tuning's optimizer, and the steps of all made stages together."""
        steps = sum(self.config(stage, seed=seed).steps for stage in MADE)
        as_they_learn = self.config("sft", seed=seed).optimizer
        return replace(STAGES["midtrain"], steps=steps, seed=seed, optimizer=as_they_learn)


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
    did not. Artists make the true shape of what nobody's candidate was good enough for: SFT and DPO on both.
    """
    people = _collect(midtrained, folder, plan, seed=seed)
    everyone = folder / "everyone"
    parent = midtrained
    for stage, dataset in zip(MADE, (people, people, everyone, everyone), strict=True):
        parent = _train(stage, parent, dataset, folder, plan, seed=seed, on_progress=on_progress)
        yield stage, parent
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


def _collect(checkpoint: Path, folder: Path, plan: AblationPlan, *, seed: int) -> Path:
    """A simulated round: what people said, the same with artists' shapes in ``everyone``, and what the round gave."""
    people, artists, summary = folder / "people", folder / "artists", folder / "round.json"
    if summary.exists():
        return people
    manifest, models = load_models(checkpoint)
    targets = fresh_targets(models, count=plan.num_targets, seed=seed)
    drawn = replace(SETTINGS, steps=plan.sampler_steps, cfg_strength=plan.guidance)
    blind = propose(models, targets, num=plan.num_candidates, seed=seed, settings=drawn)
    proposals = as_seen(plan.eyes, blind, targets)
    person = typical_annotator(proposals, seed=seed)
    free = judge(proposals, person, alpha=0.0, seed=seed)
    alpha = float(np.quantile(free.rating, 1.0 - plan.accepted))
    judgements = replace(free, alpha=alpha)
    shares: tuple[tuple[Share, Path], ...] = (("people", people), ("artist", artists))
    for share, place in shares:
        write_dataset(
            place,
            targets,
            proposals,
            judgements,
            origin=Origin(checkpoint=manifest.sha256),
            shares=(share,),
            pairs_per_target=plan.pairs_per_target,
            seed=seed,
        )
    counts = merge_datasets([people, artists], folder / "everyone")
    told = {"alpha": round(alpha, 4), "noise": round(person.noise, 4), **yields(proposals, judgements)}
    winners = blind.quality[np.arange(len(targets)), judgements.picks.winner]
    told |= {
        "mean_viou": round(float(blind.quality.mean()), 4),
        "picked_viou": round(float(winners.mean()), 4),
    }
    summary.write_text(json.dumps({**told, **asdict(counts)}))
    return people
