"""Sparse grids of cubes and their shared corners, for many objects at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CORNERS = torch.tensor([[corner >> axis & 1 for axis in range(3)] for corner in range(8)])  # x counts fastest


@dataclass(frozen=True, kw_only=True)
class CubeGrid:
    """M cubes of side 1 / resolution and their V corners, both sorted by object and place.

    ``points`` (V, 4) are object and integer place (x, y, z) of each corner, place 0 at -0.5 of the object frame and
    ``resolution`` at 0.5; one cube beyond the unit cube is allowed on each side. ``corners`` (M, 8) are rows of
    ``points``, x fastest.
    """

    points: Tensor
    corners: Tensor
    resolution: int


def cube_grid(cubes: Tensor, *, resolution: int) -> tuple[CubeGrid, Tensor]:
    """The grid of ``cubes`` (M, 4), object and lowest corner, and the row that each of them has there.

    Raises ValueError for a cube that is named twice or lies more than one beyond the unit cube.
    """
    if cubes.ndim != 2 or cubes.shape[1] != 4 or cubes.is_floating_point():
        raise ValueError(f"cubes must be (M, 4) integers, not {tuple(cubes.shape)} {cubes.dtype}")
    if len(cubes) and (int(cubes[:, 1:].min()) < -1 or int(cubes[:, 1:].max()) > resolution):
        raise ValueError(f"cubes must lie within -1..{resolution}")
    keys, row = torch.unique(keys_of(cubes, resolution=resolution), return_inverse=True)
    if len(keys) != len(cubes):
        raise ValueError("a cube is named twice")
    ordered = torch.empty_like(cubes)
    ordered[row] = cubes
    around = ordered[:, None].repeat(1, 8, 1)
    around[..., 1:] += CORNERS.to(cubes.device)
    corner_keys, corners = torch.unique(
        keys_of(around.view(-1, 4), resolution=resolution), return_inverse=True
    )
    points = torch.empty(len(corner_keys), 4, dtype=torch.long, device=cubes.device)
    points[corners] = around.view(-1, 4).long()
    return CubeGrid(points=points, corners=corners.view(-1, 8), resolution=resolution), row


def dense_grid(resolution: int, *, objects: int = 1, device: torch.device | str = "cpu") -> CubeGrid:
    """All cubes of the unit cube; corner values come from (objects, R + 1, R + 1, R + 1) volumes, flattened."""
    steps = torch.arange(resolution, device=device)
    each = torch.arange(objects, device=device)
    cubes = torch.stack(torch.meshgrid(each, steps, steps, steps, indexing="ij"), dim=-1).view(-1, 4)
    return cube_grid(cubes, resolution=resolution)[0]


def rows_of(wanted: Tensor, cubes: Tensor, *, resolution: int) -> Tensor:
    """The row of each of ``wanted`` (W, 4) in ``cubes`` (M, 4), which are sorted as a grid sorts them; -1 without."""
    if not len(cubes):
        return torch.full((len(wanted),), -1, dtype=torch.long, device=wanted.device)
    keys, sought = keys_of(cubes, resolution=resolution), keys_of(wanted, resolution=resolution)
    place = torch.searchsorted(keys, sought).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == sought, place, -1)


def keys_of(places: Tensor, *, resolution: int) -> Tensor:
    """One number per object and place, in order; places from -1 to resolution + 2."""
    side = resolution + 4
    b, x, y, z = places.long().unbind(dim=-1)
    return ((b * side + x + 1) * side + y + 1) * side + z + 1
