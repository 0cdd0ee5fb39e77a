"""The structured latent: a few numbers per active cell, from which a surface, its colours and Gaussians are decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelzoo.decoders.cube_head import CubeHead, CubeValues
from modelzoo.decoders.gaussians import (
    NUMBERS,
    CellGaussians,
    GaussianSettings,
    gaussians_from_raw,
    spread_anchors,
)
from modelzoo.models.cells import CellBatch
from modelzoo.presets import StructuredLatentPreset
from modelzoo.vae.trunks import decoder_trunks, encoder_trunk

FIELD_CLAMP = 2.0  # fields are signed distances in voxels, positive inside, clamped here
FIELD_NUMBERS = 5  # per voxel: distance, whether it is near the surface, colour
CUBES_PER_CELL_SIDE = 4  # what CubeHead's two subdivisions make of a cell


@dataclass(frozen=True, kw_only=True)
class CellContent:
    """A cell's voxels: the field (N, V) in voxels and colours (N, V, 3) in [0, 1]."""

    field: Tensor
    colour: Tensor


class StructuredLatentVAE(nn.Module):
    """One encoder and, over one latent, a decoder of surfaces and one for each number of Gaussians per cell.

    ``latent_mean`` and ``latent_std`` standardise the latent for the flow. Raises ValueError for a preset that
    cannot be built.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, preset: StructuredLatentPreset) -> None:
        super().__init__()
        _check(preset)
        self.preset = preset
        self.encoder = encoder_trunk(preset, _input_width(preset))
        self.to_moments = _head(preset, 2 * preset.channels, hidden=False)
        self.decoders = nn.ModuleList(decoder_trunks(preset))
        self.to_surface = CubeHead(preset.width) if preset.surface == "flexicubes" else _FieldHead(preset)
        self.to_gaussians = nn.ModuleList(_GaussianHead(preset, count) for count in preset.gaussians)
        self.register_buffer("latent_mean", torch.zeros(preset.channels))
        self.register_buffer("latent_std", torch.ones(preset.channels))

    def encode(self, content: CellContent | Tensor, cells: CellBatch) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (N, channels), not standardised.

        ``content`` is what the preset's ``features`` say: the voxels, or features (N, F) gathered from views.
        Raises ValueError for the other kind.
        """
        values = self.encoder(self._seen(content, cells), cells)
        mean, log_variance = self.to_moments(values).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8, 4)

    def standardise(self, latent: Tensor) -> Tensor:
        """Latents (..., channels) as the flow model sees them: zero mean, unit deviation per channel."""
        return (latent - self.latent_mean) / self.latent_std

    def decode(
        self, standardised: Tensor, cells: CellBatch, *, which: int = 0
    ) -> tuple[CellContent, CellGaussians]:
        """Voxels and the ``which``-th set of Gaussians, from standardised latents (N, channels)."""
        if not isinstance(self.to_surface, _FieldHead):
            raise ValueError("this preset's surface is cubes: call decode_cubes")
        latent = self._latent(standardised, cells)
        trunk = self.decoders[0](latent, cells)
        own = self._gaussian_trunk(latent, cells, which) if len(self.decoders) > 1 else trunk
        return self.to_surface(trunk), self.to_gaussians[which](own, cells)

    def decode_cubes(self, standardised: Tensor, cells: CellBatch) -> CubeValues:
        """What a mesh is extracted from, on a grid four times as fine as the cells."""
        if not isinstance(self.to_surface, CubeHead):
            raise ValueError("this preset's surface is a field: call decode")
        found: CubeValues = self.to_surface(self.decoders[0](self._latent(standardised, cells), cells), cells)
        return found

    def decode_gaussians(self, standardised: Tensor, cells: CellBatch, *, which: int = 0) -> CellGaussians:
        """The ``which``-th of ``preset.gaussians``, from standardised latents (N, channels)."""
        trunk = self._gaussian_trunk(self._latent(standardised, cells), cells, which)
        found: CellGaussians = self.to_gaussians[which](trunk, cells)
        return found

    def _gaussian_trunk(self, latent: Tensor, cells: CellBatch, which: int) -> Tensor:
        if not 0 <= which < len(self.to_gaussians):
            raise ValueError(f"no Gaussian decoder {which}; there are {len(self.to_gaussians)}")
        trunk: Tensor = self.decoders[0 if len(self.decoders) == 1 else 1 + which](latent, cells)
        return trunk

    def _latent(self, standardised: Tensor, cells: CellBatch) -> Tensor:
        assert standardised.shape == (len(cells.coords), self.preset.channels), standardised.shape
        return standardised * self.latent_std + self.latent_mean

    def _seen(self, content: CellContent | Tensor, cells: CellBatch) -> Tensor:
        n, voxels = len(cells.coords), self.preset.cell**3
        if isinstance(content, Tensor) != (self.preset.features == "views"):
            raise ValueError(f"this encoder sees {self.preset.features}")
        if isinstance(content, Tensor):
            assert content.shape == (n, self.preset.feature_width), content.shape
            return content
        assert content.field.shape == (n, voxels) and content.colour.shape == (n, voxels, 3), (
            content.field.shape
        )
        near = (content.field.abs() < 0.9 * FIELD_CLAMP).to(content.field.dtype)
        colour = (content.colour * 2 - 1) * near[..., None]
        return torch.cat([content.field / FIELD_CLAMP, near, colour.flatten(1)], dim=-1)


