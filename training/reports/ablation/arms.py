"""One seed of the ablation: its stages collected, judged and trained in turn, beside an arm without people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from modelzoo.contracts import SamplerSettings
from modelzoo.registry import load_models
from training.configs import STAGES, RunConfig, Stage
from training.data.scenes import AnnotatedWorld
from training.runs import run_training
from training.simulation.annotators import judge
from training.simulation.datasets import Origin, merge_datasets, write_dataset
from training.simulation.eyes import Eyes, as_seen
from training.simulation.proposals import SETTINGS, propose
from training.simulation.rounds import typical_annotator, yields
from training.simulation.targets import fresh_targets
from training.trainer import Progress

#: Rows of the cumulative table, in the order of the paper; the first two are given, the rest is made for each seed.
GIVEN = ("pretrain", "midtrain")
MADE: tuple[Stage, ...] = ("sft", "dpo", "sft_art", "dpo_art")
_SFT = replace(STAGES["sft"].optimizer, kind="muon", learning_rate=6e-4)
_DPO = replace(STAGES["dpo"].optimizer, learning_rate=3e-5)
#: For a base that learned for minutes instead of hours: it can take larger steps. Measured on development objects.
YOUNG: Mapping[str, RunConfig] = {
    "sft": replace(STAGES["sft"], steps=120, optimizer=_SFT),
    "dpo": replace(STAGES["dpo"], steps=60, optimizer=_DPO),
    "sft_art": replace(STAGES["sft_art"], steps=120, optimizer=replace(_SFT, learning_rate=2e-4)),
    "dpo_art": replace(STAGES["dpo_art"], steps=40, optimizer=_DPO),
}
#: For a long-trained base whose people annotate families that it never saw. Measured on development objects: by the
#: artists' stage there are hundreds of demonstrations, and what is replayed, or learned where nothing is seen, takes
#: back what DPO gave.
FOREIGN: Mapping[str, RunConfig] = {
    "sft": replace(STAGES["sft"], steps=120, optimizer=replace(_SFT, learning_rate=3e-4)),
    "dpo": replace(STAGES["dpo"], steps=100, draws=4, optimizer=_DPO),
    "sft_art": replace(
        STAGES["sft_art"],
        steps=300,
        replay_share=0.0,
        condition_dropout=0.0,
        optimizer=replace(_SFT, learning_rate=3e-4),
    ),
    "dpo_art": replace(STAGES["dpo_art"], steps=100, draws=4, optimizer=_DPO),
}
Settings = Literal["usual", "young", "foreign"]
SETTINGS_OF_STAGES: Mapping[Settings, Mapping[str, RunConfig]] = {
    "usual": STAGES,
    "young": YOUNG,
    "foreign": FOREIGN,
}
ROUND = "round.json"
CONTROL = "control"  # as much work as all of MADE from midtrain, on rendered scenes alone
#: Processor seconds of a DPO step over those of an SFT step: for each noise of a pair, two members and the reference.
_DPO_COST_A_DRAW = 0.8


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
    world: AnnotatedWorld = "shifted"
    settings: Settings = "usual"

    def config(self, stage: Stage, *, seed: int) -> RunConfig:
        """A stage's settings for a seed. Artists' shapes come with what people accepted: alone they are the hard and
        thin objects, and every candidate turns thinner (docs/log.md)."""
        table = SETTINGS_OF_STAGES[self.settings]
        config = replace(table[stage], steps=dict(self.steps).get(stage, table[stage].steps), seed=seed)
        if stage == "sft_art":
            config = replace(config, data="demonstrations")
        return replace(config, num_replay=self.num_replay)

    def control(self, *, seed: int) -> RunConfig:
        """Midtrain's data, the fine-tuning's optimizer, and as much work as all made stages together."""
        steps = round(sum(_work(self.config(stage, seed=seed)) for stage in MADE))
        as_they_learn = self.config("sft", seed=seed).optimizer
        return replace(STAGES["midtrain"], steps=steps, seed=seed, optimizer=as_they_learn)


def _work(config: RunConfig) -> float:
    """A run's processor time, in steps of SFT."""
    return config.steps * (config.draws * _DPO_COST_A_DRAW if config.objective == "preference" else 1.0)


