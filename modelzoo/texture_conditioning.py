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
from modelzoo.encoders.condition import Views
from modelzoo.models.cells import CellBatch
from modelzoo.models.probes import Probes, sample_at
from modelzoo.models.texture_flow import TextureCondition
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent, StructuredLatentVAE

BUFFER = 24  # pixels per side of the depth buffer in which cells hide each other
MAX_GAP = 4.0  # in cells
FIELD_GAIN = 2.5  # voxels of distance that the blurred coarse field spans, roughly
FULL_COVER = 0.25  # of a pixel's neighbourhood, above which its own colours are taken as they are


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
    *,
    view: Tensor,
    depth: Tensor,
    camera: Tensor,
    placement: Placement,
    field: Tensor,
    cells: CellBatch,
    vae: StructuredLatentVAE,
    views: Views | None = None,
) -> TextureCondition:
    """Project every cell: ``view`` (B, 4, S, S), ``depth`` (B, S, S), ``camera`` (B, 4), ``field`` (N, V).

    ``vae`` encodes the first guess and has to read fields; ``views`` are for presets with a condition encoder.
    """
    assert depth.shape == (cells.size, *view.shape[2:]) and camera.shape == (cells.size, 4), (
        depth.shape,
        camera.shape,
    )
    owner = cells.batch
    pixels, z = _projected(
        _points_in_cells(cells, _grid_offsets(2, device=view.device)), camera, placement, owner
    )
    cell_size = (placement.scale / cells.grid)[owner, None]
    hidden = (z - _nearest_depth(pixels, z, cells)) / cell_size
    behind = (z - _depth_at(depth, pixels, owner)) / cell_size
    gaps = torch.stack([hidden, torch.nan_to_num(behind, nan=0.0)], dim=-1).clamp(-MAX_GAP, MAX_GAP) / MAX_GAP
    direction = F.normalize(torch.einsum("bij,bi->bj", placement.rotation, placement.translation), dim=-1)
    colour = projected_colours(
        view, camera, placement, cells, hidden=hidden.mean(dim=1), side=vae.preset.cell
    )
    content = CellContent(field=(FIELD_GAIN * field).clamp(-FIELD_CLAMP, FIELD_CLAMP), colour=colour)
    probes = Probes(
        view=view,
        pixels=pixels.clamp(-3, 3),
        depth=gaps,
        known_depth=torch.isfinite(depth).flatten(1).any(dim=1).float(),
        field=field,
        view_direction=direction,
        guess=vae.standardise(vae.encode(content, cells)[0]),
    )
    return TextureCondition(views=views, probes=probes)


def projected_colours(
    view: Tensor, camera: Tensor, placement: Placement, cells: CellBatch, *, hidden: Tensor, side: int
) -> Tensor:
    """Colours (N, side^3, 3) in [0, 1] that the photograph shows at each voxel, whatever lies in front of it.

    Where the mask ends its colours go on. Cells that lie ``hidden`` (N,) cells behind others turn towards the
    object's mean colour.
    """
    photo, mask = (view[:, :3] + 1) / 2, view[:, 3:]
    shown = filled_outwards(photo, mask)
    mean = ((photo * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1))[cells.batch, None]
    voxels = _points_in_cells(cells, _grid_offsets(side, device=view.device))
    pixels, _ = _projected(voxels, camera, placement, cells.batch)
    trusted = (1 - hidden).clamp(0, 1)[:, None, None]
    return mean + trusted * (sample_at(shown, pixels.clamp(-1, 1), cells) - mean)


def filled_outwards(colours: Tensor, mask: Tensor) -> Tensor:
    """``colours`` (B, 3, S, S) where ``mask`` (B, 1, S, S) is 1, and beyond it what the nearest masked pixels show.

    Means over ever larger blocks, weighted by the mask, handed back down where a block holds none (pull-push,
    Gortler et al. 1996). S is a power of two.
    """
    size = colours.shape[-1]
    if size & (size - 1):
        raise ValueError(f"a view of {size} pixels is not a power of two")
    levels = [(colours * mask, mask)]
    while levels[-1][1].shape[-1] > 1:
        levels.append((F.avg_pool2d(levels[-1][0], 2), F.avg_pool2d(levels[-1][1], 2)))
    filled = levels[-1][0] / levels[-1][1].clamp(min=1e-6)
    for weighted, cover in reversed(levels[:-1]):
        above = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        own = (cover / FULL_COVER).clamp(max=1)
        filled = above + own * (weighted / cover.clamp(min=1e-6) - above)
    return filled


def _projected(points: Tensor, camera: Tensor, placement: Placement, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Where object points (N, P, 3) fall in the crop, (N, P, 2) in [-1, 1] of it, and their depths (N, P)."""
    turned = torch.einsum("nij,npj->npi", placement.rotation[owner], points)
    placed = placement.scale[owner, None, None] * turned + placement.translation[owner, None]
    z = placed[..., 2].clamp(min=1e-4)
    return camera[owner, None, :2] * placed[..., :2] / z[..., None] + camera[owner, None, 2:], z


def _points_in_cells(cells: CellBatch, offsets: Tensor) -> Tensor:
    """Points (N, P, 3) in the object frame at ``offsets`` (P, 3) from each cell's centre, in cells."""
    return (cells.coords[:, None] + 0.5 + offsets) / cells.grid - 0.5


def _grid_offsets(side: int, *, device: torch.device) -> Tensor:
    """Centres (side^3, 3) of a cell's voxels from its own centre; z runs fastest."""
    axis = (torch.arange(side, device=device) + 0.5) / side - 0.5
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


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
