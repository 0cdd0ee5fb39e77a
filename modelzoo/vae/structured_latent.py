"""The structured latent: eight numbers per active cell, from which a surface, its colours and Gaussians are decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.models.cells import CUBE, CellBatch, CellConv

FIELD_CLAMP = 2.0  # fields are signed distances in voxels, positive inside, clamped here
SCALE_FLOOR = 0.0009  # no Gaussian is thinner than this share of the cube (sam3d facts, released decoder)


@dataclass(frozen=True, kw_only=True)
class StructuredLatentConfig:
    """Sizes of the structured latent and of its VAE."""

    grid: int = 16
    cell: int = 4  # voxels per side of a cell
    channels: int = 8
    width: int = 64
    gaussians_per_cell: int = 16

    @property
    def voxels_per_cell(self) -> int:
        return self.cell**3

    @property
    def resolution(self) -> int:
        return self.grid * self.cell


@dataclass(frozen=True, kw_only=True)
class CellContent:
    """What the VAE sees: per cell the field (N, V) in voxels and colours (N, V, 3) in [0, 1]."""

    field: Tensor
    colour: Tensor


@dataclass(frozen=True, kw_only=True)
class CellGaussians:
    """K Gaussians per cell: positions (N, K, 3) in the object frame, scales, rotations, opacities, colours."""

    positions: Tensor
    scales: Tensor
    rotations_wxyz: Tensor
    opacities: Tensor
    colours: Tensor


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = CellConv(width, width, reach=CUBE)
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        change: Tensor = self.out(F.silu(self.conv(self.norm(values), cells)))
        return values + change


class StructuredLatentVAE(nn.Module):
    """Encoder and the two decoders over one latent; ``latent_mean`` and ``latent_std`` standardise it for the flow."""

    latent_mean: Tensor
    latent_std: Tensor
    anchors: Tensor

    def __init__(self, config: StructuredLatentConfig) -> None:
        super().__init__()
        self.config = config
        voxels, width = config.voxels_per_cell, config.width
        self.embed = nn.Linear(5 * voxels, width)
        self.encoder = nn.ModuleList([_Block(width)])
        self.to_moments = nn.Linear(width, 2 * config.channels)
        self.from_latent = nn.Linear(config.channels, width)
        self.decoder = nn.ModuleList([_Block(width), _Block(width)])
        self.mesh_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU())
        self.to_field = nn.Linear(2 * width, voxels)
        self.to_colour = nn.Linear(2 * width, 3 * voxels)
        self.gaussian_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU())
        self.to_gaussians = nn.Linear(2 * width, 14 * config.gaussians_per_cell)
        self.register_buffer("latent_mean", torch.zeros(config.channels))
        self.register_buffer("latent_std", torch.ones(config.channels))
        self.register_buffer("anchors", _anchors(config.gaussians_per_cell), persistent=False)

    def encode(self, content: CellContent, cells: CellBatch) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (N, channels), not standardised."""
        n, voxels = len(cells.coords), self.config.voxels_per_cell
        assert content.field.shape == (n, voxels) and content.colour.shape == (n, voxels, 3), (
            content.field.shape
        )
        near = (content.field.abs() < 0.9 * FIELD_CLAMP).to(content.field.dtype)
        colour = (content.colour * 2 - 1) * near[..., None]
        values = self.embed(torch.cat([content.field / FIELD_CLAMP, near, colour.flatten(1)], dim=-1))
        for block in self.encoder:
            values = block(values, cells)
        mean, log_variance = self.to_moments(values).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8, 4)

    def standardise(self, latent: Tensor) -> Tensor:
        """Latents (..., channels) as the flow model sees them: zero mean, unit deviation per channel."""
        return (latent - self.latent_mean) / self.latent_std

    def decode(self, standardised: Tensor, cells: CellBatch) -> tuple[CellContent, CellGaussians]:
        """Both decoders, from standardised latents (N, channels)."""
        assert standardised.shape == (len(cells.coords), self.config.channels), standardised.shape
        trunk = self._trunk(standardised * self.latent_std + self.latent_mean, cells)
        return self._mesh(trunk), self._gaussians(trunk, cells)

    def _trunk(self, latent: Tensor, cells: CellBatch) -> Tensor:
        values: Tensor = self.from_latent(latent)
        for block in self.decoder:
            values = block(values, cells)
        return values

    def _mesh(self, trunk: Tensor) -> CellContent:
        hidden = self.mesh_head(trunk)
        field = FIELD_CLAMP * torch.tanh(self.to_field(hidden) / FIELD_CLAMP)
        colour = torch.sigmoid(self.to_colour(hidden))
        colour = colour.reshape(len(colour), -1, 3)
        return CellContent(field=field, colour=colour)

    def _gaussians(self, trunk: Tensor, cells: CellBatch) -> CellGaussians:
        """Positions reach half a cell beyond their own; a scale is a share of the cell."""
        raw = self.to_gaussians(self.gaussian_head(trunk)).view(len(trunk), -1, 14)
        offset, scale, rotation, opacity, colour = raw.split([3, 3, 4, 1, 3], dim=-1)
        side = 1.0 / self.config.grid
        centre = (cells.coords.to(raw.dtype) + 0.5) * side - 0.5
        identity = raw.new_tensor([1.0, 0.0, 0.0, 0.0])
        return CellGaussians(
            positions=centre[:, None] + side * torch.tanh(offset + self.anchors),
            scales=torch.sqrt((F.softplus(scale - 1.5) * 0.5 * side) ** 2 + SCALE_FLOOR**2),
            rotations_wxyz=F.normalize(rotation + identity, dim=-1),
            opacities=torch.sigmoid(opacity[..., 0] + 2.0),
            colours=torch.sigmoid(colour),
        )


def _anchors(count: int) -> Tensor:
    """Well-spread starting offsets inside the cell (the R3 low-discrepancy sequence), as arguments of tanh."""
    root = 1.2207440846057596
    steps = torch.tensor([root**-1, root**-2, root**-3])
    points = (0.5 + torch.arange(1, count + 1)[:, None] * steps) % 1.0 - 0.5
    return torch.atanh(points)
