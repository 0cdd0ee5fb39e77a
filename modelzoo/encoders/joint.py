"""The small presets' embedder: colour, mask and points of crop and full view are read together, pixel by pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.encoders.places import PlaceHead, patch_points
from modelzoo.encoders.vit import TransformerBlock
from modelzoo.presets import VIEW_PATCH, EmbedderPreset

VIEW_CHANNELS = 8  # RGB, mask, normalised xyz, point validity
OCTAVES = 3  # of the waves that points are also given as


class JointEmbedder(nn.Module):
    """A shared convolutional stem, blocks over crop tokens, half as fine full-view tokens and a box, then places.

    Points enter as numbers and as sines and cosines: where a pixel lies in space must be told finely, since the shape's
    surface passes through it.
    """

    def __init__(self, preset: EmbedderPreset) -> None:
        super().__init__()
        if preset.patch != VIEW_PATCH or preset.size % (2 * VIEW_PATCH):
            raise ValueError(
                f"a joint embedder has patches of {VIEW_PATCH} pixels and a size that is a multiple of {2 * VIEW_PATCH}"
            )
        self.preset = preset
        width, grid = preset.width, preset.size // VIEW_PATCH
        narrow, middle = max(8, width // 4), max(16, width // 2)
        self.stem = nn.Sequential(
            nn.Conv2d(VIEW_CHANNELS + 6 * OCTAVES, narrow, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(narrow, middle, 3, stride=2, padding=1),
            nn.GELU(),
            _Residual(middle),
            nn.Conv2d(middle, width, 3, stride=2, padding=1),
        )
        self.crop_position = nn.Parameter(torch.randn(1, grid**2, width) * 0.02)
        self.full_position = nn.Parameter(torch.randn(1, (grid // 2) ** 2, width) * 0.02)
        self.box = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            [TransformerBlock(width=width, heads=preset.heads, mlp_ratio=4) for _ in range(preset.depth)]
        )
        self.places = PlaceHead(width)

    def forward(self, crop: Tensor, full: Tensor, box: Tensor) -> tuple[list[Tensor], Tensor]:
        """B x 8 x S x S twice and B x 4 to tokens (B, n, width) of crop, full view, box and fitted pose.

        Also gives the guessed places of the crop's patches (B x n x 3, object frame).
        """
        batch, size = crop.shape[0], self.preset.size
        assert crop.shape == full.shape == (batch, VIEW_CHANNELS, size, size), (crop.shape, full.shape)
        assert box.shape == (batch, 4), box.shape
        near, far = self.stem(_with_waves(torch.cat([crop, full]))).chunk(2)
        groups = [
            near.flatten(2).transpose(1, 2) + self.crop_position,
            F.avg_pool2d(far, 2).flatten(2).transpose(1, 2) + self.full_position,
            self.box(box)[:, None],
        ]
        tokens = torch.cat(groups, dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        patches, view, window = torch.split(tokens, [group.shape[1] for group in groups], dim=1)
        patches, pose, places = self.places(patches, patch_points(crop))
        return [patches, view, window, pose], places


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.gelu(self.conv(x))


def _with_waves(views: Tensor) -> Tensor:
    """Views with sines and cosines of their points, zero where the point map is."""
    points, valid = views[:, 4:7], views[:, 7:8]
    waves = []
    for octave in range(OCTAVES):
        angle = points * (math.pi / 2 * 2**octave)
        waves += [angle.sin() * valid, angle.cos() * valid]
    return torch.cat([views, *waves], dim=1)
