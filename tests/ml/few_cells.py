"""Four active cells of two objects: three of the first, two of them side by side, and one of the second."""

from __future__ import annotations

import torch

from modelzoo.models.cells import CellBatch, batch_cells


def few_cells() -> CellBatch:
    """On a grid of 8."""
    first = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 5, 5]])
    return batch_cells([first, torch.tensor([[7, 7, 7]])], grid=8)
