"""What a reward looks at: a target's condition tokens, its candidates' coarse solids, and their measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.registry import Models
from training.reward.measurements import NAMES, measured, sight_of
from training.simulation.annotators import EQUAL, FIRST, Judgements
from training.simulation.proposals import Proposals, condition_batch, encoded
from training.simulation.targets import SimulatedTarget

COARSE = 16  # cells a side of the solid that the learned reward reads


@dataclass(frozen=True, kw_only=True)
class CandidateSet:
    """T targets with N candidates each: tokens T x L x X (frozen encoder), solids T x N x 16^3 (share of each cell that
    is occupied), measurements T x N x M (``measurements.NAMES``)."""

    tokens: Tensor
    solids: Tensor
    measurements: Tensor

    def __post_init__(self) -> None:
        expected = (*self.solids.shape[:2], len(NAMES))
        if self.measurements.shape != expected or len(self.tokens) != expected[0]:
            raise ValueError(f"measurements must be {expected}, not {tuple(self.measurements.shape)}")


@dataclass(frozen=True, kw_only=True)
class JudgedPairs:
    """P pairs of candidates of the same target: whose row, which was preferred, which was not (P each)."""

    target: NDArray[np.int64]
    chosen: NDArray[np.int64]
    rejected: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)


def candidate_set(models: Models, targets: Sequence[SimulatedTarget], proposals: Proposals) -> CandidateSet:
    """Everything that is needed to score the proposals, with the encoder of ``models``."""
    if len(targets) != proposals.num_targets:
        raise ValueError("targets and proposals must be of the same targets")
    solids, rows = [], []
    for row, target in enumerate(targets):
        grids = proposals.grids(row)
        solids.append(coarse(grids))
        rows.append(measured(sight_of(target), grids, proposals.layouts[row]))
    return CandidateSet(
        tokens=encoded(models.geometry, condition_batch(targets)),
        solids=torch.from_numpy(np.stack(solids)),
        measurements=torch.from_numpy(np.stack(rows)).float(),
    )


def coarse(grids: NDArray[np.bool_]) -> NDArray[np.float32]:
    """N x R x R x R to N x 16 x 16 x 16: the share of each cell that is solid."""
    count, side = grids.shape[:2]
    if side % COARSE:
        raise ValueError(f"a grid of {side}^3 has no cells of {COARSE}^3")
    cut = grids.reshape(count, COARSE, side // COARSE, COARSE, side // COARSE, COARSE, side // COARSE)
    shares: NDArray[np.float32] = cut.mean(axis=(2, 4, 6), dtype=np.float32)
    return shares


def judged_pairs(judgements: Judgements) -> JudgedPairs:
    """The comparisons that were made and not called equal; of a pick from the grid, the pick over each other."""
    picks, rows = judgements.picks, list[tuple[int, int, int]]()
    for target in range(len(picks.winner)):
        if picks.first.shape[1]:
            shown = zip(picks.first[target], picks.second[target], picks.outcome[target], strict=True)
            rows += [
                (target, int(a), int(b)) if outcome == FIRST else (target, int(b), int(a))
                for a, b, outcome in shown
                if outcome != EQUAL
            ]
        else:
            winner = int(picks.winner[target])
            rows += [(target, winner, int(other)) for other in judgements.rejected(target)]
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return JudgedPairs(target=table[:, 0], chosen=table[:, 1], rejected=table[:, 2])
