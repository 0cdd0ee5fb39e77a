"""The texture flow, what it is told of the photograph, its training and the photograph's colours, at nano size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelzoo.contracts import Intrinsics
from modelzoo.encoders.condition import Views
from modelzoo.models.cells import CellBatch, batch_cells
from modelzoo.models.probes import Probes
from modelzoo.models.texture_flow import TextureCondition, TextureFlow, texture_velocity
from modelzoo.photo_colours import photo_view, seen_surface
from modelzoo.presets import ConditionPreset, EmbedderPreset, preset_named
from modelzoo.refinement import Layout
from modelzoo.samplers import FlowSettings, sample
from modelzoo.silhouette import rasterise
from modelzoo.texture_conditioning import (
    Placement,
    filled_outwards,
    projected_colours,
    texture_condition,
    texture_view,
)
from modelzoo.vae.structured_latent import StructuredLatentVAE
from tests.ml.few_cells import few_cells
from training.components.texture import train
from training.configs import default_config
from training.data.texture_batches import TextureSource, WindowSize
from training.data.textured import draw_textured_sample
from training.objectives.flow_matching import TimeSampler
from training.objectives.texture import TextureObjective

NANO = preset_named("nano")
IMAGE = EmbedderPreset(kind="vit", reads="image", size=28, patch=14, width=16, depth=1, heads=2)
N = 4


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _probes(cells: CellBatch) -> Probes:
    n, b = len(cells.coords), cells.size
    return Probes(
        view=torch.rand(b, 4, 32, 32),
        pixels=torch.rand(n, 8, 2) * 2 - 1,
        depth=torch.zeros(n, 8, 2),
        known_depth=torch.ones(b),
        field=torch.rand(n, 64),
        view_direction=torch.nn.functional.normalize(torch.rand(b, 3), dim=-1),
        guess=torch.randn(n, 4),
    )


def _disturbed(model: TextureFlow) -> TextureFlow:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def _drawn(
    model: TextureFlow,
    condition: TextureCondition,
    cells: CellBatch,
    *,
    noise: Tensor,
    steps: int,
    rescale_t: float = 1.0,
    cfg_strength: float = 0.0,
) -> Tensor:
    settings = FlowSettings(steps=steps, rescale_t=rescale_t, cfg_strength=cfg_strength)
    velocity = texture_velocity(model, condition, cells)
    return sample(velocity, noise, settings=settings, owners=cells.batch)


def _noisy_flow() -> TextureFlow:
    return _disturbed(TextureFlow(NANO.texture, NANO.latent))


@pytest.mark.parametrize(("name", "millions"), [("released", 600.4), ("base", 81.0), ("small", 14.5)])
def test_the_flow_has_the_parameters_of_its_preset_without_the_condition_encoder(
    name: str, millions: float
) -> None:
    """sam3d facts, 10.3 and 10.4."""
    preset = preset_named(name)
    assert preset.texture.condition is not None
    light = replace(preset.texture.condition, embedders=(IMAGE,))
    with torch.device("meta"):
        model = TextureFlow(replace(preset.texture, condition=light), preset.latent)
    own = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("condition_encoder."))
    assert own / 1e6 == pytest.approx(millions, rel=1e-3 if name == "released" else 5e-3)


def test_one_object_s_texture_does_not_depend_on_its_batch() -> None:
    model, cells = _noisy_flow(), few_cells()
    probes, noise = _probes(cells), torch.randn(N, 4)
    both = _drawn(model, TextureCondition(probes=probes), cells, noise=noise, steps=3, rescale_t=2.0)
    first = batch_cells([cells.coords[:3]], grid=8)
    own = Probes(**{k: v[:3] if len(v) == N else v[:1] for k, v in probes.__dict__.items()})
    alone = _drawn(model, TextureCondition(probes=own), first, noise=noise[:3], steps=3, rescale_t=2.0)
    assert torch.allclose(both[:3], alone, atol=1e-4)


def test_permuting_an_object_s_cells_permutes_its_velocities() -> None:
    model = _noisy_flow()
    coords = torch.rand(8, 8, 8).gt(0.8).nonzero()
    order = torch.randperm(len(coords))
    cells, shuffled = batch_cells([coords], grid=8), batch_cells([coords[order]], grid=8)
    probes, x_t, t = _probes(cells), torch.randn(len(coords), 4), torch.tensor([0.3])
    moved = Probes(**{k: v[order] if len(v) == len(coords) else v for k, v in probes.__dict__.items()})
    one = model(x_t, t, model.encode(TextureCondition(probes=probes), cells), cells)
    other = model(x_t[order], t, model.encode(TextureCondition(probes=moved), shuffled), shuffled)
    assert torch.allclose(one[order], other, atol=1e-4)


def test_the_photograph_changes_the_texture_and_guidance_drops_its_tokens_only() -> None:
    model, cells = _noisy_flow(), few_cells()
    probes, noise = _probes(cells), torch.randn(N, 4)
    other = replace(probes, view=1 - probes.view)
    drawn = [
        _drawn(model, TextureCondition(probes=one), cells, noise=noise, steps=2, rescale_t=1.0)
        for one in (probes, other)
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
    encoded = model.encode(TextureCondition(probes=probes), cells)
    blind = model.without_photograph(encoded, torch.tensor([False, True]))
    assert torch.equal(blind.tokens[0], encoded.tokens[0]) and not blind.tokens[1].any()
    assert blind.features is encoded.features


def test_before_training_one_step_gives_the_trusted_part_of_the_guess() -> None:
    model, cells = TextureFlow(NANO.texture, NANO.latent), few_cells()
    condition = TextureCondition(probes=_probes(cells))
    found = _drawn(model, condition, cells, noise=torch.randn(N, 4), steps=1, rescale_t=1.0)
    prior = model.encode(condition, cells).prior
    assert prior is not None and torch.allclose(found, prior, atol=1e-5)


def test_a_preset_with_a_condition_encoder_reads_views_and_refuses_to_go_without() -> None:
    texture = replace(
        NANO.texture,
        condition=ConditionPreset(width=16, embedders=(IMAGE, replace(IMAGE, reads="mask"))),
        probes=0,
        preconditioned=False,
        gate_start=0.0,
        io_blocks=2,
        io_reach="cube",
    )
    model, cells = _disturbed(TextureFlow(texture, NANO.latent)), few_cells()
    views = Views(crop=torch.rand(2, 8, 28, 28), full=torch.rand(2, 8, 28, 28), box=torch.rand(2, 4))
    noise = torch.randn(N, 4)
    condition = TextureCondition(views=views)
    assert model.encode(condition, cells).tokens.shape == (2, texture.condition.num_tokens, 16)
    plain, guided = (
        _drawn(model, condition, cells, noise=noise, steps=2, rescale_t=1.0, cfg_strength=w)
        for w in (0.0, 1.0)
    )
    assert torch.isfinite(guided).all() and (plain - guided).abs().max() > 1e-5
    with pytest.raises(ValueError, match="needs views"):
        model.encode(TextureCondition(), cells)
    with pytest.raises(ValueError, match="needs probes"):
        _noisy_flow().encode(TextureCondition(views=views), cells)


def test_half_precision_gives_nearly_the_same_velocities() -> None:
    model, cells = _noisy_flow(), few_cells()
    condition, x_t, t = TextureCondition(probes=_probes(cells)), torch.randn(N, 4), torch.tensor([0.2, 0.7])
    exact = model(x_t, t, model.encode(condition, cells), cells)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(x_t, t, model.encode(condition, cells), cells)
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_every_weight_of_the_flow_is_reached_by_the_loss() -> None:
    model, vae = _noisy_flow(), StructuredLatentVAE(NANO.latent).requires_grad_(False)
    batch = _source(vae).batch(0)
    loss, metrics = TextureObjective(vae=vae, condition_dropout=0.0).loss(
        model, batch, torch.Generator().manual_seed(0)
    )
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without and metrics["latent"] > 0 and metrics["colour"] > 0


def test_filling_outwards_keeps_the_object_and_surrounds_it_with_its_nearest_colours() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1.0
    colours = torch.rand(1, 3, 32, 32)
    colours[..., 8:24, 8:16], colours[..., 8:24, 16:24] = 0.9, 0.1
    filled = filled_outwards(colours, mask)
    assert torch.allclose(filled[..., 8:24, 8:24], colours[..., 8:24, 8:24], atol=1e-6)
    assert float(filled[..., 16, 2].mean()) > 0.7 and float(filled[..., 16, 29].mean()) < 0.3
    assert torch.isfinite(filled_outwards(colours, torch.zeros_like(mask))).all()
    with pytest.raises(ValueError, match="power of two"):
        filled_outwards(colours[..., :30, :30], mask[..., :30, :30])


def test_hidden_cells_take_the_object_s_mean_colour_and_shown_ones_the_pixel_s() -> None:
    cells = batch_cells([torch.tensor([[4, 4, 0], [4, 4, 7]])], grid=8)
    view = torch.ones(1, 4, 32, 32)
    view[:, :3, :, 16:] = -1.0
    placement = Placement(
        rotation=torch.eye(3)[None], translation=torch.tensor([[-0.3, 0.0, 3.0]]), scale=torch.ones(1)
    )
    found = projected_colours(
        view,
        torch.tensor([[4.0, 4.0, 0.0, 0.0]]),
        placement,
        cells,
        hidden=torch.tensor([0.0, 3.0]),
        side=2,
    )
    assert torch.allclose(found[0], torch.ones(8, 3)) and torch.allclose(found[1], torch.full((8, 3), 0.5))


def _source(vae: StructuredLatentVAE) -> TextureSource:
    return TextureSource(
        vae, view=32, stream=3, batch_size=2, window=WindowSize(most=3, first=3, steps_per_sample=1), seed=0
    )


def test_a_step_s_batch_is_the_same_whether_or_not_the_steps_before_were_drawn() -> None:
    vae = StructuredLatentVAE(NANO.latent)
    went, fresh = _source(vae), _source(vae)
    for step in range(2):
        went.batch(step)
    one, other = went.batch(2), fresh.batch(2)
    assert torch.equal(one.latent, other.latent) and torch.equal(one.colour, other.colour)
    assert one.condition.probes is not None and other.condition.probes is not None
    assert torch.equal(one.condition.probes.guess, other.condition.probes.guess)


def test_the_flow_learns_a_memorisable_batch() -> None:
    """Latents that follow from the coarse field that the model is told."""
    vae = StructuredLatentVAE(NANO.latent).requires_grad_(False)
    batch = _source(vae).batch(0)
    assert batch.condition.probes is not None
    batch = replace(batch, latent=2 * batch.condition.probes.field[:, 20:24])
    model = TextureFlow(NANO.texture, NANO.latent)
    objective = TextureObjective(
        vae=vae, times=TimeSampler(mean=-4.0, std=0.1), condition_dropout=0.0, colour_weight=0.0
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss, _ = objective.loss(model, batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_training_goes_on_where_it_stopped_and_writes_weights_that_a_flow_takes(tmp_path: Path) -> None:
    vae_file = tmp_path / "slat_vae.safetensors"
    save_file(StructuredLatentVAE(NANO.latent).state_dict(), vae_file)
    window = WindowSize(most=3, first=3)
    for steps in (1, 2):
        config = replace(default_config("texture", steps=steps), batch_size=2)
        result = train(
            work=tmp_path / "run", vae_file=vae_file, preset=NANO, config=config, window=window, held_out=2
        )
    assert result.steps == 2 and result.reason == "finished"
    TextureFlow(NANO.texture, NANO.latent).load_state_dict(load_file(tmp_path / "run/texture.safetensors"))
    assert len((tmp_path / "run/held_out.jsonl").read_text().splitlines()) == 2
    with pytest.raises(ValueError, match="small wants"):
        train(work=tmp_path, vae_file=vae_file, preset=preset_named("small"), config=config, window=window)


def test_cells_are_told_the_colours_of_the_pixels_they_project_to() -> None:
    """A procedural photograph at its true pose: probes that nothing hides see the mask and the point map's depth."""
    sample = None
    index = 0
    while sample is None:
        sample = draw_textured_sample(stream=5, index=index, size=64, grid=16)
        index += 1
    cells = batch_cells([torch.from_numpy(sample.cells.coords)], grid=16)
    view = np.concatenate([sample.rgb / 127.5 - 1.0, sample.mask[..., None]], axis=-1).transpose(2, 0, 1)
    found = texture_condition(
        view=torch.from_numpy(view[None].astype(np.float32)),
        depth=torch.from_numpy(sample.depth[None]),
        camera=torch.from_numpy(sample.camera[None]),
        placement=Placement(
            rotation=torch.from_numpy(sample.rotation[None]),
            translation=torch.from_numpy(sample.translation[None]),
            scale=torch.tensor([sample.scale], dtype=torch.float32),
        ),
        field=torch.zeros(len(cells.coords), 64),
        cells=cells,
        vae=StructuredLatentVAE(preset_named("tiny").latent),
    ).probes
    assert found is not None and found.guess.shape == (len(cells.coords), 8)
    inside = torch.from_numpy(np.abs(sample.cells.field).min(axis=1) < 0.5)
    front = inside & (found.depth[..., 0].amax(dim=1) < 0.2)
    columns = ((found.pixels.mean(dim=1) + 1) * 32).long().clamp(0, 63)
    shown = torch.from_numpy(sample.mask)[columns[:, 1], columns[:, 0]]
    assert front.sum() > 5
    assert float(found.depth[front & shown][..., 1].mean(dim=1).abs().median()) < 0.35


