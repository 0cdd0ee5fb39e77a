"""From cells of the structured latent to what a mesh is extracted from: values on a grid four times as fine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.decoders.cubes import CORNERS, CubeGrid, cube_grid, keys_of, rows_of
from modelzoo.decoders.flexicubes import NUM_WEIGHTS, CubeSurface, Quads, extract
from modelzoo.models.cells import CellBatch
from modelzoo.models.sparse import CellConv, spread_to_octants, subdivide

NUM_ATTRIBUTES = 6  # per corner: colour, then normal
CUBE_NUMBERS = 8 + 24 + NUM_WEIGHTS + 8 * NUM_ATTRIBUTES  # distances, shifts, weights, attributes: 101
OUTSIDE = 1.0  # distance at corners that no active cube has a say in
_GROUPS = 32


@dataclass(frozen=True, kw_only=True)
class CubeValues:
    """What ``flexicubes.extract`` takes; ``spread`` is how much cubes disagreed about the corners that they share."""

    grid: CubeGrid
    sdf: Tensor  # (V,)
    deform: Tensor  # (V, 3)
    weights: Tensor  # (M, 21)
    attributes: Tensor  # (V, 6) in [0, 1]
    known: Tensor  # (V,) bool: corners of active cubes, which the decoder spoke of
    spread: Tensor  # a mean variance over corners and their numbers

    def surface(self, *, quads: Quads = "cut") -> CubeSurface:
        """The triangles; their ``attributes`` begin with the colour."""
        return extract(
            self.grid,
            self.sdf,
            deform=self.deform,
            weights=self.weights,
            attributes=self.attributes,
            quads=quads,
        )


class CubeHead(nn.Module):
    """Two subdivisions of the cells, to width / 4 and then width / 8, and 101 numbers for each of the finest."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.finer = nn.ModuleList([_Subdivide(width, width // 4), _Subdivide(width // 4, width // 8)])
        self.out = nn.Linear(width // 8, CUBE_NUMBERS)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, values: Tensor, cells: CellBatch) -> CubeValues:
        """(N, width) of cells to values on the corners of 64 N cubes and those around them."""
        for block in self.finer:
            values, cells = block(values, cells)
        return cube_values(self.out(values), cells)


class _Subdivide(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm_in = PackedGroupNorm(channels_in)
        self.conv_in = CellConv(channels_in, channels_out)
        self.norm_out = PackedGroupNorm(channels_out)
        self.conv_out = CellConv(channels_out, channels_out)
        self.skip = nn.Linear(channels_in, channels_out)
        nn.init.zeros_(self.conv_out.linear.weight)
        nn.init.zeros_(self.conv_out.linear.bias)

    def forward(self, values: Tensor, cells: CellBatch) -> tuple[Tensor, CellBatch]:
        finer = subdivide(cells)
        hidden = spread_to_octants(F.silu(self.norm_in(values, cells)))
        hidden = F.silu(self.norm_out(self.conv_in(hidden, finer), finer))
        return spread_to_octants(self.skip(values)) + self.conv_out(hidden, finer), finer


class PackedGroupNorm(nn.Module):
    """Group norm over the cells of each object by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(_GROUPS, channels)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        """(N, channels) to the same; statistics in float32 at least."""
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        grouped = wide.view(len(values), self.groups, -1)
        mean = _object_means(grouped.mean(dim=2), cells)[cells.batch]
        centred = grouped - mean[..., None]
        variance = _object_means(centred.square().mean(dim=2), cells)[cells.batch]
        normal = (centred * torch.rsqrt(variance + 1e-5)[..., None]).view_as(values)
        return (normal * self.weight + self.bias).to(values.dtype)


def _object_means(values: Tensor, cells: CellBatch) -> Tensor:
    total = values.new_zeros(cells.size, values.shape[1]).index_add(0, cells.batch, values)
    return total / torch.bincount(cells.batch, minlength=cells.size)[:, None]


def cube_values(raw: Tensor, cells: CellBatch) -> CubeValues:
    """Corner values as means over the cubes around each corner, from ``raw`` (M, 101) of active cubes.

    A cube's numbers are eight distances (negative inside), eight shifts, 21 weights and eight times six attributes,
    corners x fastest. Distances start at minus one cube's side of the unit cube; corners without an active cube are
    outside, by 1. Cubes that are not active but touch an inside corner join the grid, so the surface is closed.
    """
    assert raw.shape == (len(cells.coords), CUBE_NUMBERS), raw.shape
    active = torch.cat([cells.batch[:, None], cells.coords], dim=1)
    own = cube_grid(active, resolution=cells.grid)
    sdf, deform, weights, attributes = raw.split([8, 24, NUM_WEIGHTS, 8 * NUM_ATTRIBUTES], dim=1)
    corner_rows = own[0].corners[own[1]].flatten()
    corners = torch.cat(
        [
            sdf.reshape(-1, 1) - 1.0 / cells.grid,
            deform.reshape(-1, 3),
            attributes.reshape(-1, NUM_ATTRIBUTES),
        ],
        dim=1,
    )
    count = torch.bincount(corner_rows, minlength=len(own[0].points)).to(raw.dtype)[:, None]
    zero = corners.new_zeros(len(count), corners.shape[1])
    mean = zero.index_add(0, corner_rows, corners) / count
    spread = (zero.index_add(0, corner_rows, (corners - mean[corner_rows]).square()) / count).mean()
    whole, row = cube_grid(
        torch.cat([active, _touched(own[0], active, mean[:, 0] < 0, count[:, 0])]), resolution=cells.grid
    )
    place = rows_of(own[0].points, whole.points, resolution=whole.resolution)
    filled = mean.new_zeros(len(whole.points), mean.shape[1])
    filled[:, 0] = OUTSIDE
    filled = filled.index_copy(0, place, mean)
    return CubeValues(
        grid=whole,
        sdf=filled[:, 0],
        deform=filled[:, 1:4],
        weights=weights.new_zeros(len(whole.corners), NUM_WEIGHTS).index_copy(0, row[: len(active)], weights),
        attributes=torch.sigmoid(filled[:, 4:]),
        known=torch.zeros_like(filled[:, 0], dtype=torch.bool).index_fill(0, place, True),
        spread=spread,
    )


@torch.no_grad()
def _touched(grid: CubeGrid, active: Tensor, inside: Tensor, count: Tensor) -> Tensor:
    """Cubes (K, 4) that are not active and have a corner inside."""
    open_corners = grid.points[inside & (count < 8)]
    around = open_corners[:, None].repeat(1, 8, 1)
    around[..., 1:] -= CORNERS.to(around.device)
    around = torch.unique(around.view(-1, 4), dim=0)
    keys = keys_of(active, resolution=grid.resolution)
    new: Tensor = around[~torch.isin(keys_of(around, resolution=grid.resolution), keys)]
    return new
