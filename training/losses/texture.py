"""Texture losses: velocity errors per object over packed cells, and errors of decoded colours near the surface."""

from __future__ import annotations

import torch
from torch import Tensor

from modelzoo.models.cells import CellBatch

NEAR_SURFACE = 1.0  # voxels from the surface within which colours count


def cell_error(predicted: Tensor, velocity: Tensor, cells: CellBatch) -> Tensor:
    """B numbers: the mean, over an object's cells and channels (N, C), of the squared velocity error.

    A mean, so that candidates with more cells weigh no more than others.
    """
    assert predicted.shape == velocity.shape and len(predicted) == len(cells.coords), predicted.shape
    errors = (predicted - velocity).square().mean(dim=1)
    total = torch.zeros(cells.size, dtype=errors.dtype, device=errors.device).index_add(
        0, cells.batch, errors
    )
    counts = torch.tensor(cells.counts, dtype=errors.dtype, device=errors.device)
    return total / counts


def colour_error(predicted: Tensor, colour: Tensor, field: Tensor) -> Tensor:
    """Mean absolute error of colours (N, V, 3) where the ``field`` (N, V), in voxels, is near the surface."""
    assert predicted.shape == colour.shape == (*field.shape, 3), (predicted.shape, colour.shape)
    near = field.abs() < NEAR_SURFACE
    return (predicted - colour)[near].abs().mean()