def test_a_texture_view_without_points_knows_no_depth() -> None:
    camera = Intrinsics(fx=60, fy=60, cx=30, cy=20, width=60, height=40)
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 20:40] = True
    view = texture_view(np.zeros((40, 60, 3), np.uint8), mask, None, camera, size=32)
    assert view.view.shape == (4, 32, 32) and not torch.isfinite(view.depth).any()


def test_the_side_that_the_photograph_shows_takes_its_colours_and_the_other_keeps_its_own() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    vertices, normals = np.asarray(sphere.vertices, np.float32), np.asarray(sphere.vertex_normals, np.float32)
    camera = Intrinsics(fx=120, fy=120, cx=64, cy=48, width=128, height=96)
    layout = Layout(rotation=np.eye(3), translation=np.array([0.0, 0.0, 3.0]), scale=1.0)
    mask = rasterise(layout.place(vertices.astype(np.float64)), sphere.faces, camera).mask
    image = np.zeros((96, 128, 3), np.uint8)
    image[mask] = [200, 100, 50]
    seen = seen_surface(photo_view(image, mask, camera), layout, vertices, np.asarray(sphere.faces, np.int32))
    grey = np.full_like(vertices, 0.5)
    colours, used = seen.coloured(vertices, normals, grey, two_sided=False)
    front, back = normals[:, 2] < -0.9, normals[:, 2] > 0.5
    assert used
    assert np.abs(colours[front] - np.array([200, 100, 50]) / 255).max() < 0.03
    assert np.ptp(colours[back], axis=0).max() < 1e-6
    nothing, used = seen.coloured(vertices[back], normals[back], grey[back], two_sided=False)
    assert not used and np.array_equal(nothing, grey[back])
