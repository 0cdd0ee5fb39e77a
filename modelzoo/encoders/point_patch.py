"""Point-map tokens: one transformer block over each window of pixels, and a token per window."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.presets import EmbedderPreset

XYZ, VALID, VIEW_CHANNELS = slice(4, 7), 7, 8  # of a view: normalised points, and where they are known
MLP_RATIO = 2


class PointPatchEmbedder(nn.Module):
    """Each window of ``patch`` x ``patch`` points and a class token pass one block; its class token is the output."""

    def __init__(self, preset: EmbedderPreset) -> None:
        super().__init__()
        if preset.kind != "point_patch" or preset.depth != 1:
            raise ValueError("a point-patch embedder is of kind point_patch and has one block")
        if preset.size % preset.patch or preset.width % preset.heads:
            raise ValueError("patch must divide the point map's side and heads must divide width")
        self.preset = preset
        width, side = preset.width, preset.size // preset.patch
        self.point = nn.Linear(3, width)
        self.invalid = nn.Parameter(torch.randn(width) * 0.02)
        self.dropped = nn.Parameter(torch.randn(width) * 0.02)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.window_position = nn.Parameter(torch.randn(1 + preset.patch**2, width) * 0.02)
        self.position = nn.Parameter(torch.randn(side, side, width) * 0.02)
        self.block = _WindowBlock(width, preset.heads)
        nn.init.xavier_uniform_(self.point.weight, gain=0.02)
        nn.init.zeros_(self.point.bias)

    def forward(self, crop: Tensor, full: Tensor, box: Tensor) -> list[Tensor]:
        """Tokens of the crop and of the full view, B x (size / patch)^2 x width each, row by row.

        Views are B x 8 x S x S (channels 4..6 the normalised points, 7 their validity) of any size. Where ``box``
        (B x 4, last number) says that no point map is known, a learned token stands in for what every window says.
        """
        batch = crop.shape[0]
        for view in (crop, full):
            assert view.shape[:2] == (batch, VIEW_CHANNELS) and view.ndim == 4, view.shape
        assert box.shape == (batch, 4), box.shape
        return [self._tokens(view, box[:, 3] > 0.5) for view in (crop, full)]

    def _tokens(self, view: Tensor, known: Tensor) -> Tensor:
        batch, width, side = view.shape[0], self.preset.width, self.preset.size // self.preset.patch
        windows = self.block(self._windows(view)).view(batch, side, side, width)
        windows = torch.where(known.view(batch, 1, 1, 1), windows, self.dropped.to(windows.dtype))
        return (windows + self.position).flatten(1, 2)

    def _windows(self, view: Tensor) -> Tensor:
        """Embedded windows with the class token first: (B * side^2) x (1 + patch^2) x width."""
        size, patch, width = self.preset.size, self.preset.patch, self.preset.width
        batch, side = view.shape[0], size // patch
        small = F.interpolate(view[:, XYZ.start :], size=(size, size), mode="nearest")
        cut = small.view(batch, 4, side, patch, side, patch).permute(0, 2, 4, 3, 5, 1)
        flat = cut.reshape(batch * side**2, patch**2, 4)
        known = flat[..., 3:] > 0.5
        embedded = self.point(flat[..., :3].masked_fill(~known, 0.0))
        embedded = torch.where(known, embedded, self.invalid.to(embedded.dtype))
        cls = self.cls.to(embedded.dtype).expand(len(flat), 1, width)
        return torch.cat([cls, embedded], dim=1) + self.window_position


class _WindowBlock(nn.Module):
    """A ViT block of which only the class token is wanted: keys of all, query and MLP of the first alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """W x (1 + points) x width to the class tokens, W x width."""
        count, _, width = tokens.shape
        normed = self.norm_attention(tokens)
        weight, bias = self.qkv.weight, self.qkv.bias
        query = F.linear(normed[:, :1], weight[:width], bias[:width])
        key, value = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(self._heads(query), self._heads(key), self._heads(value))
        cls = tokens[:, 0] + self.out(mixed.transpose(1, 2).reshape(count, width))
        out: Tensor = cls + self.mlp(self.norm_mlp(cls))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)
