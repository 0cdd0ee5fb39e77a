"""Training of the learned reward on judged pairs, by the one loop that trains everything."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from training.configs import RunConfig
from training.objectives.reward import RewardObjective, RewardPairSource
from training.reward.candidates import CandidateSet, JudgedPairs
from training.reward.model import RewardModel, RewardPreset
from training.trainer import TrainingLoop


def fit_reward(
    candidates: CandidateSet, pairs: JudgedPairs, preset: RewardPreset, config: RunConfig, *, folder: Path
) -> RewardModel:
    """The moving average of a reward trained on ``pairs`` by the table's stage ``reward``; the encoder stays as it is.

    Training starts from the best weighted sum of the measurements alone, which Adam would take long to find. The run's
    log and state lie in ``folder``, from which it resumes. Raises ValueError without pairs, NonFiniteLoss.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = RewardModel(preset)
    source = RewardPairSource(candidates, pairs, batch_size=config.micro_batch_size, seed=config.seed)
    chosen, rejected = _measured(candidates, pairs)
    model.standardise_by(torch.cat([chosen, rejected]))
    model.linear.weight.data[0] = best_weights(model.standardised(chosen) - model.standardised(rejected))
    loop = TrainingLoop(
        config=config,
        model=model,
        objective=RewardObjective(),
        source=source,
        folder=folder,
    )
    loop.run()
    return loop.average


def best_weights(differences: Tensor, *, ridge: float = 0.01, rounds: int = 12) -> Tensor:
    """M weights w that minimise mean log(1 + exp(-d w)) + ridge |w|^2 over P x M differences, by Newton's method."""
    assert differences.dim() == 2, differences.shape
    rows, count = differences.double(), differences.shape[1]
    weights = rows.new_zeros(count)
    for _ in range(rounds):
        wrong = torch.sigmoid(-rows @ weights)
        slope = 2 * ridge * weights - (wrong[:, None] * rows).mean(dim=0)
        bend = (rows * (wrong * (1 - wrong))[:, None]).T @ rows / len(rows) + 2 * ridge * torch.eye(
            count
        ).double()
        weights = weights - torch.linalg.solve(bend, slope)
    return weights.float()


def _measured(candidates: CandidateSet, pairs: JudgedPairs) -> tuple[Tensor, Tensor]:
    """P x M measurements of the chosen and of the rejected: only what a pair names, since sets may be filled up."""
    target, chosen, rejected = (
        torch.from_numpy(part) for part in (pairs.target, pairs.chosen, pairs.rejected)
    )
    return candidates.measurements[target, chosen], candidates.measurements[target, rejected]
