"""A simulated annotation round, whole: fresh scenes of the shifted world, candidates, a noisy annotator, a dataset.

Everything made here is simulated and says so. It exercises the same manifest and the same runs as people's work does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelzoo.registry import load_models
from training.simulation.annotators import Annotator, Judgements, calibrated_noise, judge, pair_agreement
from training.simulation.datasets import Origin, Share, write_dataset
from training.simulation.proposals import Proposals, propose
from training.simulation.targets import fresh_targets


@dataclass(frozen=True, kw_only=True)
class RoundSummary:
    """What the simulated round gave. ``pair_agreement`` is the annotator's with the truth, on the pairs shown."""

    num_targets: int
    num_demonstrations: int
    num_preferences: int
    num_artists: int
    annotator_noise: float
    pair_agreement: float
    mean_iou: float
    picked_iou: float
    best_iou: float
    acceptance: float
    accepted_iou: float | None


def write_simulated_dataset(
    checkpoint: Path,
    folder: Path,
    *,
    num_targets: int,
    alpha: float,
    seed: int,
    annotator: Annotator | None = None,
    shares: Sequence[Share] = ("people",),
) -> RoundSummary:
    """Propose eight candidates for each of ``num_targets`` fresh targets, judge them and write a dataset.

    A pick rated below ``alpha`` (IoU) is not accepted. Without ``annotator`` one is calibrated on these candidates.
    """
    manifest, models = load_models(checkpoint)
    targets = fresh_targets(models, count=num_targets, seed=seed)
    proposals = propose(models, targets, num=8, seed=seed)
    person = annotator or typical_annotator(proposals, seed=seed)
    judgements = judge(proposals, person, alpha=alpha, seed=seed)
    counts = write_dataset(
        folder,
        targets,
        proposals,
        judgements,
        origin=Origin(checkpoint=manifest.sha256),
        shares=shares,
        seed=seed,
    )
    return RoundSummary(
        num_targets=num_targets,
        num_demonstrations=counts.demonstrations,
        num_preferences=counts.preferences,
        num_artists=counts.artists,
        annotator_noise=person.noise,
        **yields(proposals, judgements),  # type: ignore[arg-type]
    )


def typical_annotator(proposals: Proposals, *, seed: int, name: str = "simulated") -> Annotator:
    """A careful king-of-the-hill annotator whose noise is calibrated on these candidates' quality."""
    return Annotator(name=name, noise=calibrated_noise(proposals.quality, seed=seed))


def yields(proposals: Proposals, judgements: Judgements) -> dict[str, float | None]:
    """True quality of all candidates, of picks, of the best, of what was accepted; and the annotator's agreement."""
    quality, winner = proposals.quality, judgements.picks.winner
    picked, accepted = quality[np.arange(len(winner)), winner], judgements.accepted
    return {
        "pair_agreement": round(pair_agreement(judgements.picks, quality), 4),
        "mean_iou": round(float(quality.mean()), 4),
        "picked_iou": round(float(picked.mean()), 4),
        "best_iou": round(float(quality.max(axis=1).mean()), 4),
        "acceptance": round(float(accepted.mean()), 4),
        "accepted_iou": round(float(picked[accepted].mean()), 4) if accepted.any() else None,
    }
