"""Sizes of the models, by name: from nano for unit tests to paper; same code, configuration only.

``python -m modelzoo.presets --json`` prints the parameter counts of every preset, part by part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

EmbedderKind = Literal["joint", "vit", "dinov2", "point_patch"]
ViewChannels = Literal["image", "mask", "points", "all"]
VIEW_PATCH = 8  # pixels per side of a joint embedder's patches


@dataclass(frozen=True, kw_only=True)
class EmbedderPreset:
    """One encoder of the crop and the full view, and which of their channels it reads.

    ``joint`` reads all channels of both views at once and adds tokens for the crop's place in the full view and for
    the pose that fits what it saw;
    ``point_patch`` reads the point map; ``vit`` and ``dinov2`` read the image or the mask.
    """

    kind: EmbedderKind
    reads: ViewChannels
    size: int  # pixels per side that the encoder sees
    patch: int
    width: int
    depth: int
    heads: int
    registers: bool = False  # dinov2: keep the four registers and take features before the last norm

    @property
    def tokens_per_view(self) -> int:
        """Of the crop; a joint embedder has a quarter as many of the full view, and two more."""
        side = self.size // self.patch
        extra = {"joint": 0, "point_patch": 0, "vit": 1, "dinov2": 5 if self.registers else 1}
        return side * side + extra[self.kind]

    @property
    def num_tokens(self) -> int:
        if self.kind == "joint":
            return self.tokens_per_view + self.tokens_per_view // 4 + 2
        return 2 * self.tokens_per_view


@dataclass(frozen=True, kw_only=True)
class ConditionPreset:
    """Embedders and the width that they are all projected to."""

    width: int
    embedders: tuple[EmbedderPreset, ...]
    missing_points: Literal["learned", "zero"] = "learned"  # tokens of a point map that is not there

    @property
    def num_tokens(self) -> int:
        return sum(one.num_tokens for one in self.embedders)


@dataclass(frozen=True, kw_only=True)
class StructurePreset:
    """The occupancy autoencoder (sparse-structure VAE); ``widths`` run from the finest level to the coarsest."""

    resolution: int  # occupancy grid side
    fold: int  # voxels per side that are folded into channels at the entry; 1 at full size
    widths: tuple[int, ...]
    blocks: int  # residual blocks per level
    middle_blocks: int
    channels: int  # of the latent

    @property
    def latent_size(self) -> int:
        return int(self.resolution // self.fold // 2 ** (len(self.widths) - 1))

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        return (self.channels, self.latent_size, self.latent_size, self.latent_size)


@dataclass(frozen=True, kw_only=True)
class GeometryPreset:
    """The two-stream flow over shape latent and layout, with its condition encoder and its autoencoder."""

    structure: StructurePreset
    condition: ConditionPreset
    patch: int  # latent voxels per token side
    width: int
    depth: int
    heads: int
    mlp_ratio: int = 4
    preconditioned: bool = True  # the network's target has unit variance at every t; False as released
    gate_start: float = 1.0  # of the residual gates, before training; 0 as released

    def __post_init__(self) -> None:
        if self.structure.latent_size % self.patch or self.width % self.heads:
            raise ValueError("patch must divide the latent's side and heads must divide width")

    @property
    def image_size(self) -> int:
        """Pixels per side of the crop and the full view."""
        return max(one.size for one in self.condition.embedders)

    @property
    def resolution(self) -> int:
        return self.structure.resolution

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        return self.structure.latent_shape

    @property
    def num_shape_tokens(self) -> int:
        return (self.structure.latent_size // self.patch) ** 3


@dataclass(frozen=True, kw_only=True)
class StructuredLatentPreset:
    """The structured-latent VAE over active cells, and its two decoders."""

    grid: int  # cells per side
    cell: int  # voxels of the decoded field per side of a cell
    channels: int
    features: Literal["field", "views"]  # the encoder sees field and colours, or features gathered from views
    feature_width: int  # of gathered view features; 0 for "field"
    backbone: Literal["conv", "swin"]
    width: int
    depth: int
    heads: int
    window: int
    gaussians: tuple[int, ...]  # per cell, one decoder each
    surface: Literal["field", "flexicubes"]


@dataclass(frozen=True, kw_only=True)
class TexturePreset:
    """The sparse flow over active cells; ``probes`` > 0 also tells each cell what it projects to."""

    condition: ConditionPreset | None  # None: the probes' own view encoder
    channels: int
    io_width: int
    io_blocks: int  # residual blocks before and after the trunk, the last of them changing resolution
    width: int
    depth: int
    heads: int
    mlp_ratio: int = 4
    max_cells: int
    view: int = 128  # pixels per side of the crop that probes look at
    probes: int = 0  # projected points per cell
    stem_width: int = 32
    io_reach: Literal["cube", "faces"] = "cube"  # neighbours that the outer convolutions see
    preconditioned: bool = True
    gate_start: float = 1.0  # of the residual gates, before training; 0 as released


@dataclass(frozen=True, kw_only=True)
class SamplingPreset:
    """Steps that a preset is sampled with."""

    steps: int
    shortcut_steps: int = 4


@dataclass(frozen=True, kw_only=True)
class ModelPreset:
    """Sizes of all models, under one name. ``axes`` are those of layouts and point maps inside the weights."""

    name: str
    geometry: GeometryPreset
    latent: StructuredLatentPreset
    texture: TexturePreset
    sampling: SamplingPreset
    axes: Literal["opencv", "pytorch3d_rows"] = "opencv"


def _dinov2(width: int, depth: int, heads: int, *, registers: bool = False) -> tuple[EmbedderPreset, ...]:
    image = EmbedderPreset(
        kind="dinov2",
        reads="image",
        size=518,
        patch=14,
        width=width,
        depth=depth,
        heads=heads,
        registers=registers,
    )
    return (image, replace(image, reads="mask"))


def _points(size: int, width: int, heads: int) -> EmbedderPreset:
    return EmbedderPreset(
        kind="point_patch", reads="points", size=size, patch=8, width=width, depth=1, heads=heads
    )


def _joint(size: int, width: int, depth: int, heads: int) -> EmbedderPreset:
    return EmbedderPreset(
        kind="joint", reads="all", size=size, patch=VIEW_PATCH, width=width, depth=depth, heads=heads
    )


_FULL_STRUCTURE = StructurePreset(
    resolution=64, fold=1, widths=(32, 128, 512), blocks=2, middle_blocks=2, channels=8
)
_NANO_IMAGE = EmbedderPreset(kind="vit", reads="image", size=56, patch=14, width=32, depth=1, heads=2)
_NANO = ModelPreset(
    name="nano",
    geometry=GeometryPreset(
        structure=StructurePreset(
            resolution=32, fold=4, widths=(16, 16), blocks=1, middle_blocks=0, channels=4
        ),
        condition=ConditionPreset(
            width=32,
            embedders=(_NANO_IMAGE, replace(_NANO_IMAGE, reads="mask"), _points(32, 32, 2)),
        ),
        patch=2,
        width=32,
        depth=2,
        heads=2,
        mlp_ratio=2,
    ),
    latent=StructuredLatentPreset(
        grid=8,
        cell=4,
        channels=4,
        features="field",
        feature_width=0,
        backbone="conv",
        width=16,
        depth=2,
        heads=2,
        window=4,
        gaussians=(4,),
        surface="field",
    ),
    texture=TexturePreset(
        condition=None,
        channels=4,
        io_width=16,
        io_blocks=1,
        width=32,
        depth=1,
        heads=2,
        max_cells=512,
        view=32,
        probes=8,
        stem_width=8,
        io_reach="faces",
    ),
    sampling=SamplingPreset(steps=8),
)
_TINY = ModelPreset(
    name="tiny",
    geometry=GeometryPreset(
        structure=StructurePreset(
            resolution=64, fold=4, widths=(32, 64), blocks=1, middle_blocks=1, channels=8
        ),
        condition=ConditionPreset(width=128, embedders=(_joint(64, 128, 3, 4),)),
        patch=2,
        width=128,
        depth=6,
        heads=4,
    ),
    latent=StructuredLatentPreset(
        grid=16,
        cell=4,
        channels=8,
        features="field",
        feature_width=0,
        backbone="conv",
        width=64,
        depth=3,
        heads=4,
        window=8,
        gaussians=(16,),
        surface="field",
    ),
    texture=TexturePreset(
        condition=None,
        channels=8,
        io_width=64,
        io_blocks=2,
        width=128,
        depth=3,
        heads=4,
        max_cells=1536,
        probes=8,
        io_reach="faces",
    ),
    sampling=SamplingPreset(steps=8),
)
_SMALL = ModelPreset(
    name="small",
    geometry=GeometryPreset(
        structure=StructurePreset(
            resolution=64, fold=1, widths=(16, 64, 256), blocks=2, middle_blocks=2, channels=8
        ),
        condition=ConditionPreset(width=256, embedders=(_joint(128, 256, 6, 8),)),
        patch=2,
        width=256,
        depth=8,
        heads=8,
    ),
    latent=StructuredLatentPreset(
        grid=32,
        cell=4,
        channels=8,
        features="field",
        feature_width=0,
        backbone="swin",
        width=192,
        depth=6,
        heads=6,
        window=8,
        gaussians=(16,),
        surface="field",
    ),
    texture=TexturePreset(
        condition=ConditionPreset(width=256, embedders=(_joint(128, 256, 6, 8),)),
        channels=8,
        io_width=32,
        io_blocks=2,
        width=256,
        depth=8,
        heads=8,
        max_cells=20_000,
        probes=8,
    ),
    sampling=SamplingPreset(steps=25),
)
_BASE = ModelPreset(
    name="base",
    geometry=GeometryPreset(
        structure=StructurePreset(
            resolution=64, fold=1, widths=(16, 64, 256), blocks=2, middle_blocks=2, channels=8
        ),
        condition=ConditionPreset(width=512, embedders=(*_dinov2(384, 12, 6), _points(224, 256, 8))),
        patch=1,
        width=512,
        depth=12,
        heads=8,
        preconditioned=False,
        gate_start=0.0,
    ),
    latent=StructuredLatentPreset(
        grid=64,
        cell=4,
        channels=8,
        features="views",
        feature_width=384,
        backbone="swin",
        width=384,
        depth=12,
        heads=6,
        window=8,
        gaussians=(16,),
        surface="flexicubes",
    ),
    texture=TexturePreset(
        condition=ConditionPreset(width=512, embedders=_dinov2(384, 12, 6, registers=True)),
        channels=8,
        io_width=64,
        io_blocks=2,
        width=512,
        depth=12,
        heads=8,
        max_cells=32_000,
        preconditioned=False,
        gate_start=0.0,
    ),
    sampling=SamplingPreset(steps=25),
)
_RELEASED = ModelPreset(
    name="released",
    geometry=GeometryPreset(
        structure=_FULL_STRUCTURE,
        condition=ConditionPreset(
            width=1024,
            embedders=(*_dinov2(1024, 24, 16), _points(256, 512, 16)),
            missing_points="zero",
        ),
        patch=1,
        width=1024,
        depth=24,
        heads=16,
        preconditioned=False,
        gate_start=0.0,
    ),
    latent=StructuredLatentPreset(
        grid=64,
        cell=4,
        channels=8,
        features="views",
        feature_width=1024,
        backbone="swin",
        width=768,
        depth=12,
        heads=12,
        window=8,
        gaussians=(32, 4),
        surface="flexicubes",
    ),
    texture=TexturePreset(
        condition=ConditionPreset(width=1024, embedders=_dinov2(1024, 24, 16, registers=True)),
        channels=8,
        io_width=128,
        io_blocks=2,
        width=1024,
        depth=24,
        heads=16,
        max_cells=42_000,
        preconditioned=False,
        gate_start=0.0,
    ),
    sampling=SamplingPreset(steps=25),
    axes="pytorch3d_rows",
)
_PAPER = replace(_RELEASED, name="paper", geometry=replace(_RELEASED.geometry, depth=30), axes="opencv")

PRESETS: dict[str, ModelPreset] = {
    preset.name: preset for preset in (_NANO, _TINY, _SMALL, _BASE, _RELEASED, _PAPER)
}


def preset_named(name: str) -> ModelPreset:
    """The preset of that name; ValueError names the ones that exist."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


if __name__ == "__main__":
    # The counting builds models, which import this module: it comes in only where a command asks for it.
    import sys

    from modelzoo.parameter_counts import main

    sys.exit(main())
