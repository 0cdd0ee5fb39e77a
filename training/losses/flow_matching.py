"""Flow-matching losses per example: mean squared velocity error of the shape latent and of each layout token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modelzoo.models.geometry import LAYOUT_SIZES


@dataclass(frozen=True, kw_only=True)
class LayoutWeights:
    """Weight of each layout token's loss beside the shape's 1."""

    rotation: float = 0.25
    translation: float = 0.25
    scale: float = 0.25
    translation_scale: float = 0.0


def shape_error(predicted: Tensor, velocity: Tensor) -> Tensor:
    """B numbers: the mean, over all latent numbers, of the squared velocity error."""
    assert predicted.shape == velocity.shape, (predicted.shape, velocity.shape)
    return (predicted - velocity).square().flatten(1).mean(dim=1)


def layout_error(predicted: Tensor, velocity: Tensor, *, weights: LayoutWeights) -> Tensor:
    """B numbers: the weighted sum over the layout's tokens of their mean squared velocity errors."""
    assert predicted.shape == velocity.shape, (predicted.shape, velocity.shape)
    parts = torch.split((predicted - velocity).square(), list(LAYOUT_SIZES), dim=1)
    means = torch.stack([part.mean(dim=1) for part in parts])
    given = (weights.rotation, weights.translation, weights.scale, weights.translation_scale)
    return (means * torch.tensor(given, device=predicted.device)[:, None]).sum(dim=0)
