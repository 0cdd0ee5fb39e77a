"""Batches of active cells on a coarse grid: packing, neighbours, pooling, and the sparse convolution over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OFFSETS = torch.stack(torch.meshgrid(*[torch.arange(-1, 2)] * 3, indexing="ij"), dim=-1).reshape(27, 3)
CUBE = tuple(range(27))
FACES = tuple(
    index for index, offset in enumerate(OFFSETS.tolist()) if sum(abs(step) for step in offset) <= 1
)


@dataclass(frozen=True, kw_only=True)
class CellBatch:
    """N active cells of B objects, packed without padding and sorted by object.

    ``coords`` (N, 3) integer cell indices (x, y, z); ``batch`` (N,) the object of each; ``neighbours`` (N, 27) rows
    of the 3 x 3 x 3 neighbourhood, N where the neighbour is not active. ``parent`` (N,) names each cell's row among
    the P parents, the 2 x 2 x 2 blocks that hold at least one active cell, described by ``parent_coords`` and
    ``parent_batch``; ``parent_slot`` (P,) is the parent's place in its object's padded row of tokens.
    """

    coords: Tensor
    batch: Tensor
    size: int
    grid: int
    neighbours: Tensor
    parent: Tensor
    parent_coords: Tensor
    parent_batch: Tensor
    parent_slot: Tensor

    @property
    def counts(self) -> list[int]:
        """Active cells per object."""
        return torch.bincount(self.batch, minlength=self.size).tolist()


def batch_cells(coords: list[Tensor], *, grid: int) -> CellBatch:
    """Pack each object's (N_i, 3) active cells. Every object needs at least one."""
    assert coords and all(c.ndim == 2 and c.shape[1] == 3 and len(c) for c in coords), [
        c.shape for c in coords
    ]
    device = coords[0].device
    packed = torch.cat(coords).long()
    counts = torch.tensor([len(c) for c in coords], device=device)
    batch = torch.repeat_interleave(torch.arange(len(coords), device=device), counts)
    parent_keys, parent = torch.unique(_keys(packed // 2, batch, grid // 2), return_inverse=True)
    half = grid // 2
    parent_coords = torch.stack(
        [parent_keys // half**2 % half, parent_keys // half % half, parent_keys % half], dim=-1
    )
    parent_batch = parent_keys // half**3
    parent_counts = torch.bincount(parent_batch, minlength=len(coords))
    starts = torch.cumsum(parent_counts, 0) - parent_counts
    return CellBatch(
        coords=packed,
        batch=batch,
        size=len(coords),
        grid=grid,
        neighbours=_neighbours(packed, batch, grid=grid, size=len(coords)),
        parent=parent,
        parent_coords=parent_coords,
        parent_batch=parent_batch,
        parent_slot=torch.arange(len(parent_keys), device=device) - starts[parent_batch],
    )


def pad_parents(cells: CellBatch, values: Tensor) -> tuple[Tensor, Tensor]:
    """Parent rows (P, C) as padded tokens (B, L, C) and the mask (B, L) of the real ones."""
    assert values.shape[0] == len(cells.parent_slot), values.shape
    length = int(cells.parent_slot.max()) + 1
    tokens = values.new_zeros(cells.size, length, values.shape[1])
    tokens[cells.parent_batch, cells.parent_slot] = values
    mask = torch.zeros(cells.size, length, dtype=torch.bool, device=values.device)
    mask[cells.parent_batch, cells.parent_slot] = True
    return tokens, mask


def pool_to_parents(cells: CellBatch, values: Tensor) -> Tensor:
    """Mean over the active cells of each parent: (N, C) to (P, C)."""
    assert values.shape[0] == len(cells.coords), values.shape
    num_parents = len(cells.parent_slot)
    total = values.new_zeros(num_parents, values.shape[1]).index_add(0, cells.parent, values)
    count = torch.bincount(cells.parent, minlength=num_parents).to(values.dtype)
    return total / count[:, None]


class CellConv(nn.Module):
    """Convolution over active cells; cells that are not active count as zero.

    ``reach`` names which of the 27 cells around count: CUBE for all of them, FACES for the cell and its six neighbours.
    """

    def __init__(self, channels_in: int, channels_out: int, *, reach: tuple[int, ...]) -> None:
        super().__init__()
        self.reach = list(reach)
        self.linear = nn.Linear(len(reach) * channels_in, channels_out)

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        """(N, channels_in) to (N, channels_out)."""
        padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
        gathered: Tensor = self.linear(padded[cells.neighbours[:, self.reach]].flatten(1))
        return gathered


def _keys(coords: Tensor, batch: Tensor, grid: int) -> Tensor:
    return ((batch * grid + coords[:, 0]) * grid + coords[:, 1]) * grid + coords[:, 2]


def _neighbours(coords: Tensor, batch: Tensor, *, grid: int, size: int) -> Tensor:
    """One empty layer around each grid saves the bounds checks."""
    side = grid + 2
    table = torch.full((size * side**3,), len(coords), dtype=torch.long, device=coords.device)
    table[_keys(coords + 1, batch, side)] = torch.arange(len(coords), device=coords.device)
    around = coords[:, None] + 1 + OFFSETS.to(coords.device)[None]
    flat = ((batch[:, None] * side + around[..., 0]) * side + around[..., 1]) * side + around[..., 2]
    return table[flat]


def active_cells(occupied: Tensor, *, grid: int, max_cells: int) -> list[Tensor]:
    """Cells (N_i, 3) that hold a voxel next to the surface of each solid ``occupied`` (B, R, R, R) bool.

    Above ``max_cells`` those with the most surface voxels stay. An object without a surface gets its central cell.
    """
    assert occupied.ndim == 4 and occupied.dtype == torch.bool, (occupied.shape, occupied.dtype)
    resolution = occupied.shape[-1]
    shell = torch.zeros_like(occupied)
    for axis in (1, 2, 3):
        low, high = occupied.narrow(axis, 0, resolution - 1), occupied.narrow(axis, 1, resolution - 1)
        change = low ^ high
        shell.narrow(axis, 0, resolution - 1).logical_or_(change)
        shell.narrow(axis, 1, resolution - 1).logical_or_(change)
    side = resolution // grid
    counts = shell.reshape(len(shell), grid, side, grid, side, grid, side).sum(dim=(2, 4, 6))
    return [_largest(count, max_cells=max_cells) for count in counts]


def _largest(counts: Tensor, *, max_cells: int) -> Tensor:
    found = counts.nonzero()
    if not len(found):
        return torch.full((1, 3), counts.shape[0] // 2, dtype=torch.long, device=counts.device)
    if len(found) <= max_cells:
        return found
    order = torch.sort(counts[tuple(found.T)], descending=True, stable=True).indices
    return found[order[:max_cells].sort().values]


def gather_voxels(volume: Tensor, cells: CellBatch) -> Tensor:
    """The voxels (N, V) of each cell from volumes (B, R, R, R); z runs fastest within a cell."""
    blocks = _blocks(volume, cells.grid)
    x, y, z = cells.coords.unbind(dim=1)
    return blocks[cells.batch, x, y, z]


def scatter_voxels(values: Tensor, cells: CellBatch, volume: Tensor) -> Tensor:
    """A copy of the volumes (B, R, R, R) with each cell's voxels replaced by ``values`` (N, V)."""
    blocks = _blocks(volume, cells.grid).clone()
    x, y, z = cells.coords.unbind(dim=1)
    blocks[cells.batch, x, y, z] = values
    side = volume.shape[-1] // cells.grid
    joined = blocks.reshape(*blocks.shape[:4], side, side, side).permute(0, 1, 4, 2, 5, 3, 6)
    return joined.reshape(volume.shape)


def coarse_features(occupancy: Tensor, cells: CellBatch) -> Tensor:
    """Probabilities (B, R, R, R), blurred over 3 voxels, as the texture model sees them: (N, V) in [-1, 1]."""
    blurred = F.avg_pool3d(occupancy[:, None], 3, stride=1, padding=1)[:, 0]
    return gather_voxels(blurred, cells) * 2 - 1


def _blocks(volume: Tensor, grid: int) -> Tensor:
    """(B, R, R, R) as (B, grid, grid, grid, V)."""
    assert volume.ndim == 4 and volume.shape[-1] % grid == 0, volume.shape
    side = volume.shape[-1] // grid
    cut = volume.reshape(len(volume), grid, side, grid, side, grid, side)
    return cut.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
