"""One target to its candidates: geometry, layout, texture and both decoders, all seeds in one batched forward."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.alignment import FittedLayout, Layout, fit_layout
from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.candidate_files import CandidateParts, candidate_files, pose_of
from modelzoo.conditioning import TYPICAL_FOCAL, Condition, condition, decode_layout
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Intrinsics, Pose, SamplerSettings, Unit
from modelzoo.flow import euler_sample
from modelzoo.latents import CandidateLatents, latents_from_bytes
from modelzoo.models.cells import CellBatch, active_cells, batch_cells, coarse_features, scatter_voxels
from modelzoo.models.geometry import LAYOUT_DIM
from modelzoo.models.texture_flow import sample_texture
from modelzoo.photo_colours import photo_view
from modelzoo.registry import Models, load_models
from modelzoo.texture_conditioning import Placement, texture_condition, texture_view
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent, CellGaussians

MAX_CELLS = 1536
NO_POINTS = ("point_map_missing", "point_map_unknown_inside_mask")
PLACED_ONLY = "approximate_point_map_only_placed_it"
SURFACE_POINTS = 3000  # that stand for a shape when its silhouette is fitted

Progress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class _Shapes:
    """What the geometry stage gives for B candidates."""

    latent: Tensor  # (B, C, D, D, D), raw
    layout: Tensor  # (B, 10), raw
    occupancy: Tensor  # (B, R, R, R), probability of being solid
    fitted: list[FittedLayout]


class CandidatePipeline:
    """A CandidateSource and a LayoutSource over our own models. A candidate follows from weights, seed and settings.

    Each candidate draws its noise from a generator of its own, so alone or in a batch it is the same up to the
    rounding of differently blocked matrix products.
    """

    name = "candid8"

    def __init__(
        self, models: Models, *, device: str | torch.device = "cpu", export_threads: int = 2
    ) -> None:
        self.models = models
        self.device = torch.device(device)
        self.export_threads = export_threads

    @classmethod
    def load(cls, folder: Path, *, device: str | torch.device = "cpu") -> CandidatePipeline:
        """The pipeline of a checkpoint folder. Raises CheckpointRefused."""
        return cls(load_models(folder, device=device)[1], device=device)

    @torch.inference_mode()
    def generate(
        self, request: CandidateRequest, on_progress: Progress | None = None
    ) -> tuple[GeneratedCandidate, ...]:
        """One candidate per seed, in the order of the seeds. ``on_progress`` hears shares from 0 to 1."""
        report = on_progress or _ignore
        settings = request.settings
        intrinsics, notes = _camera_of(request)
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        shapes = self._shapes(request, generators, intrinsics)
        report(0.4)
        cells = batch_cells(
            active_cells(shapes.occupancy > 0.5, grid=self.models.preset.latent.grid, max_cells=MAX_CELLS),
            grid=self.models.preset.latent.grid,
        )
        feats = self._texture(request, shapes, cells, generators, intrinsics)
        content, gaussians = self.models.slat_vae.decode(feats, cells)
        field = _refined_field(shapes.occupancy, content, cells)
        report(0.7)
        parts = _per_candidate(request.seeds, shapes, cells, feats, content, gaussians, field)
        photo = photo_view(request.image, request.mask, intrinsics)
        with ThreadPoolExecutor(self.export_threads) as pool:
            files = pool.map(
                lambda part: candidate_files(part, photo, unit=_unit_of(request, notes), settings=settings),
                parts,
            )
            made = []
            for index, one in enumerate(files):
                made.append(replace(one, fallbacks=(*notes, *one.fallbacks)))
                report(0.7 + 0.3 * (index + 1) / len(request.seeds))
        return tuple(made)

    @torch.inference_mode()
    def propose_layout(self, request: CandidateRequest, *, latents: bytes) -> tuple[Pose, ...]:
        """One pose per seed for the shape in ``latents``: the shape stream is held on the way to it, the layout drawn.

        A shape without a latent of ours is encoded from its occupancy. Raises ValueError for other bytes.
        """
        given = latents_from_bytes(latents)
        intrinsics, notes = _camera_of(request)
        shape = self._shape_latent(given)
        prepared, tokens = self._encode(request, len(request.seeds))
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        layouts = self._layouts_for(shape, tokens, generators, request.settings)
        surface = _surface_points(torch.from_numpy(given.occupancy).to(self.device))
        unit = _unit_of(request, notes)
        return tuple(
            pose_of(_fit(layout, surface, prepared, request, intrinsics).layout, unit=unit)
            for layout in layouts
        )

    def _encode(self, request: CandidateRequest, count: int) -> tuple[Condition, Tensor]:
        """The photograph is encoded once, whatever the number of candidates."""
        prepared = condition(
            request.image, request.mask, _shaping_points(request), size=self.models.preset.geometry.image_size
        )
        views = [
            torch.from_numpy(view)[None].to(self.device)
            for view in (prepared.crop, prepared.full, prepared.box)
        ]
        tokens = self.models.geometry.encode(*views)
        return prepared, tokens.expand(count, -1, -1)

    def _shapes(
        self, request: CandidateRequest, generators: list[torch.Generator], intrinsics: Intrinsics
    ) -> _Shapes:
        prepared, tokens = self._encode(request, len(generators))
        latent_shape = self.models.preset.geometry.latent_shape
        noise = [
            (torch.randn(latent_shape, generator=g), torch.randn(LAYOUT_DIM, generator=g)) for g in generators
        ]
        drawn = self.models.geometry.sample(
            tokens,
            noise_shape=torch.stack([shape for shape, _ in noise]).to(self.device),
            noise_layout=torch.stack([layout for _, layout in noise]).to(self.device),
            steps=request.settings.geometry_steps,
            rescale_t=request.settings.geometry_rescale_t,
            cfg_strength=request.settings.geometry_cfg_strength,
        )
        occupancy = torch.sigmoid(self.models.ss_vae.decode(drawn.shape))
        occupancy = torch.stack([_with_some_surface(one) for one in occupancy])
        fitted = [
            _fit(layout, _surface_points(one > 0.5), prepared, request, intrinsics)
            for layout, one in zip(drawn.layout, occupancy, strict=True)
        ]
        return _Shapes(latent=drawn.shape, layout=drawn.layout, occupancy=occupancy, fitted=fitted)

    def _texture(
        self,
        request: CandidateRequest,
        shapes: _Shapes,
        cells: CellBatch,
        generators: list[torch.Generator],
        intrinsics: Intrinsics,
    ) -> Tensor:
        """Standardised structured latents (N, C). Noise is drawn for the whole grid, whatever the shape."""
        latent, settings = self.models.preset.latent, request.settings
        view = texture_view(
            request.image,
            request.mask,
            _shaping_points(request),
            intrinsics,
            size=self.models.preset.texture.view,
        )
        count = len(generators)
        condition_ = texture_condition(
            view=view.view.to(self.device).expand(count, -1, -1, -1),
            depth=view.depth.to(self.device).expand(count, -1, -1),
            camera=view.camera.to(self.device).expand(count, -1),
            placement=self._placement([one.layout for one in shapes.fitted]),
            field=coarse_features(shapes.occupancy, cells),
            cells=cells,
        )
        grids = torch.stack(
            [torch.randn(*[latent.grid] * 3, latent.channels, generator=g) for g in generators]
        )
        x, y, z = cells.coords.unbind(dim=1)
        return sample_texture(
            self.models.texture,
            condition_,
            cells,
            noise=grids.to(self.device)[cells.batch, x, y, z],
            steps=settings.texture_steps,
            rescale_t=settings.texture_rescale_t,
            cfg_strength=settings.texture_cfg_strength,
        )

    def _placement(self, layouts: list[Layout]) -> Placement:
        return Placement(
            rotation=torch.tensor(
                np.stack([one.rotation for one in layouts]), dtype=torch.float32, device=self.device
            ),
            translation=torch.tensor(
                np.stack([one.translation for one in layouts]), dtype=torch.float32, device=self.device
            ),
            scale=torch.tensor([one.scale for one in layouts], dtype=torch.float32, device=self.device),
        )

    def _shape_latent(self, given: CandidateLatents) -> Tensor:
        """Standardised shape latent (C, D, D, D)."""
        preset = self.models.preset.geometry
        if given.shape_latent is None:
            if given.occupancy.shape != (preset.resolution,) * 3:
                raise ValueError(f"occupancy must be {preset.resolution}^3, not {given.occupancy.shape}")
            solid = torch.from_numpy(given.occupancy)[None].float().to(self.device)
            raw = self.models.ss_vae.encode(solid)[0][0]
        else:
            if given.shape_latent.shape != preset.latent_shape:
                raise ValueError(
                    f"shape latent must be {preset.latent_shape}, not {given.shape_latent.shape}"
                )
            raw = torch.from_numpy(given.shape_latent).float().to(self.device)
        return self.models.geometry.standardise_shape(raw[None])[0]

    def _layouts_for(
        self, shape: Tensor, tokens: Tensor, generators: list[torch.Generator], settings: SamplerSettings
    ) -> Tensor:
        """Layouts (B, 10), raw, with the shape stream clamped to noise -> ``shape``."""
        geometry, count = self.models.geometry, len(generators)
        noise = [
            (torch.randn(shape.shape, generator=g), torch.randn(LAYOUT_DIM, generator=g)) for g in generators
        ]
        noise_shape = torch.stack([one for one, _ in noise]).to(self.device)

        def velocity(layout: Tensor, t: float, conditioned: bool) -> Tensor:
            held = (1 - t) * noise_shape + t * shape
            times = torch.full((count,), t, device=self.device)
            found: Tensor = geometry(
                held, layout, times, tokens if conditioned else torch.zeros_like(tokens)
            )[1]
            return found

        drawn = euler_sample(
            velocity,
            torch.stack([one for _, one in noise]).to(self.device),
            steps=settings.geometry_steps,
            rescale_t=settings.geometry_rescale_t,
            cfg_strength=settings.geometry_cfg_strength,
        )
        return drawn * geometry.layout_std + geometry.layout_mean


def _per_candidate(
    seeds: tuple[int, ...],
    shapes: _Shapes,
    cells: CellBatch,
    feats: Tensor,
    content: CellContent,
    gaussians: CellGaussians,
    field: Tensor,
) -> list[CandidateParts]:
    parts = []
    bounds = np.cumsum([0, *cells.counts])
    for index, (start, stop) in enumerate(pairwise(bounds)):
        own = slice(int(start), int(stop))
        coords = cells.coords[own].cpu().numpy()
        latents = CandidateLatents(
            occupancy=(shapes.occupancy[index] > 0.5).cpu().numpy(),
            slat_coords=coords.astype(np.uint8),
            slat_feats=feats[own].cpu().numpy().astype(np.float16),
            shape_latent=shapes.latent[index].cpu().numpy().astype(np.float32),
            layout=shapes.layout[index].cpu().numpy().astype(np.float32),
        )
        parts.append(
            CandidateParts(
                seed=seeds[index],
                latents=latents,
                fitted=shapes.fitted[index],
                field=field[index].cpu().numpy(),
                coords=coords,
                content=CellContent(field=content.field[own].cpu(), colour=content.colour[own].cpu()),
                gaussians=CellGaussians(**{k: v[own].cpu() for k, v in gaussians.__dict__.items()}),
            )
        )
    return parts


def _refined_field(occupancy: Tensor, content: CellContent, cells: CellBatch) -> Tensor:
    """The decoder's field in active cells, solid or empty as the coarse shape says everywhere else: (B, R, R, R)."""
    base = torch.where(occupancy > 0.5, FIELD_CLAMP, -FIELD_CLAMP)
    return scatter_voxels(content.field, cells, base)


