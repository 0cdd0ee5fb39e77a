"""Volume intersection over union of occupancy grids; state solid or shell with every figure."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VOXELS = 64


def volume_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of bool grids (... x R x R x R each, broadcast); two empty grids agree perfectly."""
    assert first.dtype == second.dtype == torch.bool, (first.dtype, second.dtype)
    assert first.shape[-3:] == second.shape[-3:], (first.shape, second.shape)
    both = (first & second).flatten(-3).sum(-1).float()
    either = (first | second).flatten(-3).sum(-1).float()
    return torch.where(either > 0, both / either.clamp(min=1.0), torch.ones(()))


def shell_iou(
    first: NDArray[np.floating], second: NDArray[np.floating], *, resolution: int = VOXELS
) -> float:
    """vIoU as SAM 3D has it (sam3d facts 7.1): IoU of the voxels that N x 3 and M x 3 points of [-1, 1]^3 fall into.

    A shell, not a solid, and only as good as the points are dense: the paper takes a million of each; with thirty
    thousand the same surface sampled twice is far from 1. Points outside the cube count in its outermost voxels.
    """
    marks = np.zeros((2, resolution**3), dtype=np.bool_)
    for mark, points in zip(marks, (first, second), strict=True):
        cells = np.floor((points + 1.0) * (resolution / 2)).astype(np.int64).clip(0, resolution - 1)
        mark[np.ravel_multi_index(tuple(cells.T), (resolution,) * 3)] = True
    either = int((marks[0] | marks[1]).sum())
    return float((marks[0] & marks[1]).sum() / either) if either else 1.0
