"""The one call that draws from a flow: guided, per-row guarded, by any of the solvers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from modelzoo.samplers.settings import FlowSettings

VelocityFn = Callable[[Tensor, float, bool], Tensor]  # (x_t, t, conditioned) -> velocity
FieldFn = Callable[[Tensor, float], Tensor]  # (x_t, t) -> velocity, guided where it is to be


def sample(
    velocity: VelocityFn,
    noise: Tensor,
    *,
    settings: FlowSettings,
    owners: Tensor | None = None,
    on_step: Callable[[float], None] | None = None,
) -> Tensor:
    """Integrate from ``noise`` (rows first) to data of the same shape.

    ``velocity`` must tell its model ``settings.step_size``. A row that becomes infinite or NaN is stopped: it is held
    at zero while the others go on, so that no kernel mixes it into them, and comes back as NaN throughout. Rows with
    the same number in ``owners`` (rows,) are stopped together; without it every row is its own. ``on_step`` hears the
    t that each step has reached.
    """
    assert noise.is_floating_point() and noise.dim() >= 2, noise.shape
    assert owners is None or owners.shape == noise.shape[:1], (noise.shape, owners)
    step = _midpoint_step if settings.kind == "midpoint" else _euler_step
    groups = torch.arange(len(noise), device=noise.device) if owners is None else owners
    num_groups = int(groups.max()) + 1 if len(groups) else 0

    def field(x_t: Tensor, t: float) -> Tensor:
        found = velocity(x_t, t, True)
        if settings.guides(t):
            w = settings.cfg_strength
            found = (1.0 + w) * found - w * velocity(x_t, t, False)
        return found

    x_t, stopped = noise, _not_finite(noise, groups, num_groups)
    for start, stop in pairwise(settings.times()):
        x_t = step(field, _filled(x_t, stopped, 0.0), start, stop)
        stopped = stopped | _not_finite(x_t, groups, num_groups)
        if on_step is not None:
            on_step(stop)
    return _filled(x_t, stopped, float("nan"))


def _euler_step(field: FieldFn, x_t: Tensor, start: float, stop: float) -> Tensor:
    """First order; also a shortcut's step, whose velocity leads to ``stop`` by itself."""
    return x_t + (stop - start) * field(x_t, start)


def _midpoint_step(field: FieldFn, x_t: Tensor, start: float, stop: float) -> Tensor:
    """Second order: the velocity half-way along an Euler step."""
    middle = (start + stop) / 2
    return x_t + (stop - start) * field(_euler_step(field, x_t, start, middle), middle)


def _not_finite(x_t: Tensor, groups: Tensor, num_groups: int) -> Tensor:
    """Which rows are, or share their group with, a row that is not finite: (rows,) bool."""
    bad = ~torch.isfinite(x_t).flatten(1).all(dim=1)
    found = torch.zeros(num_groups, dtype=torch.long, device=x_t.device).index_add(0, groups, bad.long())
    return found[groups] > 0


def _filled(x_t: Tensor, rows: Tensor, value: float) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (x_t.dim() - 1)), torch.full_like(x_t, value), x_t)
