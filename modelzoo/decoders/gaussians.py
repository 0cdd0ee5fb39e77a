"""Fourteen numbers per Gaussian, as a decoder's last layer gives them, to Gaussians in the object frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NUMBERS = 14  # offset 3, colour 3, scale 3, rotation 4, opacity 1
SH_CONSTANT = 0.28209479177387814  # the constant spherical harmonic: colour = 0.5 + SH_CONSTANT * raw


@dataclass(frozen=True, kw_only=True)
class GaussianSettings:
    """How raw numbers become Gaussians; the defaults are the released decoder's (sam3d facts, 3.3)."""

    count: int  # per cell
    grid: int  # cells per side of the cube
    voxel_size: float = 1.5  # width of the reach around a cell's centre, in cells
    scale_floor: float = 0.0009  # of the cube; no Gaussian is thinner
    scale_start: float = 0.004  # of the cube, where the raw scale is zero
    opacity_start: float = 0.1  # where the raw opacity is zero
    rotation_rate: float = 0.1  # how far a raw rotation leads away from the identity

    @classmethod
    def for_grid(cls, *, count: int, grid: int) -> GaussianSettings:
        """As released on its 64^3 grid; on a coarser one larger and opaque from the start: no renderer trains those."""
        if grid >= 64:
            return cls(count=count, grid=grid)
        return cls(
            count=count,
            grid=grid,
            voxel_size=2.0,
            scale_start=0.1 / grid,
            opacity_start=0.88,
            rotation_rate=1.0,
        )


@dataclass(frozen=True, kw_only=True)
class CellGaussians:
    """K Gaussians per cell: positions (N, K, 3) in the object frame, scales (N, K, 3) in its unit, rotations
    (N, K, 4), opacities (N, K) and colours (N, K, 3), sRGB that may leave [0, 1] by a little."""

    positions: Tensor
    scales: Tensor
    rotations_wxyz: Tensor
    opacities: Tensor
    colours: Tensor


def gaussians_from_raw(
    raw: Tensor, coords: Tensor, anchors: Tensor, settings: GaussianSettings
) -> CellGaussians:
    """Gaussians of cells ``coords`` (N, 3) from ``raw`` (N, 14 K), K of each number in turn; ``anchors`` (K, 3).

    A position is the cell's centre and a tanh, so it stays within ``voxel_size / 2`` cells on each side.
    """
    n, count = len(coords), settings.count
    assert raw.shape == (n, NUMBERS * count) and anchors.shape == (count, 3), (raw.shape, anchors.shape)
    widths = [number * count for number in (3, 3, 3, 4, 1)]
    offset, colour, scale, rotation, opacity = (
        part.reshape(n, count, -1) for part in raw.split(widths, dim=1)
    )
    centre = (coords.to(raw.dtype) + 0.5) / settings.grid - 0.5
    reach = 0.5 * settings.voxel_size / settings.grid
    start = math.sqrt(settings.scale_start**2 - settings.scale_floor**2)
    scale_bias = math.log(math.expm1(start))
    opacity_bias = math.log(settings.opacity_start / (1 - settings.opacity_start))
    identity = raw.new_tensor([1.0, 0.0, 0.0, 0.0])
    return CellGaussians(
        positions=centre[:, None] + reach * torch.tanh(offset + anchors.to(raw.dtype)),
        scales=torch.sqrt(F.softplus(scale + scale_bias) ** 2 + settings.scale_floor**2),
        rotations_wxyz=F.normalize(settings.rotation_rate * rotation + identity, dim=-1),
        opacities=torch.sigmoid(opacity[..., 0] + opacity_bias),
        colours=0.5 + SH_CONSTANT * colour,
    )


def spread_anchors(settings: GaussianSettings) -> Tensor:
    """Where the K Gaussians of a cell start, as arguments of tanh: Hammersley's points fill the cell itself (K, 3)."""
    points = [
        (index / settings.count, _mirrored(index, base=2), _mirrored(index, base=3))
        for index in range(settings.count)
    ]
    return torch.atanh((2 * torch.tensor(points) - 1) / settings.voxel_size)


def _mirrored(index: int, *, base: int) -> float:
    """The digits of ``index`` behind the point, in reverse: van der Corput's sequence."""
    value, weight = 0.0, 1.0
    while index:
        weight /= base
        index, digit = divmod(index, base)
        value += digit * weight
    return value
