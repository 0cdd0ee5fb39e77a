"""Crop and full view to condition tokens: every preset's embedders behind one call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from modelzoo.encoders.dinov2 import DinoV2Embedder
from modelzoo.encoders.fuser import EmbedderFuser
from modelzoo.encoders.joint import VIEW_CHANNELS, JointEmbedder
from modelzoo.encoders.point_patch import PointPatchEmbedder
from modelzoo.encoders.vit import VitEmbedder
from modelzoo.presets import ConditionPreset, EmbedderPreset

GROUPS = 2  # crop and full view
JOINT_GROUPS = 4  # and the crop's place in the full view, and the pose fitted to the patches' places


@dataclass(frozen=True, kw_only=True)
class Views:
    """``crop`` and ``full`` B x 8 x S x S: RGB in [-1, 1], mask, normalised xyz (0 where unknown), validity.

    ``box`` B x 4: the crop's centre (-1 .. 1) and side (0 .. 1) in the full view, and whether a point map is known.
    """

    crop: Tensor
    full: Tensor
    box: Tensor

    def __post_init__(self) -> None:
        batch, size = self.crop.shape[0], self.crop.shape[-1]
        expected = (batch, VIEW_CHANNELS, size, size)
        if self.crop.shape != expected or self.full.shape != expected or self.box.shape != (batch, 4):
            raise ValueError(
                f"views are B x 8 x S x S twice and B x 4, not {tuple(self.crop.shape)}, "
                f"{tuple(self.full.shape)}, {tuple(self.box.shape)}"
            )

    def without_points(self, dropped: Tensor) -> Views:
        """The point map hidden in the rows of ``dropped`` (B bool): zero xyz, zero validity, flag cleared."""
        keep = (~dropped).to(self.crop.dtype)
        gate = self.crop.new_ones(len(keep), VIEW_CHANNELS, 1, 1)
        gate[:, 4:] = keep.view(-1, 1, 1, 1)
        flag = self.box.new_ones(len(keep), 4)
        flag[:, 3] = keep
        return Views(crop=self.crop * gate, full=self.full * gate, box=self.box * flag)


class ConditionEncoder(nn.Module):
    """The preset's embedders and their fuser. The unconditional branch is these tokens times zero."""

    def __init__(self, preset: ConditionPreset) -> None:
        super().__init__()
        self.preset = preset
        self.embedders = nn.ModuleList([_embedder(one) for one in preset.embedders])
        widths = tuple(one.width for one in preset.embedders)
        joint = any(one.kind == "joint" for one in preset.embedders)
        self.fuser = EmbedderFuser(widths, preset.width, groups=JOINT_GROUPS if joint else GROUPS)

    @property
    def num_tokens(self) -> int:
        return self.preset.num_tokens

    @property
    def needs_image_encoder(self) -> bool:
        """Whether an embedder starts from pretrained DINOv2 weights, which an operator supplies."""
        return any(one.kind == "dinov2" for one in self.preset.embedders)

    def load_image_encoder(self, file: Path) -> None:
        """Start the image and the mask embedder from the same local DINOv2 weights.

        Raises ValueError when no embedder is a DINOv2, CheckpointRefused when the weights do not fit.
        """
        if not self.needs_image_encoder:
            raise ValueError("this preset trains its image encoder from nothing and takes no DINOv2 weights")
        for one in self.embedders:
            if isinstance(one, DinoV2Embedder):
                one.load_local(file)

    def forward(self, views: Views) -> tuple[Tensor, Tensor | None]:
        """B x num_tokens x width, and the crop patches' places (B x n x 3) where a joint embedder guesses them."""
        groups: list[list[Tensor]] = []
        places: Tensor | None = None
        for one in self.embedders:
            if isinstance(one, JointEmbedder):
                tokens, places = one(views.crop, views.full, views.box)
            else:
                tokens = one(views.crop, views.full, views.box)
            groups.append(tokens)
        fused: Tensor = self.fuser(
            groups, shown=[self._shown(one, views.box) for one in self.preset.embedders]
        )
        assert fused.shape[1] == self.num_tokens, fused.shape
        return fused, places

    def _shown(self, embedder: EmbedderPreset, box: Tensor) -> Tensor | None:
        """The release hides the tokens of an unknown point map; else the embedder has learned what to say then."""
        hides = embedder.kind == "point_patch" and self.preset.missing_points == "zero"
        return box[:, 3] if hides else None


def _embedder(preset: EmbedderPreset) -> nn.Module:
    if preset.kind == "joint":
        return JointEmbedder(preset)
    if preset.kind == "vit":
        return VitEmbedder(preset)
    if preset.kind == "dinov2":
        return DinoV2Embedder(preset)
    return PointPatchEmbedder(preset)
