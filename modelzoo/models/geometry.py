"""The geometry model: image, mask and point map to a shape latent and a layout, by two-stream rectified flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.encoders.condition import ConditionEncoder, Views
from modelzoo.flow import precondition
from modelzoo.models.mixture import BlockMemory, MixtureBlock, StepEmbedding
from modelzoo.models.positions import grid_positions
from modelzoo.presets import GeometryPreset

#: One token each: rotation (6D), translation, log scale (isotropic: three equal numbers), log translation scale.
LAYOUT_SIZES = (6, 3, 3, 1)
LAYOUT_DIM = sum(LAYOUT_SIZES)
ConditionMemory = tuple[BlockMemory, ...]
PARTS = ("shape", "layout", "shared", "condition")


class GeometryModel(nn.Module):
    """Condition encoder, two-stream flow and the standardisation of what it generates (as buffers)."""

    shape_mean: Tensor
    shape_std: Tensor
    layout_mean: Tensor
    layout_std: Tensor
    shape_position: Tensor

    def __init__(self, preset: GeometryPreset) -> None:
        super().__init__()
        self.preset = preset
        width, patch, channels = preset.width, preset.patch, preset.structure.channels
        self.encoder = ConditionEncoder(preset.condition)
        token = channels * patch**3
        self.shape_in = nn.Linear(token, width)
        self.layout_in = nn.ModuleList([nn.Linear(size, width) for size in LAYOUT_SIZES])
        self.layout_position = nn.Parameter(torch.randn(1, len(LAYOUT_SIZES), width) * 0.02)
        self.time = StepEmbedding(width, zero=False)
        self.step = StepEmbedding(width, zero=True)
        self.blocks = nn.ModuleList(
            [
                MixtureBlock(
                    width=width,
                    condition_width=preset.condition.width,
                    heads=preset.heads,
                    mlp_ratio=preset.mlp_ratio,
                    gate_start=preset.gate_start,
                )
                for _ in range(preset.depth)
            ]
        )
        self.shape_out = nn.Linear(width, token)
        self.layout_out = nn.ModuleList([nn.Linear(width, size) for size in LAYOUT_SIZES])
        for head in (self.shape_out, *self.layout_out):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.register_buffer(
            "shape_position",
            grid_positions(preset.structure.latent_size // patch, width)[None],
            persistent=False,
        )
        self.register_buffer("shape_mean", torch.zeros(channels, 1, 1, 1))
        self.register_buffer("shape_std", torch.ones(channels, 1, 1, 1))
        self.register_buffer("layout_mean", torch.zeros(LAYOUT_DIM))
        self.register_buffer("layout_std", torch.ones(LAYOUT_DIM))

    def part(self, name: str) -> Iterator[nn.Parameter]:
        """Parameters of one part: the shape stream, the layout stream, what both share, the condition encoder."""
        if name not in PARTS:
            raise ValueError(f"no part {name!r}; there are {', '.join(PARTS)}")
        return (parameter for key, parameter in self.named_parameters() if _part_of(key) == name)

    def freeze(self, *parts: str) -> None:
        """Keep ``parts`` as they are in training."""
        for name in parts:
            for parameter in self.part(name):
                parameter.requires_grad_(False)

    def thaw(self) -> None:
        """Train everything but what is frozen by its nature, a pretrained image encoder."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(".network." not in name)

    def standardise_shape(self, latent: Tensor) -> Tensor:
        return (latent - self.shape_mean) / self.shape_std

    def standardise_layout(self, layout: Tensor) -> Tensor:
        return (layout - self.layout_mean) / self.layout_std

    def encode(self, crop: Tensor, full: Tensor, box: Tensor) -> Tensor:
        """Condition tokens of the views (see Views)."""
        return self.encode_with_places(crop, full, box)[0]

    def encode_with_places(self, crop: Tensor, full: Tensor, box: Tensor) -> tuple[Tensor, Tensor | None]:
        """Condition tokens, and where a joint embedder thinks each crop patch lies on the object (B x n x 3)."""
        tokens, places = self.encoder(Views(crop=crop, full=full, box=box))
        return tokens, places

    def remember(self, condition: Tensor) -> ConditionMemory:
        """What the blocks look at in condition tokens (B or 1 x T x X): made once, good for every step."""
        return tuple(cast(MixtureBlock, block).remember(condition) for block in self.blocks)

    def forward(
        self,
        shape: Tensor,
        layout: Tensor,
        t: Tensor,
        condition: Tensor | ConditionMemory,
        step_size: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Velocities of the standardised shape latent (B x C x D^3) and layout (B x 13) at times t (B).

        ``condition`` is B x T x X tokens, or what ``remember`` made of B rows or of one row that all share.
        ``step_size`` (B) is the shortcut's d, 0 for the plain flow. Gradients of the layout's velocity reach no
        parameter of the shape stream.
        """
        batch = shape.shape[0]
        assert shape.shape == (batch, *self.preset.latent_shape), shape.shape
        assert layout.shape == (batch, LAYOUT_DIM), layout.shape
        assert t.shape == (batch,), t.shape
        memory = self.remember(condition) if isinstance(condition, Tensor) else condition
        assert memory[0].shape[0].shape[0] in {1, batch}, memory[0].shape[0].shape
        scale_in, skip, scale_out = self._scales(t)
        shape_tokens = self.shape_in(self._patches(shape) * scale_in[..., None]) + self.shape_position
        pieces = torch.split(layout * scale_in, list(LAYOUT_SIZES), dim=1)
        layout_tokens = torch.stack(
            [net(piece) for net, piece in zip(self.layout_in, pieces, strict=True)], dim=1
        )
        layout_tokens = layout_tokens + self.layout_position
        step = self.time(t) + self.step(torch.zeros_like(t) if step_size is None else step_size)
        for block, remembered in zip(self.blocks, memory, strict=True):
            shape_tokens, layout_tokens = block(shape_tokens, layout_tokens, step, remembered)
        width = (self.preset.width,)
        shape_net = self._unpatch(self.shape_out(F.layer_norm(shape_tokens, width)))
        tokens = F.layer_norm(layout_tokens, width).unbind(dim=1)
        layout_net = torch.cat(
            [net(token) for net, token in zip(self.layout_out, tokens, strict=True)], dim=1
        )
        grid = (batch, 1, 1, 1, 1)
        return (
            skip.view(grid) * shape + scale_out.view(grid) * shape_net,
            skip * layout + scale_out * layout_net,
        )

    def _scales(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.preset.preconditioned:
            return precondition(t, 2)
        one = torch.ones_like(t)[:, None]
        return one, torch.zeros_like(one), one

    def _patches(self, latent: Tensor) -> Tensor:
        batch, channels, side = latent.shape[:3]
        p = self.preset.patch
        n = side // p
        cut = latent.view(batch, channels, n, p, n, p, n, p).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return cut.reshape(batch, n**3, channels * p**3)

    def _unpatch(self, tokens: Tensor) -> Tensor:
        batch, (channels, side) = tokens.shape[0], self.preset.latent_shape[:2]
        p = self.preset.patch
        n = side // p
        cut = tokens.view(batch, n, n, n, channels, p, p, p).permute(0, 4, 1, 5, 2, 6, 3, 7)
        return cut.reshape(batch, channels, side, side, side)


def _part_of(key: str) -> str:
    """Which part a parameter of this name belongs to."""
    if key.startswith("encoder."):
        return "condition"
    if key.startswith("shape_") or ".shape." in key:
        return "shape"
    if key.startswith("layout_") or ".layout." in key:
        return "layout"
    return "shared"
