"""Cells, the structured latent, the texture flow and the photograph's colours, at sizes that fit in a second."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from modelzoo.alignment import Layout
from modelzoo.contracts import Intrinsics
from modelzoo.models.cells import (
    CUBE,
    FACES,
    CellBatch,
    CellConv,
    active_cells,
    batch_cells,
    gather_voxels,
    pool_to_parents,
    scatter_voxels,
)
from modelzoo.models.texture_flow import TextureCondition, TextureFlow, sample_texture
from modelzoo.photo_colours import photo_view, seen_surface
from modelzoo.registry import TEXTURED
from modelzoo.silhouette import rasterise
from modelzoo.texture_conditioning import Placement, texture_condition, texture_view
from modelzoo.vae.structured_latent import CellContent, StructuredLatentVAE
from training.data.textured import draw_textured_sample
from training.losses.structured_latent import CellTargets, gaussian_loss, surface_loss
from training.structured_latent import collate, draw_object_cells

LATENT, TEXTURE = TEXTURED["nano"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _cells() -> CellBatch:
    return batch_cells([torch.tensor([[0, 0, 0], [0, 0, 1], [5, 5, 5]]), torch.tensor([[7, 7, 7]])], grid=8)


@pytest.mark.parametrize("reach", [CUBE, FACES])
def test_a_sparse_convolution_equals_the_dense_one_at_active_cells(reach: tuple[int, ...]) -> None:
    coords = torch.rand(8, 8, 8).gt(0.6).nonzero()
    cells = batch_cells([coords], grid=8)
    conv, values = CellConv(3, 5, reach=reach), torch.randn(len(coords), 3)
    weight = torch.zeros(5, 27, 3)
    weight[:, list(reach)] = conv.linear.weight.detach().view(5, len(reach), 3)
    dense = torch.zeros(1, 3, 8, 8, 8)
    dense[0, :, coords[:, 0], coords[:, 1], coords[:, 2]] = values.T
    kernel = weight.view(5, 3, 3, 3, 3).permute(0, 4, 1, 2, 3)
    expected = torch.nn.functional.conv3d(dense, kernel, conv.linear.bias.detach(), padding=1)[0]
    found = conv(values, cells)
    assert torch.allclose(found, expected[:, coords[:, 0], coords[:, 1], coords[:, 2]].T, atol=1e-4)


def test_cells_of_one_object_are_never_neighbours_or_siblings_of_another_s() -> None:
    together, alone = _cells(), batch_cells([torch.tensor([[7, 7, 7]])], grid=8)
    assert together.neighbours[3].tolist() == [3 if n == 0 else 4 for n in alone.neighbours[0].tolist()]
    pooled = pool_to_parents(together, torch.arange(4.0)[:, None])
    assert sorted(pooled[:, 0].tolist()) == [0.5, 2.0, 3.0]


def test_voxels_gathered_and_scattered_are_the_volume_again() -> None:
    volume, cells = torch.randn(2, 32, 32, 32), _cells()
    voxels = gather_voxels(volume, cells)
    assert torch.equal(voxels[2].view(4, 4, 4), volume[0, 20:24, 20:24, 20:24])
    assert torch.equal(scatter_voxels(voxels, cells, volume), volume)
    assert int((scatter_voxels(voxels * 0, cells, volume) == 0).sum()) == 4 * 64


def test_active_cells_are_those_at_the_surface_and_their_number_is_capped() -> None:
    solid = torch.zeros(2, 32, 32, 32, dtype=torch.bool)
    solid[0, 8:24, 8:24, 8:24] = True
    full, empty = active_cells(solid, grid=8, max_cells=1000)
    assert [3, 3, 3] not in full.tolist() and [2, 2, 2] in full.tolist() and [1, 2, 2] in full.tolist()
    assert empty.tolist() == [[4, 4, 4]]
    assert len(active_cells(solid, grid=8, max_cells=10)[0]) == 10


def test_the_structured_latent_learns_a_memorisable_batch() -> None:
    model = StructuredLatentVAE(LATENT)
    cells, targets = collate(
        [draw_object_cells(stream=3, index=index, config=LATENT) for index in range(2)], grid=LATENT.grid
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    totals = []
    for _ in range(25):
        content = CellContent(field=targets.field.clamp(-2, 2), colour=targets.colour)
        mean, _ = model.encode(content, cells)
        decoded, gaussians = model.decode(model.standardise(mean), cells)
        terms = {**surface_loss(decoded, targets), **gaussian_loss(gaussians, targets, grid=LATENT.grid)}
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.75 * totals[0]


def test_perfect_discs_have_no_gaussian_loss_but_their_scale() -> None:
    """One cell whose surface is the plane z = cell centre, and Gaussians that lie on it."""
    cells = batch_cells([torch.tensor([[4, 4, 4]])], grid=8)
    inner = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centre = (torch.tensor([4.0, 4, 4]) * 4 + inner + 0.5) / 32 - 0.5
    height = 18 - (torch.tensor([4.0] * 3)[2] * 4 + inner[:, 2] + 0.5)
    surface = centre.clone()
    surface[:, 2] = 18 / 32 - 0.5
    targets = CellTargets(
        field=height[None],
        colour=torch.full((1, 64, 3), 0.5),
        surface=surface[None],
        normal=torch.tensor([0.0, 0, 1]).expand(1, 64, 3),
    )
    gaussians = StructuredLatentVAE(LATENT).decode(torch.zeros(1, 4), cells)[1]
    flat = gaussians.__class__(
        positions=surface[height.abs() < 1][None, :4],
        scales=gaussians.scales.detach()[:, :4],
        rotations_wxyz=torch.tensor([1.0, 0, 0, 0]).expand(1, 4, 4),
        opacities=torch.full((1, 4), 0.98),
        colours=torch.full((1, 4, 3), 0.5),
    )
    terms = gaussian_loss(flat, targets, grid=8)
    assert float(terms["accurate"]) < 1e-5 and float(terms["flat"]) < 1e-6
    assert float(terms["gaussian_colour"]) < 1e-6


def _condition(cells: CellBatch) -> TextureCondition:
    n, b = len(cells.coords), cells.size
    return TextureCondition(
        view=torch.rand(b, 4, 32, 32),
        probe_pixels=torch.rand(n, 8, 2) * 2 - 1,
        probe_depth=torch.zeros(n, 8, 2),
        known_depth=torch.ones(b),
        field=torch.rand(n, 64),
        view_direction=torch.nn.functional.normalize(torch.rand(b, 3), dim=-1),
    )


def _noisy_flow() -> TextureFlow:
    model = TextureFlow(TEXTURE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def test_one_object_s_texture_does_not_depend_on_its_batch() -> None:
    model, cells = _noisy_flow(), _cells()
    condition, noise = _condition(cells), torch.randn(4, 4)
    both = sample_texture(model, condition, cells, noise=noise, steps=3, rescale_t=2.0)
    first = batch_cells([cells.coords[:3]], grid=8)
    own = {name: value[:3] if len(value) == 4 else value[:1] for name, value in condition.__dict__.items()}
    alone = sample_texture(model, TextureCondition(**own), first, noise=noise[:3], steps=3, rescale_t=2.0)
    assert torch.allclose(both[:3], alone, atol=1e-4)


def test_the_photograph_changes_the_texture() -> None:
    model, cells = _noisy_flow(), _cells()
    condition, noise = _condition(cells), torch.randn(4, 4)
    other = TextureCondition(**{**condition.__dict__, "view": 1 - condition.view})
    drawn = [
        sample_texture(model, one, cells, noise=noise, steps=2, rescale_t=1.0) for one in (condition, other)
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3


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
    )
    inside = torch.from_numpy(np.abs(sample.cells.field).min(axis=1) < 0.5)
    front = inside & (found.probe_depth[..., 0].amax(dim=1) < 0.2)
    columns = ((found.probe_pixels.mean(dim=1) + 1) * 32).long().clamp(0, 63)
    shown = torch.from_numpy(sample.mask)[columns[:, 1], columns[:, 0]]
    assert front.sum() > 5
    assert float(found.probe_depth[front & shown][..., 1].mean(dim=1).abs().median()) < 0.35


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
    mask = rasterise(layout.place(vertices), sphere.faces, camera).mask
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
