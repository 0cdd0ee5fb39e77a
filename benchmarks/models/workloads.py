"""Inputs of the size that a preset works on, with random weights: the cost does not depend on what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from modelzoo.encoders.condition import ConditionEncoder, Views
from modelzoo.models.cells import batch_cells
from modelzoo.models.geometry import LAYOUT_DIM, LAYOUT_SIZES, GeometryModel
from modelzoo.models.probes import TOKEN_STRIDE
from modelzoo.models.texture_flow import EncodedTexture, TextureFlow
from modelzoo.presets import ModelPreset, TexturePreset

Network = TypeVar("Network", bound=nn.Module)
Stage = Literal["condition", "geometry", "texture"]
STAGES: tuple[Stage, ...] = ("condition", "geometry", "texture")
VIEW_CHANNELS = 8
SHELL_RADIUS = 0.45  # of the grid's side
SHELL_HALF_THICKNESS = 0.9  # cells


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One network and what it is called with; ``arguments(batch)`` makes the inputs of that many objects."""

    network: nn.Module
    arguments: Callable[[int], tuple[object, ...]]
    rows: int  # tokens or cells of one object


def workload(preset: ModelPreset, stage: Stage, *, device: torch.device, seed: int) -> Workload:
    """Encoding a photograph once, or one step of a flow (one evaluation, the photograph being encoded already)."""
    build = {"condition": _condition, "geometry": _geometry, "texture": _texture}[stage]
    with device:
        return build(preset, _drawing(device, seed))


def sphere_cells(preset: ModelPreset) -> Tensor:
    """(N, 3) cells on the surface of a sphere that fills the grid: about as many as a real object has."""
    grid = preset.latent.grid
    axis = torch.arange(grid) + 0.5 - grid / 2
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).square().sum(0).sqrt()
    shell = (distance - SHELL_RADIUS * grid).abs() < SHELL_HALF_THICKNESS
    return shell.nonzero()[: preset.texture.max_cells]


def _condition(preset: ModelPreset, draw: Callable[..., Tensor]) -> Workload:
    own, size = preset.geometry.condition, preset.geometry.image_size

    def arguments(batch: int) -> tuple[object, ...]:
        crop, full = (draw(batch, VIEW_CHANNELS, size, size).clamp(-1, 1) for _ in range(2))
        return (Views(crop=crop, full=full, box=torch.ones_like(crop[:, :4, 0, 0])),)

    return Workload(network=_ready(ConditionEncoder(own)), arguments=arguments, rows=own.num_tokens)


def _geometry(preset: ModelPreset, draw: Callable[..., Tensor]) -> Workload:
    own = preset.geometry
    model = _ready(GeometryModel(own))
    model.encoder = nn.Identity()  # a step does not need it: it should not count as the step's memory

    def arguments(batch: int) -> tuple[object, ...]:
        shape, layout = draw(batch, *own.latent_shape), draw(batch, LAYOUT_DIM)
        tokens = draw(batch, own.condition.num_tokens, own.condition.width)
        return shape, layout, torch.full_like(layout[:, 0], 0.5), tokens

    return Workload(network=model, arguments=arguments, rows=own.num_shape_tokens + len(LAYOUT_SIZES))


def _texture(preset: ModelPreset, draw: Callable[..., Tensor]) -> Workload:
    own = preset.texture
    model = _ready(TextureFlow(own, preset.latent))
    model.condition_encoder = model.probe_encoder = None
    coords = sphere_cells(preset)

    def arguments(batch: int) -> tuple[object, ...]:
        x_t = draw(batch * len(coords), own.channels)
        cells = batch_cells([coords.to(x_t.device)] * batch, grid=preset.latent.grid)
        encoded = EncodedTexture(
            tokens=draw(batch, *_token_shape(own)),
            features=draw(len(x_t), own.io_width) if own.probes else None,
            prior=draw(len(x_t), own.channels) if own.probes else None,
        )
        return x_t, torch.full_like(x_t[:batch, 0], 0.5), encoded, cells

    return Workload(network=model, arguments=arguments, rows=len(coords))


def _token_shape(preset: TexturePreset) -> tuple[int, int]:
    if preset.condition is not None:
        return preset.condition.num_tokens, preset.condition.width
    return (preset.view // TOKEN_STRIDE) ** 2, preset.width


def _drawing(device: torch.device, seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=generator, device="cpu").to(device)


def _ready(module: Network) -> Network:
    return module.eval().requires_grad_(False)
