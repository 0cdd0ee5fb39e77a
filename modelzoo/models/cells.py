"""Batches of active cells on a coarse grid: packing, neighbours and parents, and the voxels inside of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

OFFSETS = torch.stack(torch.meshgrid(*[torch.arange(-1, 2)] * 3, indexing="ij"), dim=-1).reshape(27, 3)
CUBE = tuple(range(27))
FACES = tuple(
    index for index, offset in enumerate(OFFSETS.tolist()) if sum(abs(step) for step in offset) <= 1
)
TABLE_LIMIT = 2**24  # entries of a dense look-up of neighbours; beyond, sorted keys are searched


@dataclass(frozen=True, kw_only=True)
class CellBatch:
    """N active cells of B objects, packed without padding and sorted by object.

    ``coords`` (N, 3) integer cell indices (x, y, z), none twice in one object; ``batch`` (N,) the object of each.
    Neighbours and parents are worked out when first asked for.
    """

    coords: Tensor
    batch: Tensor
    size: int
    grid: int

    @cached_property
    def counts(self) -> list[int]:
        """Active cells per object."""
        found: list[int] = torch.bincount(self.batch, minlength=self.size).tolist()
        return found

    @cached_property
    def neighbours(self) -> Tensor:
        """(N, 27) rows of the 3 x 3 x 3 neighbourhood, x slowest; N where the neighbour is not active."""
        if self.size * (self.grid + 2) ** 3 <= TABLE_LIMIT:
            return neighbours_by_table(self)
        return neighbours_by_search(self)

    @property
    def parent(self) -> Tensor:
        """(N,) each cell's row in ``coarser``."""
        return self._family[1]

    @property
    def coarser(self) -> CellBatch:
        """The P parents: the 2 x 2 x 2 blocks that hold at least one active cell, in order of object, x, y, z."""
        return self._family[0]

    @cached_property
    def _family(self) -> tuple[CellBatch, Tensor]:
        half = self.grid // 2
        keys, parent = torch.unique(_keys(self.coords // 2, self.batch, half), return_inverse=True)
        coords = torch.stack([keys // half**2 % half, keys // half % half, keys % half], dim=-1)
        return CellBatch(coords=coords, batch=keys // half**3, size=self.size, grid=half), parent


def batch_cells(coords: list[Tensor], *, grid: int) -> CellBatch:
    """Pack each object's (N_i, 3) active cells. ValueError unless every object has a cell and all lie in the grid."""
    if not coords or any(c.ndim != 2 or c.shape[1] != 3 or len(c) == 0 for c in coords):
        raise ValueError(f"every object needs (n, 3) cells, not {[tuple(c.shape) for c in coords]}")
    packed = torch.cat(coords).long()
    if int(packed.min()) < 0 or int(packed.max()) >= grid or grid % 2:
        raise ValueError(f"cells must lie in the grid, 0 to {grid - 1}, and its side must be even")
    device = packed.device
    counts = torch.tensor([len(c) for c in coords], device=device)
    batch = torch.repeat_interleave(torch.arange(len(coords), device=device), counts)
    return CellBatch(coords=packed, batch=batch, size=len(coords), grid=grid)


def neighbours_by_table(cells: CellBatch) -> Tensor:
    """A dense grid of rows; one empty layer around each object's saves the bounds checks."""
    side = cells.grid + 2
    device = cells.coords.device
    table = torch.full((cells.size * side**3,), len(cells.coords), dtype=torch.long, device=device)
    own = _keys(cells.coords + 1, cells.batch, side)
    table[own] = torch.arange(len(cells.coords), device=device)
    steps = _keys(OFFSETS.to(device), torch.zeros(27, dtype=torch.long, device=device), side)
    return table[own[:, None] + steps]


def neighbours_by_search(cells: CellBatch) -> Tensor:
    """Binary search among the sorted keys of the active cells: for fine grids, whose tables would not fit."""
    side = cells.grid + 2
    device = cells.coords.device
    own = _keys(cells.coords + 1, cells.batch, side)
    keys, rows = own.sort()
    steps = _keys(OFFSETS.to(device), torch.zeros(27, dtype=torch.long, device=device), side)
    wanted = own[:, None] + steps
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, rows[place], len(keys))


def _keys(coords: Tensor, batch: Tensor, grid: int) -> Tensor:
    return ((batch * grid + coords[:, 0]) * grid + coords[:, 1]) * grid + coords[:, 2]


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


def enclosed(solid: Tensor) -> Tensor:
    """Solid voxels (B, R, R, R) whose 26 neighbours are solid too; outside of the volume nothing is."""
    assert solid.ndim == 4 and solid.dtype == torch.bool, (solid.shape, solid.dtype)
    inner = F.pad(solid, [1] * 6)
    for axis in (1, 2, 3):  # one axis after the other: the same voxels as pooling the cube, much sooner
        side = inner.shape[axis] - 2
        inner = inner.narrow(axis, 0, side) & inner.narrow(axis, 1, side) & inner.narrow(axis, 2, side)
    return inner


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
