"""Measures rewards: agreement with held-out judgements, and what a pre-filter N = 50 -> 8 by each of them recovers.

``python -m training.cli reward-report --checkpoint C --out FILE``: C draws candidates for fresh targets of the shifted
world, a simulated annotator judges them. One stream of targets trains the learned rewards, another measures them all.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.registry import Models, load_models
from training.configs import STAGES, default_config
from training.metrics.intervals import bootstrap_mean
from training.provenance import provenance
from training.reports.reward_table import as_markdown
from training.reward.agreement import agreement_table
from training.reward.candidates import CandidateSet, JudgedPairs, candidate_set, judged_pairs
from training.reward.files import save_reward
from training.reward.fitting import fit_reward
from training.reward.implicit import ImplicitReward
from training.reward.measurements import NAMES
from training.reward.model import RewardPreset, scores
from training.reward.prefilter import SHOWN, best_by_reward, recovered_yield
from training.simulation.annotators import Annotator, judge
from training.simulation.proposals import Proposals, condition_batch, propose
from training.simulation.rounds import typical_annotator
from training.simulation.targets import SimulatedTarget, fresh_targets

Floats = NDArray[np.float64]

#: Measurements that are rewards by themselves, and in which direction.
BASELINES = {
    "log_volume": 1.0,
    "silhouette_iou": 1.0,
    "depth_error": -1.0,
    "roughness": -1.0,
    "consensus": 1.0,
}
WITHOUT_COMPANY = tuple(name for name in NAMES if name != "consensus")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A stream of targets with their proposals and what a reward sees of them."""

    targets: tuple[SimulatedTarget, ...]
    proposals: Proposals
    candidates: CandidateSet


@dataclass(frozen=True, kw_only=True)
class ReportPlan:
    """How much is measured. ``alpha`` is the bar of acceptance, in volume IoU."""

    num_training: int = 160
    num_held_out: int = 40
    pool: int = 50
    alpha: float = 0.3
    steps: int = STAGES["reward"].steps
    seed: int = 0


def proposed(models: Models, *, count: int, num: int, seed: int) -> Judged:
    """``count`` fresh targets of a stream with ``num`` candidates each."""
    targets = fresh_targets(models, count=count, seed=seed)
    proposals = propose(models, targets, num=num, seed=seed)
    return Judged(targets=targets, proposals=proposals, candidates=candidate_set(models, targets, proposals))


def report(
    training: Judged,
    held_out: Judged,
    plan: ReportPlan,
    *,
    annotator: Annotator,
    workdir: Path,
    implicit: ImplicitReward | None = None,
    keep_in: Path | None = None,
    encoder: tuple[str, str] = ("", ""),
) -> dict[str, object]:
    """Train the learned rewards on one stream and measure every reward on the other. ``keep_in`` gets the full one.

    ``encoder`` is the sha256 and the preset of the checkpoint that made the candidate sets' tokens.
    """
    judgements = judge(training.proposals, annotator, alpha=plan.alpha, seed=plan.seed)
    rewards = _measured_rewards(held_out.candidates)
    rewards |= _learned_rewards(
        training, judged_pairs(judgements), held_out, plan, workdir=workdir, keep_in=keep_in, encoder=encoder
    )
    if implicit is not None:
        views = condition_batch(held_out.targets)
        latents = torch.from_numpy(held_out.proposals.latents)
        rewards["implicit"] = implicit.scores(views, latents).double().numpy()
    quality = held_out.proposals.quality
    judged = judged_in_grids(held_out.proposals, annotator, seed=plan.seed + 1)
    return {
        "data": "fresh procedural targets of the shifted world; annotator and truth are simulated",
        "quality": "volume IoU with the hidden truth, solid, no alignment",
        "targets": {"training": plan.num_training, "held_out": len(quality)},
        "candidates": {
            "training": training.proposals.num_candidates,
            "pool": quality.shape[1],
            "shown": SHOWN,
        },
        "training_pairs": len(judged_pairs(judgements)),
        "annotator_noise": round(annotator.noise, 4),
        "agreement": agreement_table(rewards, judged, quality, seed=plan.seed),
        "annotator_agreement_with_truth": _annotators_own(judged, quality),
        "prefilter": {
            name: {
                **recovered_yield(values, quality).as_dict(seed=plan.seed),
                **_picked(held_out.proposals, values, annotator, plan),
            }
            for name, values in rewards.items()
        },
    }


def judged_in_grids(proposals: Proposals, annotator: Annotator, *, seed: int) -> JudgedPairs:
    """The annotator's comparisons when the candidates come to them eight at a time, in order."""
    parts = []
    for start in range(0, proposals.num_candidates - 1, SHOWN):
        stop = min(start + SHOWN, proposals.num_candidates)
        columns = np.tile(np.arange(start, stop), (proposals.num_targets, 1))
        pairs = judged_pairs(judge(proposals.chosen(columns), annotator, alpha=0.0, seed=seed + start))
        parts.append((pairs.target, pairs.chosen + start, pairs.rejected + start))
    target, chosen, rejected = (np.concatenate(column) for column in zip(*parts, strict=True))
    return JudgedPairs(target=target, chosen=chosen, rejected=rejected)


def _measured_rewards(candidates: CandidateSet) -> dict[str, Floats]:
    values = candidates.measurements.double().numpy()
    return {name: sign * values[..., NAMES.index(name)] for name, sign in BASELINES.items()}


