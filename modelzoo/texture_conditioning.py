"""Where each cell falls in the photograph: from a crop, a camera and a pose to what the texture flow is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.conditioning import Square, crop_square, resample_colour, resample_mask, resample_points
from modelzoo.contracts import Intrinsics
from modelzoo.models.cells import CellBatch
from modelzoo.models.texture_flow import TextureCondition

BUFFER = 24  # pixels per side of the depth buffer in which cells hide each other
MAX_GAP = 4.0  # in cells
PROBE = 0.25  # of a cell, from its centre


@dataclass(frozen=True, kw_only=True)
class TextureView:
    """The crop about the mask: ``view`` (4, S, S) RGB in [-1, 1] and mask, z-depth (S, S) with NaN, and its camera.

    ``camera`` (4,) takes camera rays to the crop: u = camera[0] x / z + camera[2] in [-1, 1], v likewise.
    """

    view: Tensor
    depth: Tensor
    camera: Tensor


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Poses of B objects: x_camera = rotation (B, 3, 3) @ (scale (B,) x_object) + translation (B, 3)."""

    rotation: Tensor
    translation: Tensor
    scale: Tensor


def texture_view(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    points: NDArray[np.floating] | None,
    intrinsics: Intrinsics,
    *,
    size: int,
) -> TextureView:
    """Cut the crop; without ``points`` its depth is unknown everywhere."""
    window = crop_square(mask)
    view = np.empty((4, size, size), np.float32)
    view[:3] = resample_colour(image, window, size).transpose(2, 0, 1) / np.float32(127.5) - 1.0
    view[3] = resample_mask(mask, window, size)
    depth = np.full((size, size), np.nan) if points is None else resample_points(points, window, size)[..., 2]
    return TextureView(
        view=torch.from_numpy(view),
        depth=torch.from_numpy(depth.astype(np.float32)),
        camera=torch.from_numpy(crop_camera(intrinsics, window)),
    )


def crop_camera(intrinsics: Intrinsics, window: Square) -> NDArray[np.float32]:
    """The camera as focal lengths and centre in units where the window spans [-1, 1]."""
    half = window.side / 2
    return np.array(
        [
            intrinsics.fx / half,
            intrinsics.fy / half,
            (intrinsics.cx - window.left) / half - 1.0,
            (intrinsics.cy - window.top) / half - 1.0,
        ],
        np.float32,
    )


def texture_condition(
    *, view: Tensor, depth: Tensor, camera: Tensor, placement: Placement, field: Tensor, cells: CellBatch
) -> TextureCondition:
    """Project every cell: ``view`` (B, 4, S, S), ``depth`` (B, S, S), ``camera`` (B, 4), ``field`` (N, V)."""
    assert depth.shape == (cells.size, *view.shape[2:]) and camera.shape == (cells.size, 4), (
        depth.shape,
        camera.shape,
    )
    owner = cells.batch
    probes = _probe_points(cells)
    placed = placement.scale[owner, None, None] * torch.einsum(
        "nij,npj->npi", placement.rotation[owner], probes
    )
    placed = placed + placement.translation[owner, None]
    z = placed[..., 2].clamp(min=1e-4)
    pixels = camera[owner, None, :2] * placed[..., :2] / z[..., None] + camera[owner, None, 2:]
    cell_size = (placement.scale / cells.grid)[owner, None]
    hidden = (z - _nearest_depth(pixels, z, cells)) / cell_size
    behind = (z - _depth_at(depth, pixels, owner)) / cell_size
    gaps = torch.stack([hidden, torch.nan_to_num(behind, nan=0.0)], dim=-1).clamp(-MAX_GAP, MAX_GAP) / MAX_GAP
    direction = F.normalize(torch.einsum("bij,bi->bj", placement.rotation, placement.translation), dim=-1)
    return TextureCondition(
        view=view,
        probe_pixels=pixels.clamp(-3, 3),
        probe_depth=gaps,
        known_depth=torch.isfinite(depth).flatten(1).any(dim=1).float(),
        field=field,
        view_direction=direction,
    )


def _probe_points(cells: CellBatch) -> Tensor:
    """Eight points (N, 8, 3) per cell in the object frame."""
    corners = torch.tensor([-PROBE, PROBE], device=cells.coords.device)
    offsets = torch.stack(torch.meshgrid(corners, corners, corners, indexing="ij"), dim=-1).reshape(8, 3)
    return (cells.coords[:, None] + 0.5 + offsets) / cells.grid - 0.5


def _nearest_depth(pixels: Tensor, z: Tensor, cells: CellBatch) -> Tensor:
    """Depth (N, P) of the nearest probe of the same object in the same coarse pixel."""
    place = ((pixels + 1) * 0.5 * BUFFER).floor().long().clamp(0, BUFFER - 1)
    index = (cells.batch[:, None] * BUFFER + place[..., 1]) * BUFFER + place[..., 0]
    buffer = z.new_full((cells.size * BUFFER**2,), float("inf"))
    buffer = buffer.scatter_reduce(0, index.flatten(), z.flatten(), reduce="amin")
    return buffer[index]


def _depth_at(depth: Tensor, pixels: Tensor, owner: Tensor) -> Tensor:
    """The point map's depth (N, P) at the probes' pixels, NaN outside the crop."""
    size = depth.shape[-1]
    place = ((pixels + 1) * 0.5 * size).floor().long()
    inside = ((place >= 0) & (place < size)).all(dim=-1)
    place = place.clamp(0, size - 1)
    found = depth[owner[:, None], place[..., 1], place[..., 0]]
    return torch.where(inside, found, torch.full_like(found, float("nan")))