def run_arms(
    *,
    midtrained: Path,
    folder: Path,
    plan: AblationPlan,
    seed: int,
    on_progress: Progress | None = None,
) -> Iterator[tuple[str, Path]]:
    """Yields each made stage's name and checkpoint folder, then the control's; finished stages are not run again.

    The newest model proposes each time, for targets that no earlier round had: SFT takes what people accepted of the
    mid-trained model's candidates, DPO what they preferred among SFT's. Artists make the true shape where nobody's
    candidate was good enough; their SFT takes all demonstrations so far, theirs and those that pass the newest bar, and
    their DPO the pairs of its own candidates.
    """
    train = partial(_train, folder=folder, plan=plan, seed=seed, on_progress=on_progress)
    collect = partial(_collect, folder=folder, plan=plan, seed=seed)
    first = collect(midtrained, 0)
    sft = train("sft", midtrained, first.people)
    yield "sft", sft
    second = collect(sft, 1)
    dpo = train("dpo", sft, second.people)
    yield "dpo", dpo
    third = collect(dpo, 2)
    everyone, rounds = folder / "everyone", (first, second, third)
    merge_datasets(
        [place for each in rounds for place in (each.people, each.artists)], everyone, alpha=third.alpha
    )
    sft_art = train("sft_art", dpo, everyone)
    yield "sft_art", sft_art
    fourth = collect(sft_art, 3)
    both = folder / "people-and-artists"
    merge_datasets([fourth.people, fourth.artists], both)
    yield "dpo_art", train("dpo_art", sft_art, both)
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


@dataclass(frozen=True, kw_only=True)
class _Collected:
    """A round's datasets, of what people said and of artists' shapes, and the bar that picks had to pass."""

    people: Path
    artists: Path
    alpha: float


def round_summaries(folder: Path) -> list[Path]:
    """What the rounds of a seed gave, one JSON file each, in order."""
    return [folder / f"round-{number}" / ROUND for number in range(len(MADE))]


def _collect(checkpoint: Path, number: int, *, folder: Path, plan: AblationPlan, seed: int) -> _Collected:
    """Round ``number`` of a seed, simulated: its own targets, the candidates of ``checkpoint``, what people said."""
    place = folder / f"round-{number}"
    people, artists, summary = place / "people", place / "artists", place / ROUND
    if not summary.exists():
        _simulate(checkpoint, number, people, artists, summary, plan=plan, seed=seed)
    return _Collected(people=people, artists=artists, alpha=json.loads(summary.read_text())["alpha"])


def _simulate(
    checkpoint: Path,
    number: int,
    people: Path,
    artists: Path,
    summary: Path,
    *,
    plan: AblationPlan,
    seed: int,
) -> None:
    manifest, models = load_models(checkpoint)
    start = number * plan.num_targets
    targets = fresh_targets(models, count=plan.num_targets, seed=seed, start=start, world=plan.world)
    drawn = replace(SETTINGS, steps=plan.sampler_steps, cfg_strength=plan.guidance)
    blind = propose(models, targets, num=plan.num_candidates, seed=seed, settings=drawn)
    proposals = as_seen(plan.eyes, blind, targets)
    person = typical_annotator(proposals, seed=seed)
    free = judge(proposals, person, alpha=0.0, seed=seed)
    alpha = round(float(np.quantile(free.rating, 1.0 - plan.accepted)), 4)
    judgements = replace(free, alpha=alpha)
    written = partial(
        write_dataset,
        targets=targets,
        proposals=proposals,
        judgements=judgements,
        origin=Origin(checkpoint=manifest.sha256, round=number + 1),
        pairs_per_target=plan.pairs_per_target,
        seed=seed,
    )
    said, shaped = written(people, shares=("people",)), written(artists, shares=("artist",))
    winners = blind.quality[np.arange(len(targets)), judgements.picks.winner]
    told = {
        "alpha": alpha,
        "noise": round(person.noise, 4),
        **yields(proposals, judgements),
        "mean_viou": round(float(blind.quality.mean()), 4),
        "picked_viou": round(float(winners.mean()), 4),
        "demonstrations": said.demonstrations,
        "preferences": said.preferences,
        "artists": shaped.demonstrations,
    }
    summary.write_text(json.dumps(told))