class _FieldHead(nn.Module):
    """(N, width) to the cell's voxels."""

    def __init__(self, preset: StructuredLatentPreset) -> None:
        super().__init__()
        self.voxels = preset.cell**3
        self.out = _head(preset, 4 * self.voxels, hidden=True)

    def forward(self, values: Tensor) -> CellContent:
        raw = self.out(values)
        return CellContent(
            field=FIELD_CLAMP * torch.tanh(raw[:, : self.voxels] / FIELD_CLAMP),
            colour=torch.sigmoid(raw[:, self.voxels :]).view(len(raw), self.voxels, 3),
        )


class _GaussianHead(nn.Module):
    """(N, width) to ``count`` Gaussians a cell."""

    anchors: Tensor

    def __init__(self, preset: StructuredLatentPreset, count: int) -> None:
        super().__init__()
        self.settings = GaussianSettings.for_grid(count=count, grid=preset.grid)
        self.out = _head(preset, NUMBERS * count, hidden=True)
        self.register_buffer("anchors", spread_anchors(self.settings), persistent=False)

    def forward(self, values: Tensor, cells: CellBatch) -> CellGaussians:
        return gaussians_from_raw(self.out(values), cells.coords, self.anchors, self.settings)


def _head(preset: StructuredLatentPreset, numbers: int, *, hidden: bool) -> nn.Module:
    """What follows a trunk: a norm and a projection after a transformer, a hidden layer after few convolutions."""
    width = preset.width
    if preset.backbone == "swin":
        return nn.Sequential(nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, numbers))
    if not hidden:
        return nn.Linear(width, numbers)
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, numbers)
    )


def _input_width(preset: StructuredLatentPreset) -> int:
    return preset.feature_width if preset.features == "views" else FIELD_NUMBERS * preset.cell**3


def _check(preset: StructuredLatentPreset) -> None:
    if preset.backbone == "swin" and (preset.width % preset.heads or preset.window % 2):
        raise ValueError("heads must divide width, and windows must be even to be shifted by half")
    if preset.backbone == "conv" and preset.depth < 2:
        raise ValueError("depth is one block of the encoder and at least one of the decoders")
    if preset.features == "views" and preset.feature_width < 1:
        raise ValueError("features of views need a width")
    if preset.surface == "flexicubes" and (preset.cell != CUBES_PER_CELL_SIDE or preset.width % 8):
        raise ValueError("a mesh decoder makes 4^3 cubes of a cell, and its width is divided by 8")
    if not preset.gaussians:
        raise ValueError("there must be a Gaussian decoder")