def _learned_rewards(
    training: Judged,
    pairs: JudgedPairs,
    held_out: Judged,
    plan: ReportPlan,
    *,
    workdir: Path,
    keep_in: Path | None,
    encoder: tuple[str, str],
) -> dict[str, Floats]:
    """The full one, one that judges a candidate without its company, and one of measurements without image."""
    width = int(training.candidates.tokens.shape[2])
    presets = {
        "learned": RewardPreset(condition_width=width),
        "learned_without_consensus": RewardPreset(condition_width=width, measurements=WITHOUT_COMPANY),
        "measurements_alone": RewardPreset(condition_width=width, looks=False),
    }
    found, config = {}, default_config("reward", steps=plan.steps, seed=plan.seed)
    for name, preset in presets.items():
        model = fit_reward(training.candidates, pairs, preset, config, folder=workdir / name)
        found[name] = scores(model, held_out.candidates).double().numpy()
        if name == "learned" and keep_in is not None:
            trained = {
                "seed": plan.seed,
                "steps": plan.steps,
                "pairs": len(pairs),
                "targets": plan.num_training,
            }
            save_reward(keep_in, model, encoder=encoder[0], encoder_preset=encoder[1], trained=trained)
    return found


def _annotators_own(judged: JudgedPairs, quality: Floats) -> float:
    gap = quality[judged.target, judged.chosen] - quality[judged.target, judged.rejected]
    return round(float((gap > 0).mean() + 0.5 * (gap == 0).mean()), 4)


def _picked(
    proposals: Proposals, rewards: Floats, annotator: Annotator, plan: ReportPlan
) -> dict[str, object]:
    """What the annotator's pick is truly worth, and acceptance at alpha, from eight plain candidates and from eight
    filtered ones; also of the targets that were refused among the plain ones."""
    plain = np.tile(np.arange(SHOWN), (proposals.num_targets, 1))
    outcome = {}
    for name, columns in (("plain", plain), ("filtered", best_by_reward(rewards))):
        shown = proposals.chosen(columns)
        judgements = judge(shown, annotator, alpha=plan.alpha, seed=plan.seed + 2)
        rows = np.arange(proposals.num_targets)
        outcome[name] = shown.quality[rows, judgements.picks.winner], judgements.accepted
    gain = bootstrap_mean(outcome["filtered"][0] - outcome["plain"][0], seed=plan.seed).as_dict()
    refused = ~outcome["plain"][1]
    rescued = outcome["filtered"][1][refused]
    return {
        "picked_plain": round(float(outcome["plain"][0].mean()), 4),
        "picked_filtered": round(float(outcome["filtered"][0].mean()), 4),
        "picked_gain": gain,
        "acceptance_plain": round(float(outcome["plain"][1].mean()), 4),
        "acceptance_filtered": round(float(outcome["filtered"][1].mean()), 4),
        "accepted_of_refused": round(float(rescued.mean()), 4) if len(rescued) else None,
        "num_refused": int(refused.sum()),
    }


def _run(options: argparse.Namespace) -> int:
    if (options.policy is None) != (options.reference is None):
        raise SystemExit("an implicit reward needs both --policy and --reference")
    manifest, models = load_models(options.checkpoint)
    plan = ReportPlan(
        num_training=options.training_targets,
        num_held_out=options.held_out_targets,
        pool=options.pool,
        alpha=options.alpha,
        seed=options.seed,
    )
    training = proposed(models, count=plan.num_training, num=SHOWN, seed=2 * plan.seed)
    held_out = proposed(models, count=plan.num_held_out, num=plan.pool, seed=2 * plan.seed + 1)
    with tempfile.TemporaryDirectory() as scratch:
        found = report(
            training,
            held_out,
            plan,
            annotator=typical_annotator(training.proposals, seed=plan.seed),
            workdir=Path(scratch),
            implicit=_implicit(options.policy, options.reference),
            keep_in=options.reward,
            encoder=(manifest.sha256, manifest.preset),
        )
    whole = {"checkpoint": manifest.sha256, **found, "provenance": provenance(seed=plan.seed)}
    text = json.dumps(whole, indent=1) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    table = as_markdown(whole)
    options.out.with_suffix(".md").write_text(table)
    sys.stdout.write(table)
    return 0


def _implicit(policy: Path | None, reference: Path | None) -> ImplicitReward | None:
    if policy is None or reference is None:
        return None
    return ImplicitReward(
        policy=load_models(policy)[1].geometry, reference=load_models(reference)[1].geometry
    )


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``reward-report``."""
    text = "train rewards on simulated judgements; their agreement with held-out ones, and the pre-filter's yield"
    sub = commands.add_parser("reward-report", help=text, description=text)
    sub.set_defaults(run=_run)
    sub.add_argument(
        "--checkpoint", type=Path, required=True, help="makes the candidates; its encoder is read"
    )
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--reward", type=Path, default=None, help="keep the learned reward in this folder")
    sub.add_argument("--policy", type=Path, default=None, help="a DPO checkpoint, for the implicit reward")
    sub.add_argument("--reference", type=Path, default=None, help="the checkpoint it was trained from")
    sub.add_argument("--training-targets", type=int, default=ReportPlan.num_training)
    sub.add_argument("--held-out-targets", type=int, default=ReportPlan.num_held_out)
    sub.add_argument("--pool", type=int, default=ReportPlan.pool)
    sub.add_argument("--alpha", type=float, default=ReportPlan.alpha)
    sub.add_argument("--seed", type=int, default=0)
