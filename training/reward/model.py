"""A small learned reward over (image, candidate): coarse solid, condition tokens and measurements to one number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.reward.candidates import COARSE, CandidateSet
from training.reward.measurements import NAMES

HIDDEN = 32


@dataclass(frozen=True, kw_only=True)
class RewardPreset:
    """Sizes, and which measurements it reads. ``looks`` False leaves image and solid out: measurements alone."""

    condition_width: int
    width: int = 32
    heads: int = 4
    measurements: tuple[str, ...] = NAMES
    looks: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.measurements) - set(NAMES)
        if unknown or not (self.looks or self.measurements):
            raise ValueError(f"unknown measurements {sorted(unknown)}, or nothing to judge by")


class RewardModel(nn.Module):
    """A weighted sum of standardised measurements, plus a network that begins at zero.

    The network reads the solid by 3-D convolutions to 4^3 tokens, which attend to the condition tokens, and all
    measurements. Only differences within a target mean anything.
    """

    measurement_mean: Tensor
    measurement_std: Tensor

    def __init__(self, preset: RewardPreset) -> None:
        super().__init__()
        self.preset = preset
        width, count = preset.width, len(preset.measurements)
        self.linear = nn.Linear(count, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.solid = nn.Sequential(
            nn.Conv3d(1, width // 2, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv3d(width // 2, width, 3, stride=2, padding=1),
        )
        self.position = nn.Parameter(torch.randn(1, (COARSE // 4) ** 3, width) * 0.02)
        self.condition = nn.Sequential(
            nn.LayerNorm(preset.condition_width), nn.Linear(preset.condition_width, width)
        )
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, preset.heads, batch_first=True)
        self.hidden = nn.Linear(count + (width if preset.looks else 0), HIDDEN)
        self.head = nn.Linear(HIDDEN, 1, bias=False)
        nn.init.zeros_(self.head.weight)
        self.register_buffer("measurement_mean", torch.zeros(count))
        self.register_buffer("measurement_std", torch.ones(count))

    def standardise_by(self, measurements: Tensor) -> None:
        """Take mean and spread of the measurements that it reads from training candidates (C x M, all names)."""
        rows = self._read(measurements)
        self.measurement_mean.copy_(rows.mean(dim=0))
        self.measurement_std.copy_(rows.std(dim=0).clamp(min=1e-4))

    def standardised(self, measurements: Tensor) -> Tensor:
        """The measurements that it reads (of all names, last dimension), none further out than four spreads."""
        return ((self._read(measurements) - self.measurement_mean) / self.measurement_std).clamp(-4.0, 4.0)

    def forward(self, tokens: Tensor, solids: Tensor, measurements: Tensor) -> Tensor:
        """B rewards of candidates (B x 16^3, B x M with all names) of targets (B x L x X)."""
        batch = solids.shape[0]
        assert solids.shape == (batch, COARSE, COARSE, COARSE), solids.shape
        assert measurements.shape == (batch, len(NAMES)), measurements.shape
        assert tokens.shape[0] == batch and tokens.shape[2] == self.preset.condition_width, tokens.shape
        values = self.standardised(measurements)
        seen = [values, self._look(tokens, solids)] if self.preset.looks else [values]
        reward: Tensor = self.linear(values) + self.head(F.gelu(self.hidden(torch.cat(seen, dim=1))))
        return reward[:, 0]

    def _read(self, measurements: Tensor) -> Tensor:
        read: Tensor = measurements[..., [NAMES.index(name) for name in self.preset.measurements]]
        return read

    def _look(self, tokens: Tensor, solids: Tensor) -> Tensor:
        """B x width: what the solid's parts find in the photograph, averaged."""
        parts = self.solid(solids[:, None]).flatten(2).transpose(1, 2) + self.position
        memory = self.condition(tokens)
        found = self.attention(self.norm(parts), memory, memory, need_weights=False)[0]
        looked: Tensor = (parts + found).mean(dim=1)
        return looked


@torch.no_grad()
def scores(model: RewardModel, candidates: CandidateSet) -> Tensor:
    """T x N rewards."""
    count, num = candidates.solids.shape[:2]
    rows = [
        model(
            candidates.tokens[row, None].expand(num, -1, -1),
            candidates.solids[row],
            candidates.measurements[row],
        )
        for row in range(count)
    ]
    return torch.stack(rows) if rows else candidates.solids.new_zeros(0, num)
