"""Flow-matching losses per example: mean squared velocity error of the shape latent and of each layout token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from modelzoo.encoders.places import patch_points
from modelzoo.models.geometry import LAYOUT_SIZES

OUTSIDE = 0.75  # of the object's unit cube, which ends at 0.5


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


def place_error(places: Tensor, crop: Tensor, layout: Tensor) -> Tensor:
    """B numbers: the mean distance (L1, unit cube) of guessed places (B x n x 3) from those that a raw layout gives.

    A patch's true place is the mean point of its masked pixels (``crop`` B x 8 x S x S, before any dropout) taken into
    the object by the layout (B x 13). Patches count by their masked share; no known point, no error. Points that the
    layout puts well outside the object are not believed.
    """
    seen = patch_points(crop)
    assert places.shape == seen.points.shape, (places.shape, seen.points.shape)
    first = F.normalize(layout[:, :3], dim=1)
    second = F.normalize(layout[:, 3:6] - first * (first * layout[:, 3:6]).sum(1, keepdim=True), dim=1)
    rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
    scale = layout[:, 9].exp()[:, None, None]
    truth = (seen.points - layout[:, None, 6:9]) @ rotation / scale
    weights = seen.weights * (truth.abs().amax(dim=2) < OUTSIDE)
    distance = (places - truth).abs().mean(dim=2)
    return (distance * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-6)
