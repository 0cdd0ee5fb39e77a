"""Volume intersection over union of occupancy grids; state solid or shell with every figure."""

from __future__ import annotations

import torch
from torch import Tensor


def volume_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of bool grids (... x R x R x R each, broadcast); two empty grids agree perfectly."""
    assert first.dtype == second.dtype == torch.bool, (first.dtype, second.dtype)
    assert first.shape[-3:] == second.shape[-3:], (first.shape, second.shape)
    both = (first & second).flatten(-3).sum(-1).float()
    either = (first | second).flatten(-3).sum(-1).float()
    return torch.where(either > 0, both / either.clamp(min=1.0), torch.ones(()))
