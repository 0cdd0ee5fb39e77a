"""Drawing from a flow: grids, guidance, solvers, the guard against numbers that are not finite, and randomness."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modelzoo.contracts import SamplerSettings
from modelzoo.flow import interpolate
from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.presets import PRESETS
from modelzoo.samplers import (
    FlowSettings,
    candidate_generator,
    draw_noise,
    geometry_flow,
    sample,
    texture_flow,
)
from modelzoo.samplers.geometry import draw_geometry, draw_layouts


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["euler", "midpoint", "shortcut"])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_the_true_velocity_leads_to_the_data(kind: str, steps: int) -> None:
    noise, data = _noise(3, 4), _noise(3, 4, seed=1)
    settings = FlowSettings(kind=kind, steps=steps)
    torch.testing.assert_close(sample(lambda x, t, c: data - noise, noise, settings=settings), data)


def test_one_euler_step_with_the_true_velocity_is_the_data_even_on_a_warped_grid() -> None:
    noise, data = _noise(2, 5), _noise(2, 5, seed=1)
    landed = sample(lambda x, t, c: data - noise, noise, settings=FlowSettings(steps=7, rescale_t=4.0))
    torch.testing.assert_close(landed, data)


def test_the_grid_of_four_steps_is_the_known_one() -> None:
    assert FlowSettings(steps=4, rescale_t=3.0).times() == pytest.approx([0.0, 0.1, 0.25, 0.5, 1.0])
    assert FlowSettings(steps=4).times() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("rescale_t", "guided"), [(3.0, 19), (1.0, 13)])
def test_of_25_released_steps_this_many_are_guided(rescale_t: float, guided: int) -> None:
    settings = FlowSettings(steps=25, rescale_t=rescale_t, cfg_strength=7.0)
    blind: list[float] = []

    def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
        if not conditioned:
            blind.append(t)
        return torch.zeros_like(x)

    sample(velocity, torch.zeros(1, 2), settings=settings)
    assert len(blind) == guided and settings.evaluations == 25 + guided
    assert blind == [t for t in settings.times()[:-1] if t <= 0.5]


def test_guidance_is_the_stated_sum_inside_its_interval_and_absent_outside() -> None:
    def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
        return torch.full_like(x, 3.0 if conditioned else 1.0)

    # Four even steps: t = 0, 1/4, 1/2 guided as (1 + 2) 3 - 2 1 = 7, t = 3/4 plain 3: (7 + 7 + 7 + 3) / 4 = 6.
    settings = FlowSettings(steps=4, cfg_strength=2.0)
    assert sample(velocity, torch.zeros(1, 1), settings=settings).item() == pytest.approx(6.0)
    late = FlowSettings(steps=4, cfg_strength=2.0, cfg_interval=(0.5, 0.8))
    assert sample(velocity, torch.zeros(1, 1), settings=late).item() == pytest.approx((3 + 3 + 7 + 7) / 4)


@pytest.mark.parametrize(("kind", "order"), [("euler", 1), ("midpoint", 2)])
def test_the_error_on_a_known_equation_falls_with_the_solvers_order(kind: str, order: int) -> None:
    """dx/dt = x from 1 ends at e; halving the step divides the error by 2 to the order."""
    errors = [
        abs(
            sample(
                lambda x, t, c: x,
                torch.ones(1, 1, dtype=torch.float64),
                settings=FlowSettings(kind=kind, steps=steps),
            ).item()
            - math.e
        )
        for steps in (32, 64)
    ]
    assert errors[0] / errors[1] == pytest.approx(2.0**order, rel=0.05)


def test_one_midpoint_step_is_computed_by_hand() -> None:
    """dx/dt = x + t from 2 in one step: half-way 2 + 1/2 2 = 3, there the velocity is 3 + 1/2, so 5.5."""
    found = sample(
        lambda x, t, c: x + t, torch.full((1, 1), 2.0), settings=FlowSettings(kind="midpoint", steps=1)
    )
    assert found.item() == pytest.approx(5.5)


def test_a_shortcut_asks_on_its_own_grid_and_names_its_step() -> None:
    settings = FlowSettings(kind="shortcut", steps=4)
    asked: list[tuple[float, bool]] = []

    def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
        asked.append((t, conditioned))
        return torch.ones_like(x)

    sample(velocity, torch.zeros(1, 1), settings=settings)
    assert asked == [(0.0, True), (0.25, True), (0.5, True), (0.75, True)]
    assert settings.step_size == 0.25 and settings.evaluations == 4
    assert FlowSettings(steps=4).step_size == 0.0
    warped = FlowSettings(kind="shortcut", steps=4, rescale_t=3.0)
    assert warped.times() == pytest.approx([0.0, 0.1, 0.25, 0.5, 1.0]) and warped.step_size == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 4, "rescale_t": 0.0},
        {"steps": 4, "cfg_strength": -1.0},
        {"steps": 4, "cfg_strength": float("nan")},
        {"steps": 4, "cfg_interval": (0.6, 0.5)},
        {"steps": 4, "kind": "shortcut", "cfg_strength": 1.0},
        {"steps": 3, "kind": "shortcut"},
        {"steps": 256, "kind": "shortcut"},
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        FlowSettings(**wrong)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_stops_and_leaves_the_others_alone(spoilt: float) -> None:
    """The velocity mixes rows as a careless kernel would: 0 x NaN reaches the others unless the row is taken out."""
    noise = _noise(3, 2)

    def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
        found = x + 0.0 * x.sum()
        if t == 0.5:
            found = found.clone()
            found[1, 0] = spoilt
        return found

    found = sample(velocity, noise, settings=FlowSettings(steps=4))
    clean = sample(lambda x, t, c: x, noise, settings=FlowSettings(steps=4))
    assert torch.isnan(found[1]).all()
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


def test_rows_of_one_owner_stop_together() -> None:
    noise, owners = _noise(5, 2), torch.tensor([0, 0, 1, 1, 2])
    noise[2, 1] = float("nan")
    found = sample(lambda x, t, c: x, noise, settings=FlowSettings(steps=2), owners=owners)
    assert torch.isnan(found[2:4]).all() and torch.isfinite(found[[0, 1, 4]]).all()


def test_a_candidates_noise_follows_from_its_seed_alone() -> None:
    alone = draw_noise([candidate_generator(7)], (4, 3))
    among = draw_noise([candidate_generator(seed) for seed in (1, 7, 9)], (4, 3))
    assert torch.equal(alone[0], among[1])
    again = draw_noise([candidate_generator(7, attempt=1)], (4, 3))
    assert not torch.equal(alone, again)
    assert torch.equal(again, draw_noise([candidate_generator(7, attempt=1)], (4, 3)))


def test_settings_stored_by_an_earlier_version_still_load() -> None:
    stored = {
        "geometry_steps": 12,
        "geometry_rescale_t": 3.0,
        "geometry_cfg_strength": 2.0,
        "texture_steps": 4,
        "texture_rescale_t": 1.0,
        "texture_cfg_strength": 1.0,
    }
    settings = SamplerSettings.from_document(stored)
    assert geometry_flow(settings) == FlowSettings(steps=12, rescale_t=3.0, cfg_strength=2.0)
    assert texture_flow(settings) == FlowSettings(steps=4, rescale_t=1.0, cfg_strength=1.0)
    with pytest.raises(ValueError, match="sigma"):
        SamplerSettings.from_document({**stored, "sigma": 1})


def test_given_the_true_shape_a_trained_models_layouts_are_better_than_joint_ones() -> None:
    """Two kinds of shapes with a layout each and a condition that does not tell which: only the shape does."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GeometryModel(PRESETS["nano"].geometry)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    blank = torch.zeros(8, 1, PRESETS["nano"].geometry.condition.width)
    latent_shape = model.preset.latent_shape

    def kinds(count: int) -> tuple[Tensor, Tensor]:
        sign = torch.arange(count) % 2 * 2.0 - 1.0
        return sign.view(-1, 1, 1, 1, 1).expand(-1, *latent_shape), sign[:, None].expand(-1, LAYOUT_DIM)

    for _ in range(60):
        shape, layout = kinds(8)
        noise_shape = torch.randn(8, *latent_shape, generator=generator)
        noise_layout = torch.randn(8, LAYOUT_DIM, generator=generator)
        t = torch.rand(8, generator=generator)
        found = model(interpolate(noise_shape, shape, t), interpolate(noise_layout, layout, t), t, blank)
        loss = (found[0] - (shape - noise_shape)).square().mean()
        loss = loss + (found[1] - (layout - noise_layout)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shape, layout = kinds(8)
    noise_shape = torch.randn(8, *latent_shape, generator=generator)
    noise_layout = torch.randn(8, LAYOUT_DIM, generator=generator)
    settings = FlowSettings(steps=6)
    joint = draw_geometry(
        model, blank, noise_shape=noise_shape, noise_layout=noise_layout, settings=settings
    ).layout
    held = draw_layouts(
        model, blank, shape=shape, noise_shape=noise_shape, noise_layout=noise_layout, settings=settings
    )
    assert float((held - layout).abs().mean()) < 0.5 < float((joint - layout).abs().mean())
