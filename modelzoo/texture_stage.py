"""The second stage: structured latents on a shape's active cells, and what both decoders make of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelzoo.candidate_files import CandidateParts, SurfaceShape, VoxelShape
from modelzoo.decoders.cleanup import Surface
from modelzoo.decoders.cube_head import CubeValues
from modelzoo.decoders.gaussians import CellGaussians
from modelzoo.decoders.mesh import mesh_from_field
from modelzoo.encoders.condition import Views
from modelzoo.latents import CandidateLatents
from modelzoo.models.cells import (
    CellBatch,
    active_cells,
    batch_cells,
    coarse_features,
    enclosed,
    scatter_voxels,
)
from modelzoo.models.texture_flow import TextureCondition, texture_velocity
from modelzoo.presets import ModelPreset
from modelzoo.samplers import candidate_generator, draw_noise, sample, texture_flow
from modelzoo.shape_stage import MAX_DRAWS, DrawnShape, Progress, failed, redrawn_note
from modelzoo.stages import Stages
from modelzoo.targets import Target
from modelzoo.texture_conditioning import Placement, texture_condition, texture_view
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent

Shapes = list[VoxelShape] | list[SurfaceShape]


def texture_shapes(
    stages: Stages, target: Target, drawn: list[DrawnShape], report: Progress
) -> list[CandidateParts]:
    """Every shape with its second stage, in order. Raises SamplingFailed as ``draw_shapes`` does.

    With fixed batches each goes through alone, because how many cells its company has would otherwise decide how its
    own sums are blocked.
    """
    groups = [[one] for one in drawn] if target.request.settings.batch_rows else [drawn]
    parts: list[CandidateParts] = []
    for group in groups:
        parts += _group(stages, target, group)
        report(len(parts) / len(drawn))
    return parts


def _group(stages: Stages, target: Target, drawn: list[DrawnShape]) -> list[CandidateParts]:
    preset = stages.preset
    occupancy = torch.stack([one.occupancy for one in drawn])
    cells = batch_cells(cells_of(occupancy, preset), grid=preset.latent.grid)
    condition = _condition(stages, target, drawn, cells, occupancy)
    feats, attempts = _latents(stages, target, drawn, cells, condition)
    with stages.using("slat_vae"):
        shapes, gaussians = _decoded(stages, feats, cells, occupancy)
    bounds = np.cumsum([0, *cells.counts])
    parts = []
    for index, (start, stop) in enumerate(pairwise(bounds)):
        own, one = slice(int(start), int(stop)), drawn[index]
        latents = CandidateLatents(
            occupancy=(one.occupancy > 0.5).cpu().numpy(),
            slat_coords=cells.coords[own].cpu().numpy().astype(np.uint8),
            slat_feats=feats[own].cpu().numpy().astype(np.float16),
            shape_latent=one.latent.cpu().numpy().astype(np.float32),
            layout=one.layout.cpu().numpy().astype(np.float32),
        )
        parts.append(
            CandidateParts(
                seed=one.seed,
                latents=latents,
                refined=one.refined,
                shape=shapes[index],
                gaussians=CellGaussians(**{k: v[own].cpu() for k, v in gaussians.__dict__.items()}),
                notes=(*one.notes, *redrawn_note("texture", attempts[index])),
            )
        )
    return parts


def cells_of(occupancy: Tensor, preset: ModelPreset) -> list[Tensor]:
    """Active cells (N_i, 3) of probabilities (B, R, R, R).

    Cells coarser than the occupancy hold surface voxels; cells as fine as it are its solid voxels without the inner
    ones, whose 26 neighbours are solid too (sam3d facts 2.5).
    """
    solid, grid = occupancy > 0.5, preset.latent.grid
    most = preset.texture.max_cells
    if occupancy.shape[-1] != grid:
        return active_cells(solid, grid=grid, max_cells=most)
    found = [one.nonzero() for one in solid & ~enclosed(solid)]
    return [one if len(one) <= most else one[_evenly(len(one), most, one.device)] for one in found]


def _evenly(count: int, most: int, device: torch.device) -> Tensor:
    """``most`` of ``count`` indices, evenly spread."""
    return torch.arange(most, device=device) * count // most


def _condition(
    stages: Stages, target: Target, drawn: list[DrawnShape], cells: CellBatch, occupancy: Tensor
) -> TextureCondition:
    preset, count, device = stages.preset, len(drawn), stages.device
    views = None
    if preset.texture.condition is not None:
        condition = target.condition
        crop, full, box = (
            torch.from_numpy(view).to(device).expand(count, *[-1] * view.ndim)
            for view in (condition.crop, condition.full, condition.box)
        )
        views = Views(crop=crop, full=full, box=box)
    if not preset.texture.probes:
        return TextureCondition(views=views)
    request = target.request
    view = texture_view(
        request.image, request.mask, target.shaping_points, target.intrinsics, size=preset.texture.view
    )
    with stages.using("slat_vae"):
        return texture_condition(
            view=view.view.to(device).expand(count, -1, -1, -1),
            depth=view.depth.to(device).expand(count, -1, -1),
            camera=view.camera.to(device).expand(count, -1),
            placement=_placement(drawn, device),
            field=coarse_features(_refined_up(occupancy, preset), cells),
            cells=cells,
            vae=stages.models.slat_vae,
            views=views,
        )


def _placement(drawn: list[DrawnShape], device: torch.device) -> Placement:
    layouts = [one.refined.layout for one in drawn]
    rotation = np.stack([one.rotation for one in layouts]).astype(np.float32)
    translation = np.stack([one.translation for one in layouts]).astype(np.float32)
    scale = np.array([one.scale for one in layouts], np.float32)
    return Placement(
        rotation=torch.from_numpy(rotation).to(device),
        translation=torch.from_numpy(translation).to(device),
        scale=torch.from_numpy(scale).to(device),
    )


def _latents(
    stages: Stages,
    target: Target,
    drawn: list[DrawnShape],
    cells: CellBatch,
    condition: TextureCondition,
) -> tuple[Tensor, list[int]]:
    """Standardised structured latents (N, C) and how often each candidate was drawn again.

    Noise is drawn for the whole grid, whatever the shape, so that a cell's noise follows from its place.
    """
    latent, settings = stages.preset.latent, target.request.settings
    generators = [one.generator for one in drawn]
    attempts = [0] * len(drawn)
    feats = torch.full((len(cells.coords), latent.channels), float("nan"), device=stages.device)
    x, y, z = cells.coords.unbind(dim=1)
    with stages.using("texture"):
        velocity = texture_velocity(stages.models.texture, condition, cells)
        for attempt in range(MAX_DRAWS):
            grids = draw_noise(generators, (*[latent.grid] * 3, latent.channels), device=stages.device)
            found = sample(
                lambda x_t, t, conditioned: velocity(x_t, t, conditioned).to(x_t.dtype),
                grids[cells.batch, x, y, z],
                settings=texture_flow(settings),
                owners=cells.batch,
            )
            feats = torch.where(torch.isnan(feats), found, feats)
            bad = sorted(set(cells.batch[~torch.isfinite(feats).all(dim=1)].tolist()))
            if not bad:
                return feats, attempts
            for index in bad:
                attempts[index] = attempt + 1
                generators[index] = candidate_generator(drawn[index].seed, attempt=MAX_DRAWS + attempt)
    raise failed([drawn[index].seed for index in bad], "texture")


def _decoded(
    stages: Stages, feats: Tensor, cells: CellBatch, occupancy: Tensor
) -> tuple[Shapes, CellGaussians]:
    vae, preset = stages.models.slat_vae, stages.preset
    if preset.latent.surface == "flexicubes":
        surfaces = _surfaces(vae.decode_cubes(feats, cells), occupancy)
        return surfaces, vae.decode_gaussians(feats, cells)
    content, gaussians = vae.decode(feats, cells)
    base = torch.where(_refined_up(occupancy, preset) > 0.5, FIELD_CLAMP, -FIELD_CLAMP)
    field = scatter_voxels(content.field, cells, base).cpu().numpy()
    bounds = np.cumsum([0, *cells.counts])
    shapes = [
        VoxelShape(
            field=field[index],
            coords=cells.coords[start:stop].cpu().numpy(),
            content=CellContent(
                field=content.field[start:stop].cpu(), colour=content.colour[start:stop].cpu()
            ),
        )
        for index, (start, stop) in enumerate(pairwise(bounds))
    ]
    return shapes, gaussians


def _refined_up(occupancy: Tensor, preset: ModelPreset) -> Tensor:
    """Probabilities (B, R, R, R) on the decoded field's voxels, R = grid x cell."""
    size = preset.latent.grid * preset.latent.cell
    if occupancy.shape[-1] == size:
        return occupancy
    return F.interpolate(occupancy[:, None], size=(size,) * 3, mode="trilinear")[:, 0]


