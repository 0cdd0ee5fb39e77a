"""Which spot of the object a photograph's patch shows: guessed per patch, told to the flow, and fitted to a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.presets import VIEW_PATCH

OCTAVES = 4  # of the waves that a place is given as; the finest has a wavelength of a quarter of the object
POSE_NUMBERS = 12  # two columns of R, translation, log scale, residual, whether the fit is known
LEAST_WEIGHT = 2.0  # patches' worth of points that a pose can be fitted to


@dataclass(frozen=True, kw_only=True)
class PatchPoints:
    """Mean normalised point of each crop patch's masked pixels (B x n x 3) and their share of the patch (B x n)."""

    points: Tensor
    weights: Tensor


class PlaceHead(nn.Module):
    """Guesses each crop patch's place in the object frame (unit cube), adds it to the token, and fits a pose to all.

    A shape token knows its place in the object, a patch knows its place before the camera: what relates the two is
    the pose, which neither knows. Trained with the true places, the head gives patches the shape tokens' coordinates.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Linear(width, 3)
        self.told = nn.Linear(3 + 6 * OCTAVES, width)
        self.pose = nn.Sequential(nn.Linear(POSE_NUMBERS, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, tokens: Tensor, seen: PatchPoints) -> tuple[Tensor, Tensor, Tensor]:
        """Crop tokens B x n x width to the same with places told, one pose token (B x 1 x width), and the places."""
        places = self.guess(self.norm(tokens))
        angles = torch.cat([places * (math.pi * 2**octave) for octave in range(OCTAVES)], dim=-1)
        told = self.told(torch.cat([places, angles.sin(), angles.cos()], dim=-1))
        pose = self.pose(fitted_pose(places.detach(), seen).to(tokens.dtype))
        return tokens + told, pose[:, None], places


def patch_points(crop: Tensor) -> PatchPoints:
    """The mean point of every patch of a crop view (B x 8 x S x S, see Views)."""
    known = crop[:, 3:4] * crop[:, 7:8]
    share = F.avg_pool2d(known, VIEW_PATCH)
    mean = F.avg_pool2d(crop[:, 4:7] * known, VIEW_PATCH) / share.clamp(min=1e-6)
    return PatchPoints(points=mean.flatten(2).transpose(1, 2), weights=share.flatten(1))


@torch.no_grad()
def fitted_pose(places: Tensor, seen: PatchPoints) -> Tensor:
    """B x 12: the weighted least-squares similarity from places to points (Umeyama 1991), zero where too few are known.

    Two columns of R, translation and log scale as in a layout (normalised point map frame), then the root mean square
    residual and 1. In float32 under autocast too, which would take products to half precision.
    """
    with torch.autocast(places.device.type, enabled=False):
        return _fitted(places.float(), seen.points.float(), seen.weights.float())


def _fitted(places: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    known = weights.sum(dim=1) >= LEAST_WEIGHT
    share = (weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6))[..., None]
    from_mean, to_mean = (places * share).sum(1, keepdim=True), (points * share).sum(1, keepdim=True)
    here, there = places - from_mean, points - to_mean
    spread = (here.square() * share).sum(dim=(1, 2)).clamp(min=1e-6)
    covariance = (there * share).transpose(1, 2) @ here
    u, singular, vh = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    scale = ((singular * sign).sum(dim=1) / spread).clamp(min=1e-3)
    turned = scale[:, None, None] * here @ rotation.transpose(1, 2)
    residual = ((turned - there).square().sum(-1) * share[..., 0]).sum(dim=1).sqrt()
    translation = to_mean[:, 0] - scale[:, None] * (rotation @ from_mean.transpose(1, 2))[..., 0]
    numbers = torch.cat(
        [
            rotation[:, :, 0],
            rotation[:, :, 1],
            translation,
            torch.stack([scale.log(), residual, torch.ones_like(scale)], dim=1),
        ],
        dim=1,
    )
    return torch.where(known[:, None], numbers, torch.zeros_like(numbers))
