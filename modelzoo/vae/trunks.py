"""The networks over active cells that the structured latent's encoder and decoders are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.models.attention import Sequences, attend_packed, window_sequences
from modelzoo.models.cells import CUBE, CellBatch
from modelzoo.models.positions import positions
from modelzoo.models.sparse import CellConv
from modelzoo.presets import StructuredLatentPreset

MLP_RATIO = 4


class ConvTrunk(nn.Module):
    """A projection and residual 3^3 convolutions over active cells: (N, channels) to (N, width)."""

    def __init__(self, channels: int, *, width: int, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.blocks = nn.ModuleList([_ConvBlock(width) for _ in range(blocks)])

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        values = self.embed(values)
        for block in self.blocks:
            values = block(values, cells)
        return values


class SwinTrunk(nn.Module):
    """A projection, fixed positions and transformer blocks in cubic windows, every other one shifted by half a window.

    Shapes as TRELLIS's (sam3d facts, 3.2): norms without gains, biases everywhere, an mlp four times as wide.
    """

    def __init__(self, channels: int, *, width: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.width, self.window = width, window
        self.embed = nn.Linear(channels, width)
        self.blocks = nn.ModuleList([_WindowBlock(width, heads=heads) for _ in range(depth)])

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        values = self.embed(values)
        values = values + positions(cells.coords, self.width).to(values.dtype)
        windows = [
            window_sequences(cells, window=self.window, shift=shift) for shift in (0, self.window // 2)
        ]
        for index, block in enumerate(self.blocks):
            values = block(values, windows[index % 2])
        return values


def encoder_trunk(preset: StructuredLatentPreset, channels: int) -> nn.Module:
    """The encoder's network; of the ``depth`` convolutions one is the encoder's and the decoders share the others."""
    if preset.backbone == "conv":
        return ConvTrunk(channels, width=preset.width, blocks=1)
    return _swin(preset, channels)


def decoder_trunks(preset: StructuredLatentPreset) -> list[nn.Module]:
    """The surface decoder's network and then one for each set of Gaussians; or one that all of them share."""
    if preset.backbone == "conv":
        return [ConvTrunk(preset.channels, width=preset.width, blocks=preset.depth - 1)]
    return [_swin(preset, preset.channels) for _ in range(1 + len(preset.gaussians))]


def _swin(preset: StructuredLatentPreset, channels: int) -> SwinTrunk:
    return SwinTrunk(
        channels, width=preset.width, depth=preset.depth, heads=preset.heads, window=preset.window
    )


class _ConvBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = CellConv(width, width, reach=CUBE)
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        change: Tensor = self.out(F.silu(self.conv(self.norm(values), cells)))
        return values + change


class _WindowBlock(nn.Module):
    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )

    def forward(self, values: Tensor, windows: Sequences) -> Tensor:
        q, k, v = self.qkv(self.norm(values)).view(len(values), 3, self.heads, -1).unbind(dim=1)
        values = values + self.out(attend_packed(q, k, v, windows).flatten(1))
        change: Tensor = self.mlp(self.norm(values))
        return values + change
