"""Fixed sinusoidal positions of cells on a cubic grid."""

from __future__ import annotations

import torch
from torch import Tensor


def grid_positions(side: int, width: int) -> Tensor:
    """(side^3, width) positions of a side^3 grid in x, y, z order, z fastest."""
    steps = torch.arange(side)
    return positions(
        torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).view(-1, 3), width
    )


def positions(coords: Tensor, width: int) -> Tensor:
    """(N, width) of integer cells (N, 3): sines and cosines of each axis, base 10 000, zeros where width has a rest."""
    assert coords.ndim == 2 and coords.shape[1] == 3, coords.shape
    octaves = width // 6
    frequency = 1e4 ** (-torch.arange(octaves, device=coords.device) / octaves)
    angles = coords.float()[..., None] * frequency  # (N, 3, octaves)
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return torch.cat([waves, waves.new_zeros(len(coords), width - waves.shape[1])], dim=1)