def _surfaces(cubes: CubeValues, occupancy: Tensor) -> list[SurfaceShape]:
    """Each object's triangles; one without any takes those of its coarse shape, in grey, and says so."""
    found = cubes.surface()
    owner = found.vertex_batch[found.faces[:, 0]]
    shapes = []
    for index in range(len(occupancy)):
        own = found.vertex_batch == index
        rows = torch.cumsum(own, 0) - 1
        faces = rows[found.faces[owner == index]]
        if len(faces):
            surface = Surface(
                vertices=found.vertices[own].float().cpu().numpy(),
                faces=faces.cpu().numpy().astype(np.int32),
            )
            colours = found.attributes[own, :3].float().clamp(0, 1).cpu().numpy()
            shapes.append(SurfaceShape(surface=surface, colours=colours))
        else:
            shapes.append(_coarse_surface(occupancy[index]))
    return shapes


def _coarse_surface(occupancy: Tensor) -> SurfaceShape:
    voxels = (occupancy > 0.5).nonzero().cpu().numpy()
    made = mesh_from_field(
        (2 * occupancy - 1).float().cpu().numpy(),
        colour_voxels=voxels,
        colours=np.full((len(voxels), 3), 0.5, np.float32),
    )
    return SurfaceShape(
        surface=Surface(vertices=made.mesh.vertices, faces=made.mesh.faces),
        colours=made.mesh.colours,
        steps=("surface_of_coarse_shape", *made.steps),
    )
