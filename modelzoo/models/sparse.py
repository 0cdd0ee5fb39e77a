"""Layers over active cells: the sparse convolution, and the way to coarser and to finer cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.models.cells import CUBE, CellBatch

GATHER_LIMIT = 2**27  # gathered numbers up to which one matrix product beats one product a neighbour


class CellConv(nn.Module):
    """Submanifold convolution: the active cells stay the same, cells that are not active count as zero.

    ``reach`` names which of the 27 cells around count: CUBE for all of them, FACES for the cell and its six neighbours.
    The weight is (channels_out, reach x channels_in), the neighbours in the order of ``CellBatch.neighbours``.
    """

    def __init__(self, channels_in: int, channels_out: int, *, reach: tuple[int, ...] = CUBE) -> None:
        super().__init__()
        self.reach = list(reach)
        self.linear = nn.Linear(len(reach) * channels_in, channels_out)

    def forward(self, values: Tensor, cells: CellBatch) -> Tensor:
        """(N, channels_in) to (N, channels_out)."""
        assert values.shape[0] == len(cells.coords), values.shape
        rows = cells.neighbours if len(self.reach) == len(CUBE) else cells.neighbours[:, self.reach]
        if rows.numel() * values.shape[1] <= GATHER_LIMIT:
            return convolved_at_once(values, rows, self.linear)
        return convolved_by_neighbour(values, rows, self.linear)


def convolved_at_once(values: Tensor, rows: Tensor, linear: nn.Linear) -> Tensor:
    """All neighbours side by side (N, K x C), then one matrix product: fastest where that fits."""
    padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
    out: Tensor = linear(padded.index_select(0, rows.flatten()).view(len(rows), -1))
    return out


def convolved_by_neighbour(values: Tensor, rows: Tensor, linear: nn.Linear) -> Tensor:
    """One product a neighbour, over the cells that have it: memory of N x C, not of N x 27 x C."""
    kernel = linear.weight.view(linear.out_features, rows.shape[1], values.shape[1]).unbind(dim=1)
    out = linear.bias.to(values.dtype).expand(len(values), -1).clone()
    for index, weight in enumerate(kernel):
        has = (rows[:, index] < len(values)).nonzero()[:, 0]
        out = out.index_add(0, has, F.linear(values[rows[has, index]], weight).to(out.dtype))
    return out


def pool_to_parents(cells: CellBatch, values: Tensor) -> Tensor:
    """Mean over the active cells of each parent: (N, C) to (P, C)."""
    assert values.shape[0] == len(cells.coords), values.shape
    num_parents = len(cells.coarser.coords)
    total = values.new_zeros(num_parents, values.shape[1]).index_add(0, cells.parent, values)
    count = torch.bincount(cells.parent, minlength=num_parents).to(values.dtype)
    return total / count[:, None]


def spread_to_children(cells: CellBatch, values: Tensor) -> Tensor:
    """Each parent's values at its active cells: (P, C) to (N, C)."""
    assert values.shape[0] == len(cells.coarser.coords), values.shape
    return values.index_select(0, cells.parent)


def subdivide(cells: CellBatch) -> CellBatch:
    """All eight children of every cell, on a grid twice as fine; those of row i are rows 8 i to 8 i + 7, x slowest."""
    corner = torch.arange(2, device=cells.coords.device)
    octants = torch.stack(torch.meshgrid(corner, corner, corner, indexing="ij"), dim=-1).reshape(1, 8, 3)
    return CellBatch(
        coords=(2 * cells.coords[:, None] + octants).reshape(-1, 3),
        batch=cells.batch.repeat_interleave(8),
        size=cells.size,
        grid=2 * cells.grid,
    )


def spread_to_octants(values: Tensor) -> Tensor:
    """Each cell's values at the eight rows that ``subdivide`` gives it: (N, C) to (8 N, C)."""
    return values.repeat_interleave(8, dim=0)
