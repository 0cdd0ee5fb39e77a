"""Raw numbers to Gaussians, against a plain twin and the released decoder's constants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modelzoo.decoders.gaussians import (
    NUMBERS,
    CellGaussians,
    GaussianSettings,
    gaussians_from_raw,
    spread_anchors,
)

RELEASED = GaussianSettings(count=32, grid=64)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _plainly(raw: Tensor, coords: Tensor, anchors: Tensor, settings: GaussianSettings) -> CellGaussians:
    """The facts' formulas, one Gaussian and one number at a time."""
    k = settings.count
    rows: dict[str, list[Tensor]] = {
        "positions": [],
        "scales": [],
        "rotations": [],
        "opacities": [],
        "colours": [],
    }
    start = math.log(math.exp(math.sqrt(settings.scale_start**2 - settings.scale_floor**2)) - 1)
    for n in range(len(coords)):
        for i in range(k):
            offset = [raw[n, 3 * i + c] for c in range(3)]
            colour = [raw[n, 3 * k + 3 * i + c] for c in range(3)]
            scale = [raw[n, 6 * k + 3 * i + c] for c in range(3)]
            turn = [
                raw[n, 9 * k + 4 * i + c] * settings.rotation_rate + (1.0 if c == 0 else 0.0)
                for c in range(4)
            ]
            opacity = raw[n, 13 * k + i] + math.log(settings.opacity_start / (1 - settings.opacity_start))
            place = [
                (coords[n, c] + 0.5) / settings.grid
                + torch.tanh(offset[c] + anchors[i, c]) * 0.5 * settings.voxel_size / settings.grid
                - 0.5
                for c in range(3)
            ]
            length = sum(q * q for q in turn) ** 0.5
            rows["positions"].append(torch.stack(place))
            rows["scales"].append(
                torch.stack(
                    [
                        (torch.log(1 + torch.exp(s + start)) ** 2 + settings.scale_floor**2) ** 0.5
                        for s in scale
                    ]
                )
            )
            rows["rotations"].append(torch.stack([q / length for q in turn]))
            rows["opacities"].append(1 / (1 + torch.exp(-opacity)))
            rows["colours"].append(torch.stack([0.5 + 0.28209479177387814 * c for c in colour]))
    made = {name: torch.stack(found).unflatten(0, (len(coords), k)) for name, found in rows.items()}
    return CellGaussians(rotations_wxyz=made.pop("rotations"), **made)


@pytest.mark.parametrize(
    "settings", [GaussianSettings(count=4, grid=64), GaussianSettings.for_grid(count=3, grid=8)]
)
def test_gaussians_and_their_gradients_are_the_plain_twin_s(settings: GaussianSettings) -> None:
    raw = torch.randn(3, NUMBERS * settings.count, dtype=torch.float64, requires_grad=True)
    coords, anchors = torch.randint(0, settings.grid, (3, 3)), spread_anchors(settings).double()
    found = []
    for one in (gaussians_from_raw, _plainly):
        gaussians = one(raw, coords, anchors, settings)
        total = torch.stack(
            [(value * torch.sin(value * 50)).sum() for value in gaussians.__dict__.values()]
        ).sum()
        found.append((gaussians, torch.autograd.grad(total, raw)[0]))
    (fast, fast_gradient), (plain, plain_gradient) = found
    for name, value in fast.__dict__.items():
        assert torch.allclose(value, getattr(plain, name), atol=1e-10), name
    assert torch.allclose(fast_gradient, plain_gradient, atol=1e-8)


def test_zero_numbers_are_the_released_decoder_s_start() -> None:
    coords, anchors = torch.tensor([[0, 0, 0], [63, 32, 5]]), spread_anchors(RELEASED)
    found = gaussians_from_raw(torch.zeros(2, NUMBERS * 32), coords, anchors, RELEASED)
    assert torch.allclose(found.scales, torch.tensor(0.004), atol=1e-6)
    assert torch.allclose(found.opacities, torch.tensor(0.1), atol=1e-6)
    assert torch.equal(found.rotations_wxyz, torch.tensor([1.0, 0, 0, 0]).expand(2, 32, 4))
    assert torch.allclose(found.colours, torch.tensor(0.5))
    inside = (found.positions + 0.5) * 64 - coords[:, None]
    assert float(inside.min()) > -1e-4 and float(inside.max()) < 1
    # Hammersley's points: first coordinate n / 32, second the mirrored binary digits of n, third the ternary ones.
    assert torch.allclose(inside[0, 6], torch.tensor([6 / 32, 3 / 8, 2 / 9]), atol=1e-4)


def test_a_gaussian_reaches_three_quarters_of_a_cell_and_is_never_thinner_than_the_floor() -> None:
    coords, anchors = torch.tensor([[10, 10, 10]]), spread_anchors(RELEASED)
    found = gaussians_from_raw(torch.full((1, NUMBERS * 32), 40.0), coords, anchors, RELEASED)
    assert torch.allclose((found.positions + 0.5) * 64, torch.tensor(10.5 + 0.75), atol=1e-3)
    thin = gaussians_from_raw(torch.full((1, NUMBERS * 32), -40.0), coords, anchors, RELEASED)
    assert torch.allclose(thin.scales, torch.tensor(0.0009), atol=1e-7)
    assert torch.allclose(thin.rotations_wxyz.norm(dim=-1), torch.tensor(1.0))


def test_the_anchors_of_a_cell_are_apart_on_every_axis() -> None:
    anchors = spread_anchors(RELEASED)
    assert anchors.shape == (32, 3) and torch.isfinite(anchors).all()
    assert all(len(anchors[:, axis].unique()) == 32 for axis in range(3))
