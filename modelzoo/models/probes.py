"""What a cell is told about the photograph: pixels, depths and a first guess at the points that it projects to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.models.cells import CellBatch
from modelzoo.presets import StructuredLatentPreset, TexturePreset

STEM_CHANNELS = 4  # RGB and mask
TOKEN_STRIDE = 16  # pixels of the crop per side of an image token
POSITION_WIDTH = 18


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What is known of B objects with N cells in all.

    ``view`` (B, 4, S, S): the crop's RGB in [-1, 1] and mask. ``pixels`` (N, P, 2): where each cell's points fall in
    the crop, in [-1, 1] of it. ``depth`` (N, P, 2): how far the point lies behind the nearest cell on its ray, and
    behind the point map, in cells, clamped to [-4, 4] and divided by 4. ``known_depth`` (B,): 1 where there is a point
    map. ``field`` (N, V): the coarse field in [-1, 1]. ``view_direction`` (B, 3): the camera's viewing direction in
    the object frame. ``guess`` (N, C): the standardised latent of coarse field and projected colours.
    """

    view: Tensor
    pixels: Tensor
    depth: Tensor
    known_depth: Tensor
    field: Tensor
    view_direction: Tensor
    guess: Tensor


class ProbeEncoder(nn.Module):
    """Features of each cell, how far its guess is to be trusted, and image tokens where no other encoder makes them."""

    def __init__(self, preset: TexturePreset, latent: StructuredLatentPreset) -> None:
        super().__init__()
        self.preset = preset
        stem, width = preset.stem_width, preset.io_width
        self.stem = nn.Sequential(
            nn.Conv2d(STEM_CHANNELS, stem, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(stem, stem, 3, padding=1),
        )
        self.tokens = _ImageTokens(preset) if preset.condition is None else None
        inputs = latent.cell**3 + preset.probes * 6 + stem + 1 + 3 + POSITION_WIDTH + latent.channels
        self.cell_features = nn.Sequential(
            nn.Linear(inputs, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.trust = nn.Linear(width, latent.channels)
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, 2.0)

    def forward(self, probes: Probes, cells: CellBatch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features (N, io_width), the part of the guess that is relied on (N, channels), tokens (B, T, width)."""
        n, size = len(cells.coords), self.preset.view
        assert probes.pixels.shape == (n, self.preset.probes, 2), probes.pixels.shape
        assert probes.view.shape == (cells.size, STEM_CHANNELS, size, size), probes.view.shape
        shallow = self.stem(probes.view)
        inside = (probes.pixels.abs() <= 1).all(dim=-1, keepdim=True).to(probes.pixels.dtype)
        values = torch.cat(
            [
                probes.field,
                (sample_at(probes.view, probes.pixels, cells) * inside).flatten(1),
                probes.depth.flatten(1),
                sample_at(shallow, probes.pixels.mean(dim=1, keepdim=True), cells)[:, 0],
                probes.known_depth[cells.batch][:, None],
                probes.view_direction[cells.batch],
                _position_features(cells),
                probes.guess,
            ],
            dim=-1,
        )
        features = self.cell_features(values)
        prior = torch.sigmoid(self.trust(features)) * probes.guess
        return features, prior, None if self.tokens is None else self.tokens(shallow)


class _ImageTokens(nn.Module):
    """The stem's features, strided down to tokens."""

    def __init__(self, preset: TexturePreset) -> None:
        super().__init__()
        width = preset.width
        self.deep = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(preset.stem_width, width // 2, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
        )
        self.position = nn.Parameter(torch.randn(1, (preset.view // TOKEN_STRIDE) ** 2, width) * 0.02)

    def forward(self, shallow: Tensor) -> Tensor:
        tokens: Tensor = self.deep(shallow).flatten(2).transpose(1, 2) + self.position
        return tokens


def sample_at(image: Tensor, pixels: Tensor, cells: CellBatch) -> Tensor:
    """Bilinear values (N, P, C) of each object's image (B, C, H, W) at its cells' pixels (N, P, 2) in [-1, 1]."""
    found = [
        F.grid_sample(one[None], own[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]
        for one, own in zip(image, pixels.split(cells.counts), strict=True)
    ]
    return torch.cat(found, dim=1).permute(1, 2, 0)


def _position_features(cells: CellBatch) -> Tensor:
    """Sines and cosines of the cell's centre at three octaves, (N, 18)."""
    centre = (cells.coords.to(torch.float32) + 0.5) / cells.grid
    angles = torch.cat([centre * math.pi * octave for octave in (1, 2, 4)], dim=-1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
