"""The two-stream geometry model at preset nano."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modelzoo.models.geometry import LAYOUT_DIM, PARTS, GeometryModel
from modelzoo.presets import PRESETS, preset_named
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.losses.autoencoder import kl_loss, occupancy_loss

NANO = PRESETS["nano"].geometry


@pytest.fixture
def model() -> GeometryModel:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = GeometryModel(NANO)
    for name, parameter in made.named_parameters():
        if not name.startswith("step."):
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def _inputs() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    side = NANO.image_size
    crop, full = torch.randn(2, 2, 8, side, side, generator=generator)
    return (
        crop,
        full,
        torch.randn(2, 4, generator=generator),
        torch.randn(2, *NANO.latent_shape, generator=generator),
        (torch.randn(2, LAYOUT_DIM, generator=generator)),
    )


def test_layout_loss_gives_no_gradient_to_the_shape_stream(model: GeometryModel) -> None:
    crop, full, box, shape, layout = _inputs()
    _, moved = model(shape, layout, torch.tensor([0.3, 0.6]), model.encode(crop, full, box))
    moved.square().sum().backward()
    assert all(p.grad is None or float(p.grad.abs().max()) == 0.0 for p in model.part("shape"))
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0.0 for p in model.part("layout"))


def test_shape_output_does_not_change_when_the_layout_changes(model: GeometryModel) -> None:
    crop, full, box, shape, layout = _inputs()
    tokens, t = model.encode(crop, full, box), torch.tensor([0.3, 0.6])
    first, _ = model(shape, layout, t, tokens)
    second, _ = model(shape, layout + 3.0, t, tokens)
    assert torch.equal(first, second)


def test_layout_output_changes_when_the_shape_changes(model: GeometryModel) -> None:
    crop, full, box, shape, layout = _inputs()
    tokens, t = model.encode(crop, full, box), torch.tensor([0.3, 0.6])
    _, first = model(shape, layout, t, tokens)
    _, second = model(shape + 1.0, layout, t, tokens)
    assert not torch.equal(first, second)


def test_step_size_does_nothing_before_it_is_trained() -> None:
    torch.manual_seed(0)
    model = GeometryModel(NANO)
    crop, full, box, shape, layout = _inputs()
    tokens, t = model.encode(crop, full, box), torch.tensor([0.3, 0.6])
    plain = model(shape, layout, t, tokens)
    stepped = model(shape, layout, t, tokens, torch.tensor([0.5, 0.25]))
    assert torch.equal(plain[0], stepped[0]) and torch.equal(plain[1], stepped[1])


def test_eight_samples_in_one_batch_equal_eight_single_ones(model: GeometryModel) -> None:
    model.eval()
    crop, full, box, _, _ = _inputs()
    tokens = model.encode(crop[:1], full[:1], box[:1])
    noise, layout = torch.randn(8, *NANO.latent_shape), torch.randn(8, LAYOUT_DIM)
    settings = FlowSettings(steps=3, rescale_t=4.0)
    together = draw_geometry(
        model, tokens.expand(8, -1, -1), noise_shape=noise, noise_layout=layout, settings=settings
    )
    for k in range(8):
        alone = draw_geometry(
            model, tokens, noise_shape=noise[k, None], noise_layout=layout[k, None], settings=settings
        )
        torch.testing.assert_close(alone.shape[0], together.shape[k], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(alone.layout[0], together.layout[k], rtol=1e-3, atol=1e-3)


def test_a_remembered_condition_gives_what_its_tokens_give(model: GeometryModel) -> None:
    crop, full, box, shape, layout = _inputs()
    tokens, t = model.encode(crop, full, box), torch.tensor([0.3, 0.6])
    plain = model(shape, layout, t, tokens)
    remembered = model(shape, layout, t, model.remember(tokens))
    assert torch.equal(plain[0], remembered[0]) and torch.equal(plain[1], remembered[1])
    shared = model(shape, layout, t, model.remember(tokens[:1]))
    copied = model(shape, layout, t, tokens[:1].expand(2, -1, -1))
    torch.testing.assert_close(shared, copied, rtol=1e-5, atol=1e-5)


def test_tiny_has_the_parameters_it_claims() -> None:
    tiny = PRESETS["tiny"].geometry
    assert tiny.num_shape_tokens == 64
    assert sum(p.numel() for p in GeometryModel(tiny).parameters()) == 4_815_792


def test_every_parameter_belongs_to_one_part_and_freezing_a_part_keeps_the_others(
    model: GeometryModel,
) -> None:
    counts = {name: sum(p.numel() for p in model.part(name)) for name in PARTS}
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    assert counts["shape"] > 0 and counts["layout"] > 0 and counts["shared"] > 0
    model.freeze("shape", "shared", "condition")
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.part("layout")}
    with pytest.raises(ValueError, match="shared"):
        model.freeze("decoder")


def test_an_unknown_preset_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="nano"):
        preset_named("huge")


def test_the_autoencoder_learns_one_batch_of_boxes() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae = SparseStructureVAE(NANO.structure)
    grids = torch.zeros(4, 32, 32, 32, dtype=torch.bool)
    for i in range(4):
        grids[i, 4 : 20 + 2 * i, 8:24, 4 + i : 28] = True
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    for _ in range(160):
        mean, log_variance = vae.encode(grids)
        loss = occupancy_loss(vae.decode(mean), grids) + 1e-3 * kl_loss(mean, log_variance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        guess = vae.decode(vae.encode(grids)[0]) > 0
    assert float((guess & grids).sum() / (guess | grids).sum()) > 0.95
