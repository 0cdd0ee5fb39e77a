"""The first stage: shapes and layouts from noise, in batches of fixed size, drawn again where they are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.contracts import SamplerSettings, SamplingFailed
from modelzoo.latents import CandidateLatents
from modelzoo.models.cells import enclosed
from modelzoo.models.geometry import LAYOUT_DIM
from modelzoo.refinement import RefinedLayout
from modelzoo.samplers import candidate_generator, draw_noise, geometry_flow
from modelzoo.samplers.geometry import draw_geometry, draw_layouts
from modelzoo.stages import Stages
from modelzoo.targets import Target

Progress = Callable[[float], None]  # hears shares from 0 to 1

MAX_DRAWS = 3  # per candidate and stage, before the request fails
SURFACE_POINTS = 3000  # that stand for a shape when its silhouette is fitted


@dataclass(frozen=True, kw_only=True)
class DrawnShape:
    """One candidate after the first stage. ``generator`` goes on to draw its texture."""

    seed: int
    latent: Tensor  # (C, D, D, D), raw
    layout: Tensor  # (13,), raw
    occupancy: Tensor  # (R, R, R), probability of being solid
    refined: RefinedLayout
    generator: torch.Generator
    notes: tuple[str, ...]


def draw_shapes(stages: Stages, target: Target, report: Progress) -> list[DrawnShape]:
    """One shape per seed, in their order. Raises SamplingFailed naming the seeds that never came out finite."""
    tokens = encode(stages, target)
    waiting = list(range(len(target.request.seeds)))
    done: dict[int, DrawnShape] = {}
    for attempt in range(MAX_DRAWS):
        drawn = _draw_once(stages, target, tokens, waiting, attempt, report)
        done |= {index: one for index, one in drawn.items() if one is not None}
        waiting = [index for index in waiting if index not in done]
        if not waiting:
            return [done[index] for index in range(len(target.request.seeds))]
    raise failed([target.request.seeds[index] for index in waiting], "shape")


def draw_poses(stages: Stages, target: Target, given: CandidateLatents) -> list[RefinedLayout]:
    """One layout per seed for the shape in ``given``. Raises ValueError for a shape of another size."""
    shape = _raw_shape(stages, given)
    tokens = encode(stages, target)
    seeds, settings = target.request.seeds, target.request.settings
    surface = surface_points(torch.from_numpy(given.occupancy))
    found: dict[int, Tensor] = {}
    waiting = list(range(len(seeds)))
    for attempt in range(MAX_DRAWS):
        generators = [candidate_generator(seeds[index], attempt=attempt) for index in waiting]
        for start, noise_shape, noise_layout in _noise(stages, generators, settings):
            rows = noise_shape.shape[0]
            with stages.using("geometry"):
                layouts = draw_layouts(
                    stages.models.geometry,
                    tokens,
                    shape=shape.expand(rows, -1, -1, -1, -1),
                    noise_shape=noise_shape,
                    noise_layout=noise_layout,
                    settings=geometry_flow(settings),
                )
            good = zip(waiting[start : start + rows], layouts, strict=False)
            found |= {index: layout for index, layout in good if torch.isfinite(layout).all()}
        waiting = [index for index in waiting if index not in found]
        if not waiting:
            return [target.refined(found[index].cpu().numpy(), surface) for index in range(len(seeds))]
    raise failed([seeds[index] for index in waiting], "layout")


def encode(stages: Stages, target: Target) -> Tensor:
    """Condition tokens (1, T, X): the photograph is encoded once, whatever the number of candidates."""
    condition = target.condition
    views = [
        torch.from_numpy(view)[None].to(stages.device)
        for view in (condition.crop, condition.full, condition.box)
    ]
    with stages.using("geometry"):
        tokens: Tensor = stages.models.geometry.encode(*views).float()
    return tokens


def failed(seeds: Sequence[int], stage: str) -> SamplingFailed:
    """What to raise when ``seeds`` gave no finite numbers however often they were drawn."""
    return SamplingFailed(
        seeds,
        f"the {stage} of seeds {', '.join(map(str, seeds))} is not finite after {MAX_DRAWS} draws; "
        "fewer steps, weaker guidance or full precision may help",
    )


def redrawn_note(stage: str, attempt: int) -> tuple[str, ...]:
    """The fallback that a candidate carries when its first numbers were not finite."""
    return (f"redrawn_after_non_finite(stage={stage}, times={attempt})",) if attempt else ()


def surface_points(solid: Tensor) -> NDArray[np.float64]:
    """Centres (N, 3) of solid voxels (R, R, R) with an empty neighbour, thinned evenly."""
    shell = (solid & ~enclosed(solid[None])[0]).nonzero().cpu().numpy()
    chosen = shell[:: max(1, len(shell) // SURFACE_POINTS)]
    return (chosen + 0.5) / solid.shape[0] - 0.5


def _draw_once(
    stages: Stages, target: Target, tokens: Tensor, waiting: list[int], attempt: int, report: Progress
) -> dict[int, DrawnShape | None]:
    """The candidates of ``waiting`` by their index; None where numbers are not finite."""
    seeds, settings = target.request.seeds, target.request.settings
    generators = [candidate_generator(seeds[index], attempt=attempt) for index in waiting]
    drawn: dict[int, DrawnShape | None] = {}
    for start, noise_shape, noise_layout in _noise(stages, generators, settings):
        rows = noise_shape.shape[0]
        with stages.using("geometry"):
            sample = draw_geometry(
                stages.models.geometry,
                tokens,
                noise_shape=noise_shape,
                noise_layout=noise_layout,
                settings=geometry_flow(settings),
                on_step=_of_batch(report, start, rows, len(seeds)) if attempt == 0 else None,
            )
        with stages.using("ss_vae"):
            occupancy = torch.sigmoid(stages.models.ss_vae.decode(torch.nan_to_num(sample.shape)))
        numbers = torch.cat([sample.shape.flatten(1), sample.layout, occupancy.flatten(1)], dim=1)
        finite = torch.isfinite(numbers).all(dim=1)
        for row, index in enumerate(waiting[start : start + rows]):
            drawn[index] = None
            if finite[row]:
                solid = _with_some_surface(occupancy[row])
                surface = surface_points(solid > 0.5)
                drawn[index] = DrawnShape(
                    seed=seeds[index],
                    latent=sample.shape[row],
                    layout=sample.layout[row],
                    occupancy=solid,
                    refined=target.refined(sample.layout[row].cpu().numpy(), surface),
                    generator=generators[start + row],
                    notes=redrawn_note("shape", attempt),
                )
    return drawn


def _of_batch(report: Progress, start: int, rows: int, count: int) -> Progress:
    """Reports how much of all ``count`` candidates is done when the batch from ``start`` has come to t."""

    def at(t: float) -> None:
        report((start + t * min(rows, count - start)) / count)

    return at


def _noise(
    stages: Stages, generators: list[torch.Generator], settings: SamplerSettings
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Shape and layout noise in batches of ``batch_rows``, the last one filled up with its own last row.

    Kernels choose how to sum by the batch's size (a matrix of one row is another routine than one of eight), so only
    batches of one size make a candidate's bits independent of its company.
    """
    shape = stages.preset.geometry.latent_shape
    rows = settings.batch_rows or len(generators)
    for start in range(0, len(generators), rows):
        own = generators[start : start + rows]
        noise_shape = draw_noise(own, shape, device=stages.device)
        noise_layout = draw_noise(own, (LAYOUT_DIM,), device=stages.device)
        fill = torch.arange(rows, device=stages.device).clamp(max=len(own) - 1)
        yield start, noise_shape[fill], noise_layout[fill]


def _raw_shape(stages: Stages, given: CandidateLatents) -> Tensor:
    """Raw shape latent (1, C, D, D, D); a shape without one of ours is encoded from its occupancy."""
    preset = stages.preset.geometry
    if given.shape_latent is not None:
        if given.shape_latent.shape != preset.latent_shape:
            raise ValueError(f"shape latent must be {preset.latent_shape}, not {given.shape_latent.shape}")
        return torch.from_numpy(given.shape_latent)[None].float().to(stages.device)
    if given.occupancy.shape != (preset.resolution,) * 3:
        raise ValueError(f"occupancy must be {preset.resolution}^3, not {given.occupancy.shape}")
    solid = torch.from_numpy(given.occupancy)[None].float().to(stages.device)
    with stages.using("ss_vae"):
        mean: Tensor = stages.models.ss_vae.encode(solid)[0]
    return mean


def _with_some_surface(occupancy: Tensor) -> Tensor:
    """A shape that is empty or full everywhere is cut at its own 95th percentile: something to judge."""
    solid = float((occupancy > 0.5).float().mean())
    if 0.0 < solid < 1.0:
        return occupancy
    level = torch.quantile(occupancy.flatten(), 0.95)
    return torch.where(occupancy >= level, 0.6, 0.0)
