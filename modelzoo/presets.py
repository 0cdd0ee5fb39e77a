"""Sizes of the models, by name: same code, configuration only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GeometryPreset:
    """Sizes of the geometry flow, its condition encoder and the occupancy autoencoder."""

    name: str
    resolution: int  # occupancy grid side
    latent_size: int  # latent grid side, resolution / 8
    latent_channels: int
    patch: int  # latent voxels per token side
    width: int
    depth: int
    heads: int
    mlp_ratio: int
    image_size: int
    encoder_depth: int
    vae_width: int

    def __post_init__(self) -> None:
        if self.latent_size * 8 != self.resolution:
            raise ValueError("latent_size must be resolution / 8")
        if self.latent_size % self.patch or self.width % self.heads:
            raise ValueError("patch must divide latent_size and heads must divide width")

    @property
    def num_shape_tokens(self) -> int:
        return (self.latent_size // self.patch) ** 3

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        return (self.latent_channels, self.latent_size, self.latent_size, self.latent_size)


PRESETS: dict[str, GeometryPreset] = {
    preset.name: preset
    for preset in (
        GeometryPreset(
            name="nano",
            resolution=32,
            latent_size=4,
            latent_channels=4,
            patch=2,
            width=32,
            depth=2,
            heads=2,
            mlp_ratio=2,
            image_size=64,
            encoder_depth=1,
            vae_width=16,
        ),
        GeometryPreset(
            name="tiny",
            resolution=64,
            latent_size=8,
            latent_channels=8,
            patch=2,
            width=128,
            depth=6,
            heads=4,
            mlp_ratio=4,
            image_size=64,
            encoder_depth=3,
            vae_width=32,
        ),
        GeometryPreset(
            name="small",
            resolution=64,
            latent_size=8,
            latent_channels=8,
            patch=1,
            width=256,
            depth=12,
            heads=8,
            mlp_ratio=4,
            image_size=128,
            encoder_depth=6,
            vae_width=64,
        ),
    )
}


def preset_named(name: str) -> GeometryPreset:
    """The preset of that name; ValueError names the ones that exist."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
