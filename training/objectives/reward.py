"""Bradley-Terry: the reward of the preferred candidate should exceed that of the other one, of the same target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.reward.candidates import CandidateSet, JudgedPairs
from training.reward.model import RewardModel


@dataclass(frozen=True, kw_only=True)
class RewardBatch:
    """B judged pairs: tokens B x L x X, and of either half the solid (B x 16^3) and the measurements (B x M)."""

    tokens: Tensor
    chosen_solids: Tensor
    chosen_measurements: Tensor
    rejected_solids: Tensor
    rejected_measurements: Tensor


class RewardPairSource:
    """Judged pairs, drawn with replacement by the step's own generator."""

    def __init__(self, candidates: CandidateSet, pairs: JudgedPairs, *, batch_size: int, seed: int) -> None:
        if len(pairs) == 0:
            raise ValueError("there are no judged pairs to train a reward on")
        if int(pairs.target.max()) >= len(candidates.tokens):
            raise ValueError("a pair belongs to a target that is not among the candidates")
        self.candidates, self.pairs = candidates, pairs
        self.batch_size, self.seed = batch_size, seed

    def batch(self, step: int) -> RewardBatch:
        """The pairs of a step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = torch.randint(len(self.pairs), (self.batch_size,), generator=generator).numpy()
        target, chosen, rejected = (
            torch.from_numpy(part[rows])
            for part in (self.pairs.target, self.pairs.chosen, self.pairs.rejected)
        )
        held = self.candidates
        return RewardBatch(
            tokens=held.tokens[target],
            chosen_solids=held.solids[target, chosen],
            chosen_measurements=held.measurements[target, chosen],
            rejected_solids=held.solids[target, rejected],
            rejected_measurements=held.measurements[target, rejected],
        )


@dataclass(frozen=True, kw_only=True)
class RewardObjective:
    """-log sigmoid(reward of the chosen - reward of the rejected); ln 2 where the two are equal."""

    def loss(
        self, model: RewardModel, batch: RewardBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log. Nothing is random."""
        rewards = model(
            batch.tokens.repeat(2, 1, 1),
            torch.cat([batch.chosen_solids, batch.rejected_solids]),
            torch.cat([batch.chosen_measurements, batch.rejected_measurements]),
        )
        chosen, rejected = rewards.chunk(2)
        agreed = (chosen > rejected).float().mean()
        return F.softplus(rejected - chosen).mean(), {"pair_accuracy": agreed.item()}
