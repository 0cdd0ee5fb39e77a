"""Image or mask tokens by DINOv2 with registers, frozen, with weights that the operator gives as a local file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.ports.dinov2_network import REGISTERS, build_network, prenorm_tokens, read_weights
from modelzoo.presets import EmbedderPreset

RGB, MASK, VIEW_CHANNELS = slice(0, 3), slice(3, 4), 8  # of a view
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoV2Embedder(nn.Module):
    """Reads the photograph or the mask of both views. Untrained and frozen until ``load_local``.

    The tokens of a view are class token and patches after the network's last norm; with ``preset.registers`` they are
    class token, four registers and patches before it, normalised without parameters.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preset: EmbedderPreset) -> None:
        super().__init__()
        if preset.kind != "dinov2" or preset.reads not in ("image", "mask"):
            raise ValueError("a DINOv2 embedder is of kind dinov2 and reads the image or the mask")
        self.preset = preset
        self.network = build_network(
            size=preset.size, patch=preset.patch, width=preset.width, depth=preset.depth, heads=preset.heads
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> DinoV2Embedder:
        """Stays in evaluation mode as long as its parameters are frozen."""
        super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))
        return self

    def load_local(self, file: Path) -> None:
        """Fill the network from a safetensors file, every tensor by name and shape. Raises CheckpointRefused."""
        given, wanted = read_weights(file), self.network.state_dict()
        wrong = [f"{name} is missing" for name in wanted if name not in given]
        wrong += [f"{name} is not one of the network's" for name in given if name not in wanted]
        wrong += [
            f"{name} is {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise CheckpointRefused("weights_do_not_fit", f"{file.name}: {'; '.join(wrong[:5])}{more}")
        self.network.load_state_dict(given)

    def forward(self, crop: Tensor, full: Tensor, box: Tensor) -> list[Tensor]:
        """Tokens of the crop and of the full view, B x tokens_per_view x width each; ``box`` is not read.

        Views are B x 8 x S x S (RGB in [-1, 1], mask, points, validity) and are resized where S is not ``preset.size``:
        the photograph bilinearly, the mask by its nearest pixel.
        """
        batch = crop.shape[0]
        for view in (crop, full):
            assert view.shape[:2] == (batch, VIEW_CHANNELS) and view.ndim == 4, view.shape
        assert box.shape == (batch, 4), box.shape
        return [self._tokens(self._pixels(view)) for view in (crop, full)]

    def _pixels(self, view: Tensor) -> Tensor:
        """B x 3 x size x size, ImageNet-normalised; the mask counts as a grey photograph of zeros and ones."""
        target = (self.preset.size, self.preset.size)
        if self.preset.reads == "image":
            levels = (view[:, RGB] + 1.0) / 2.0
            if levels.shape[-2:] != target:
                levels = F.interpolate(levels, size=target, mode="bilinear", antialias=True)
        else:
            levels = view[:, MASK]
            if levels.shape[-2:] != target:
                levels = F.interpolate(levels, size=target, mode="nearest")
        return (levels - self.mean) / self.std

    def _tokens(self, pixels: Tensor) -> Tensor:
        features = prenorm_tokens(self.network, pixels)
        if self.preset.registers:
            return F.layer_norm(features, features.shape[-1:])
        normed: Tensor = self.network.layernorm(features)
        return torch.cat([normed[:, :1], normed[:, 1 + REGISTERS :]], dim=1)