def _with_some_surface(occupancy: Tensor) -> Tensor:
    """A shape that is empty or full everywhere is cut at its own 95th percentile: something to judge."""
    solid = float((occupancy > 0.5).float().mean())
    if 0.0 < solid < 1.0:
        return occupancy
    level = torch.quantile(occupancy.flatten(), 0.95)
    return torch.where(occupancy >= level, 0.6, 0.0)


def _surface_points(solid: Tensor) -> NDArray[np.float64]:
    """Centres of solid voxels with an empty neighbour, thinned evenly."""
    padded = torch.nn.functional.pad(solid[None, None].float(), [1] * 6)
    inner = -torch.nn.functional.max_pool3d(-padded, 3, stride=1)[0, 0]
    shell = (solid & (inner < 0.5)).nonzero().cpu().numpy()
    chosen = shell[:: max(1, len(shell) // SURFACE_POINTS)]
    return (chosen + 0.5) / solid.shape[0] - 0.5


def _fit(
    layout: Tensor,
    surface: NDArray[np.float64],
    prepared: Condition,
    request: CandidateRequest,
    intrinsics: Intrinsics,
) -> FittedLayout:
    rotation, translation, scale = decode_layout(layout.cpu().numpy(), prepared.normaliser)
    if prepared.box[3] == 0.0:
        # The layout is that of a flat cut-out under a typical lens; under another it looks the same from elsewhere.
        translation = translation * np.array(
            [1.0, 1.0, intrinsics.fx / (TYPICAL_FOCAL * max(request.mask.shape))]
        )
    return fit_layout(
        Layout(rotation=rotation, translation=translation, scale=scale),
        surface,
        mask=request.mask,
        points=request.points,
        intrinsics=intrinsics,
    )


def _camera_of(request: CandidateRequest) -> tuple[Intrinsics, tuple[str, ...]]:
    """The camera that the point map implies, or a typical one, and by name what was missing or not relied on."""
    height, width = request.mask.shape
    typical = typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL)
    if request.points is None:
        return typical, NO_POINTS[:1]
    if np.isfinite(request.points[request.mask]).all(axis=-1).sum() < 8:
        return typical, NO_POINTS[1:]
    notes = (PLACED_ONLY,) if request.approximate else ()
    found = intrinsics_from_points(request.points)
    return (typical, ("camera_guessed", *notes)) if found is None else (found, notes)


def _unit_of(request: CandidateRequest, notes: tuple[str, ...]) -> Unit:
    """Without points inside the mask a pose is metric in no sense."""
    return "pointmap" if set(notes) & set(NO_POINTS) else request.unit


def _shaping_points(request: CandidateRequest) -> NDArray[np.float32] | None:
    """The points that the models may see. A guessed map misleads them more than none does (docs/log.md)."""
    return None if request.approximate else request.points


def _ignore(_: float) -> None:
    """No one listens."""
