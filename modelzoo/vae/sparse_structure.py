"""Occupancy autoencoder: a solid grid (64^3) to a small latent grid (8^3 x 8) and back to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.presets import GeometryPreset


class SparseStructureVAE(nn.Module):
    """Space-to-depth by 4, one strided convolution, and the mirror of both; 340 k parameters at preset tiny."""

    def __init__(self, preset: GeometryPreset) -> None:
        super().__init__()
        self.preset = preset
        width, channels = preset.vae_width, preset.latent_channels
        self.enter = nn.Conv3d(64, width, 1)
        self.down = nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)
        self.moments = nn.Conv3d(2 * width, 2 * channels, 1)
        self.rise = nn.Conv3d(channels, 2 * width, 3, padding=1)
        self.deep = nn.Conv3d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.Conv3d(2 * width, 8 * width, 1)
        self.near = nn.Conv3d(width, width, 3, padding=1)
        self.leave = nn.Conv3d(width, 64, 1)

    def encode(self, occupancy: Tensor) -> tuple[Tensor, Tensor]:
        """Solid occupancy (B x R x R x R, 0 or 1) to latent mean and log variance (B x C x R/8 ...)."""
        side = self.preset.resolution
        assert occupancy.shape[1:] == (side, side, side), occupancy.shape
        x = _space_to_depth(occupancy[:, None].float() * 2.0 - 1.0)
        mean, log_variance = self.moments(F.gelu(self.down(F.gelu(self.enter(x))))).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 6.0)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B x C x R/8 ...) to occupancy logits (B x R x R x R); positive means solid."""
        assert latent.shape[1:] == self.preset.latent_shape, latent.shape
        x = F.gelu(self.rise(latent))
        x = x + F.gelu(self.deep(x))
        x = _shuffle_up(self.up(x), 2)
        x = x + F.gelu(self.near(F.gelu(x)))
        return _shuffle_up(self.leave(x), 4)[:, 0]


def occupancy_loss(logits: Tensor, occupancy: Tensor) -> Tensor:
    """3 x binary cross-entropy (solid weighted 2) + Dice, averaged over the batch."""
    target = occupancy.float()
    cross = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.tensor(2.0, device=logits.device)
    )
    guess = logits.sigmoid().flatten(1)
    overlap = (guess * target.flatten(1)).sum(1)
    dice = 1.0 - (2.0 * overlap + 1.0) / (guess.sum(1) + target.flatten(1).sum(1) + 1.0)
    return 3.0 * cross + dice.mean()


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence from the unit normal, per latent number."""
    return 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).mean()


def _space_to_depth(x: Tensor) -> Tensor:
    batch, _, side = x.shape[:3]
    n = side // 4
    return x.view(batch, n, 4, n, 4, n, 4).permute(0, 2, 4, 6, 1, 3, 5).reshape(batch, 64, n, n, n)


def _shuffle_up(x: Tensor, factor: int) -> Tensor:
    batch, channels, n = x.shape[:3]
    out = channels // factor**3
    cut = x.view(batch, out, factor, factor, factor, n, n, n).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cut.reshape(batch, out, n * factor, n * factor, n * factor)
