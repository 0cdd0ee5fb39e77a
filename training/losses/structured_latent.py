"""What the structured latent's VAE is trained on: surface, colours, and Gaussians without a rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from modelzoo.decoders.cube_head import CubeValues
from modelzoo.decoders.flexicubes import CubeSurface
from modelzoo.decoders.gaussians import CellGaussians
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent

NEAR_VOXELS = 1.5  # colours count this close to the surface
DISC_THICKNESS = 0.0015  # of a Gaussian along the normal, in the unit cube
SPREAD = 0.62  # of a Gaussian along the surface, as a share of the spacing of its neighbours


@dataclass(frozen=True, kw_only=True)
class CellTargets:
    """Field (N, V) in voxels, colours, nearest surface points and outward normals (N, V, 3)."""

    field: Tensor
    colour: Tensor
    surface: Tensor
    normal: Tensor


def surface_loss(decoded: CellContent, targets: CellTargets) -> dict[str, Tensor]:
    """Distance, sign and colour terms, each a mean."""
    field = targets.field.clamp(-FIELD_CLAMP, FIELD_CLAMP)
    weight = torch.where(targets.field.abs() < FIELD_CLAMP, 1.0, 0.2)
    near = (targets.field.abs() < NEAR_VOXELS).to(field.dtype)
    colour = (decoded.colour - targets.colour).abs().mean(dim=-1)
    sign = F.binary_cross_entropy_with_logits(3 * decoded.field, (field > 0).to(field.dtype), weight=weight)
    return {
        "field": ((decoded.field - field).abs() * weight).mean(),
        "sign": sign,
        "colour": (colour * near).sum() / near.sum().clamp(min=1),
    }


def gaussian_loss(gaussians: CellGaussians, targets: CellTargets, *, grid: int) -> dict[str, Tensor]:
    """Chamfer to the cell's surface points, nearest colours, discs along the surface, opacity by coverage.

    Distances are in cells, so that all terms have a comparable size. Cells without surface points only push their
    Gaussians' opacity to zero.
    """
    valid = targets.field.abs() < 1.0  # (N, V)
    some = valid.any(dim=1)
    distance = torch.cdist(gaussians.positions * grid, targets.surface * grid)  # (N, K, V)
    far = distance.masked_fill(~valid[:, None], 1e3)
    to_surface, nearest = far.min(dim=2)
    to_gaussian = far.min(dim=1).values
    covered = (to_gaussian * valid).sum() / valid.sum().clamp(min=1)
    accurate = to_surface[some].mean()
    index = nearest[..., None].expand(-1, -1, 3)
    colour = torch.gather(targets.colour, 1, index)
    normal = torch.gather(targets.normal, 1, index)
    axis = _third_axis(gaussians.rotations_wxyz)
    flat = 1 - (axis * normal).sum(dim=-1).abs()
    area = (targets.field.abs() < 0.5).sum(dim=1).clamp(min=1) / valid.shape[1] ** (2 / 3)  # in cell faces
    spread = SPREAD * torch.sqrt(area / gaussians.positions.shape[1]) / grid
    wanted = torch.stack([spread, spread, torch.full_like(spread, DISC_THICKNESS)], dim=-1)
    scale = (gaussians.scales.log() - wanted.log()[:, None]).abs().mean(dim=-1)
    opaque = (some[:, None] & (to_surface.detach() < 0.25)).to(distance.dtype) * 0.98
    return {
        "covered": covered,
        "accurate": accurate,
        "gaussian_colour": (gaussians.colours - colour).abs()[some].mean(),
        "flat": flat[some].mean(),
        "scale": scale[some].mean(),
        "opacity": F.binary_cross_entropy(gaussians.opacities.clamp(1e-4, 1 - 1e-4), opaque),
    }


@dataclass(frozen=True, kw_only=True)
class CubeTargets:
    """True distances (V,) at a grid's corners, negative inside, and what the surface is nearest to each vertex."""

    distance: Tensor
    surface: Tensor  # (P, 3), and so on for P vertices
    normal: Tensor
    colour: Tensor


def cube_loss(decoded: CubeValues, found: CubeSurface, targets: CubeTargets) -> dict[str, Tensor]:
    """Distances and signs at corners, vertices on the surface, their colours and normals, and FlexiCubes' regularisers.

    Distances count in cubes. ``deviation``, ``weights`` and ``spread`` keep a vertex amid its crossings, weights
    neutral and the cubes around a corner of one mind (sam3d facts, 3.2).
    """
    resolution, known = decoded.grid.resolution, decoded.known
    wanted = (targets.distance[known] * resolution).clamp(-FIELD_CLAMP, FIELD_CLAMP)
    distance = decoded.sdf[known] * resolution
    inside = (wanted < 0).to(distance.dtype)
    number = max(1, len(found.vertices))
    away = (found.vertices - targets.surface).norm(dim=1) * resolution
    shade, facing = found.attributes[:, :3], 2 * found.attributes[:, 3:] - 1
    return {
        "field": (distance.clamp(-FIELD_CLAMP, FIELD_CLAMP) - wanted).abs().mean(),
        "sign": F.binary_cross_entropy_with_logits(-3 * distance, inside),
        "surface": away.clamp(max=FIELD_CLAMP).sum() / number,
        "colour": (shade - targets.colour).abs().sum() / (3 * number),
        "normal": (facing - targets.normal).abs().sum() / (3 * number),
        "deviation": found.deviation.sum() / number,
        "weights": decoded.weights.abs().mean(),
        "spread": decoded.spread,
    }


def _third_axis(rotations_wxyz: Tensor) -> Tensor:
    """Where a rotation takes z: the disc's normal."""
    w, x, y, z = rotations_wxyz.unbind(dim=-1)
    return torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], dim=-1)
