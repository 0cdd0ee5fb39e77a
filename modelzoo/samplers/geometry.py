"""Drawing shapes and layouts from the geometry model: both together, or layouts alone for a shape that is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from modelzoo.flow import interpolate
from modelzoo.models.geometry import GeometryModel
from modelzoo.samplers.sampling import sample
from modelzoo.samplers.settings import FlowSettings


@dataclass(frozen=True, kw_only=True)
class GeometrySample:
    """What the flow gives: raw (not standardised) shape latents (B, C, D, D, D) and layouts (B, 13)."""

    shape: Tensor
    layout: Tensor


@torch.no_grad()
def draw_geometry(
    model: GeometryModel,
    condition: Tensor,
    *,
    noise_shape: Tensor,
    noise_layout: Tensor,
    settings: FlowSettings,
    on_step: Callable[[float], None] | None = None,
) -> GeometrySample:
    """One shape latent and layout per row of the noise (B x C x D^3, B x 13); ``condition`` is B or 1 x T x X.

    A candidate whose numbers turn non-finite comes back as NaN in both and leaves the others alone.
    """
    batch, numbers = noise_shape.shape[0], noise_shape[0].numel()
    seen, blind = model.remember(condition), model.remember(torch.zeros_like(condition[:1]))
    step_size = _step_size(noise_shape, settings)

    def velocity(x_t: Tensor, t: float, conditioned: bool) -> Tensor:
        shape, layout = model(
            x_t[:, :numbers].reshape(noise_shape.shape),
            x_t[:, numbers:],
            torch.full((batch,), t, device=x_t.device),
            seen if conditioned else blind,
            step_size,
        )
        return torch.cat([shape.flatten(1), layout], dim=1).to(x_t.dtype)

    joint = torch.cat([noise_shape.flatten(1), noise_layout], dim=1)
    data = sample(velocity, joint, settings=settings, on_step=on_step)
    return GeometrySample(
        shape=data[:, :numbers].reshape(noise_shape.shape) * model.shape_std + model.shape_mean,
        layout=data[:, numbers:] * model.layout_std + model.layout_mean,
    )


@torch.no_grad()
def draw_layouts(
    model: GeometryModel,
    condition: Tensor,
    *,
    shape: Tensor,
    noise_shape: Tensor,
    noise_layout: Tensor,
    settings: FlowSettings,
) -> Tensor:
    """Layouts (B x 13, raw) for given raw shape latents (B x C x D^3): sam3d facts 6.5, with the shape stream clamped.

    At every t the shape stream is held on the straight path from its noise to the given latent, where it would be if
    the model had drawn that very shape; the layout stream, which only looks at it, is drawn as ever.
    """
    given = model.standardise_shape(shape)
    batch = given.shape[0]
    seen, blind = model.remember(condition), model.remember(torch.zeros_like(condition[:1]))
    step_size = _step_size(noise_shape, settings)

    def velocity(layout: Tensor, t: float, conditioned: bool) -> Tensor:
        times = torch.full((batch,), t, device=layout.device)
        held = interpolate(noise_shape, given, times)
        found: Tensor = model(held, layout, times, seen if conditioned else blind, step_size)[1]
        return found.to(layout.dtype)

    return sample(velocity, noise_layout, settings=settings) * model.layout_std + model.layout_mean


def _step_size(noise: Tensor, settings: FlowSettings) -> Tensor:
    return torch.full((noise.shape[0],), settings.step_size, device=noise.device)
