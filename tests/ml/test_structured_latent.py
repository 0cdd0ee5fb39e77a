"""The structured latent: its networks by preset, cells to cubes, features of views that see a cell, and its losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor, nn

from modelzoo.decoders.cube_head import CUBE_NUMBERS, OUTSIDE, CubeHead, PackedGroupNorm, cube_values
from modelzoo.decoders.cubes import dense_grid
from modelzoo.decoders.flexicubes import extract
from modelzoo.models.cells import CellBatch, batch_cells
from modelzoo.models.positions import positions
from modelzoo.presets import PRESETS, StructuredLatentPreset
from modelzoo.vae.structured_latent import CellContent, StructuredLatentVAE
from modelzoo.vae.trunks import SwinTrunk
from modelzoo.vae.view_features import (
    FeatureViews,
    gather_view_features,
    project,
)
from training.components.structured_latent import evaluate, standardise_from, view_embedder
from training.data.cells import nearest_surface
from training.data.latent_batches import LatentObject, collate, draw_object
from training.data.views import feature_views, object_views, pixel_patches
from training.losses.structured_latent import CellTargets, CubeTargets, cube_loss, gaussian_loss
from training.objectives.structured_latent import losses, weighted

NANO = PRESETS["nano"].latent
SWIN = replace(
    NANO, backbone="swin", surface="flexicubes", width=16, depth=2, heads=2, window=4, gaussians=(4, 2)
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _cells(grid: int = 8) -> CellBatch:
    first = torch.tensor([[0, 0, 0], [0, 0, 1], [1, 0, 1], [5, 5, 5], [4, 5, 5]])
    return batch_cells([first, torch.tensor([[7, 7, 7], [3, 3, 3]])], grid=grid)


def _vae(preset: StructuredLatentPreset) -> StructuredLatentVAE:
    """With weights that are nowhere zero."""
    model = StructuredLatentVAE(preset)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def _count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_released_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        vae = StructuredLatentVAE(PRESETS["released"].latent)
    assert round(_count(vae.encoder, vae.to_moments) / 1e6, 1) == 85.8
    assert round(_count(vae.decoders[1], vae.to_gaussians[0]) / 1e6, 1) == 85.4
    assert round(_count(vae.decoders[2], vae.to_gaussians[1]) / 1e6, 1) == 85.1
    assert round(_count(vae.decoders[0], vae.to_surface) / 1e6, 1) == 90.9
    assert vae.to_surface.out.out_features == 101


def test_window_attention_is_what_it_says_cell_by_cell() -> None:
    """A plain twin: each block, each cell, each head, over the cells of the same window; values and gradients."""
    trunk, cells = SwinTrunk(3, width=12, depth=2, heads=2, window=4).double(), _cells()
    values = torch.randn(len(cells.coords), 3, dtype=torch.float64, requires_grad=True)
    fast = trunk(values, cells)
    plain = trunk.embed(values) + positions(cells.coords, 12).double()
    for index, block in enumerate(trunk.blocks):
        shift = 2 * (index % 2)
        rows = [block.qkv(_normal(row)).view(3, 2, 6) for row in plain]
        windows = [
            (int(b), *((c + shift) // 4).tolist()) for b, c in zip(cells.batch, cells.coords, strict=True)
        ]
        made = []
        for i, own in enumerate(windows):
            near = [j for j, other in enumerate(windows) if other == own]
            heads = []
            for h in range(2):
                score = torch.stack([rows[i][0, h] @ rows[j][1, h] / 6**0.5 for j in near]).softmax(dim=0)
                heads.append(sum(score[k] * rows[j][2, h] for k, j in enumerate(near)))
            made.append(plain[i] + block.out(torch.cat(heads)))
        plain = torch.stack([row + block.mlp(_normal(row)) for row in made])
    assert torch.allclose(fast, plain, atol=1e-10)
    weight = torch.randn_like(fast)
    gradients = [
        torch.autograd.grad((one * weight).sum(), [values, *trunk.parameters()]) for one in (fast, plain)
    ]
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-8)


def _normal(row: Tensor) -> Tensor:
    return (row - row.mean()) / torch.sqrt(row.var(unbiased=False) + 1e-6)


@pytest.mark.parametrize("preset", [NANO, replace(SWIN, surface="field")])
def test_an_object_s_content_depends_neither_on_its_batch_nor_on_the_order_of_its_cells(
    preset: StructuredLatentPreset,
) -> None:
    model, cells = _vae(preset), _cells()
    latent = torch.randn(len(cells.coords), preset.channels)
    together = model.decode(latent, cells)
    order = torch.tensor([3, 1, 4, 0, 2])
    own = batch_cells([cells.coords[order]], grid=8)
    alone = model.decode(latent[order], own)
    for mine, theirs in zip(together, alone, strict=True):
        for name, value in mine.__dict__.items():
            assert torch.allclose(value[order], getattr(theirs, name), atol=1e-5), name


def test_the_encoder_s_moments_follow_the_order_of_the_cells() -> None:
    preset = replace(SWIN, features="views", feature_width=6)
    model, cells = _vae(preset), _cells()
    features, order = torch.randn(7, 6), torch.tensor([4, 2, 0, 1, 3])
    mean = model.encode(features, cells)[0]
    alone = model.encode(features[order], batch_cells([cells.coords[order]], grid=8))[0]
    assert torch.allclose(mean[order], alone, atol=1e-5)


def test_all_decoders_read_one_latent() -> None:
    model, cells = _vae(SWIN), _cells()
    latent = torch.randn(7, SWIN.channels, requires_grad=True)
    many, few = (model.decode_gaussians(latent, cells, which=which) for which in (0, 1))
    assert many.positions.shape == (7, 4, 3) and few.positions.shape == (7, 2, 3)
    for found in (many.positions, few.positions, model.decode_cubes(latent, cells).sdf):
        assert torch.autograd.grad(found.square().sum(), latent, retain_graph=True)[0].abs().sum() > 0


def test_what_a_preset_does_not_have_is_refused_by_name() -> None:
    cells, latent = _cells(), torch.zeros(7, NANO.channels)
    with pytest.raises(ValueError, match="cubes"):
        StructuredLatentVAE(SWIN).decode(latent, cells)
    with pytest.raises(ValueError, match="field"):
        StructuredLatentVAE(NANO).decode_cubes(latent, cells)
    with pytest.raises(ValueError, match="no Gaussian decoder 2"):
        StructuredLatentVAE(SWIN).decode_gaussians(latent, cells, which=2)
    with pytest.raises(ValueError, match="sees field"):
        StructuredLatentVAE(NANO).encode(torch.zeros(7, 6), cells)
    for wrong in ({"heads": 3}, {"window": 3}, {"cell": 2}, {"gaussians": ()}):
        with pytest.raises(ValueError):
            StructuredLatentVAE(replace(SWIN, **wrong))
    with pytest.raises(ValueError, match="--dinov2"):
        view_embedder(PRESETS["base"], None)


def test_group_norm_over_packed_objects_is_torch_s_for_each() -> None:
    norm, cells = PackedGroupNorm(8), _cells()
    twin = nn.GroupNorm(8, 8)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(8))
        norm.bias.copy_(torch.randn(8))
    twin.load_state_dict(norm.state_dict())
    norm.groups = twin.num_groups = 2
    values = torch.randn(7, 8)
    expected = torch.cat([twin(values[cells.batch == b].T[None])[0].T for b in range(2)])
    assert torch.allclose(norm(values, cells), expected, atol=1e-5)


def test_corner_values_are_means_over_the_cubes_around_and_empty_is_outside() -> None:
    cells = batch_cells([torch.tensor([[1, 1, 1], [1, 2, 1], [6, 1, 3]]), torch.tensor([[0, 7, 7]])], grid=8)
    raw = torch.randn(4, CUBE_NUMBERS, dtype=torch.float64, requires_grad=True)
    found = cube_values(raw, cells)
    told: dict[tuple[int, ...], list[Tensor]] = {}
    for row, (b, place) in enumerate(zip(cells.batch.tolist(), cells.coords.tolist(), strict=True)):
        for corner in range(8):
            at = (b, *(p + (corner >> axis & 1) for axis, p in enumerate(place)))
            numbers = [raw[row, corner : corner + 1] - 1 / 8, raw[row, 8 + 3 * corner : 11 + 3 * corner]]
            numbers.append(raw[row, 53 + 6 * corner : 59 + 6 * corner])
            told.setdefault(at, []).append(torch.cat(numbers))
    means = {at: torch.stack(rows).mean(dim=0) for at, rows in told.items()}
    for index, at in enumerate(map(tuple, found.grid.points.tolist())):
        assert bool(found.known[index]) == (at in means)
        if at not in means:
            assert found.sdf[index] == OUTSIDE and (found.deform[index] == 0).all()
            continue
        assert torch.allclose(found.sdf[index], means[at][0])
        assert torch.allclose(found.deform[index], means[at][1:4])
        assert torch.allclose(found.attributes[index], torch.sigmoid(means[at][4:]))
    spread = torch.stack([torch.stack(rows).var(dim=0, unbiased=False) for rows in told.values()]).mean()
    assert torch.allclose(found.spread, spread)
    weights = {tuple(found.grid.points[row[0]].tolist()): i for i, row in enumerate(found.grid.corners)}
    for row, (b, place) in enumerate(zip(cells.batch.tolist(), cells.coords.tolist(), strict=True)):
        assert torch.equal(found.weights[weights[b, *place]], raw[row, 32:53])
    assert int((found.weights != 0).any(dim=1).sum()) == 4
    assert torch.isfinite(torch.autograd.grad(found.sdf.sum() + found.spread, raw)[0]).all()


def test_whatever_the_decoder_says_the_mesh_is_closed_even_at_the_cube_s_faces() -> None:
    cells = batch_cells([torch.rand(8, 8, 8).gt(0.7).nonzero() for _ in range(2)], grid=8)
    surface = cube_values(torch.randn(len(cells.coords), CUBE_NUMBERS), cells).surface()
    solid = trimesh.Trimesh(surface.vertices.numpy(), surface.faces.numpy(), process=False)
    assert len(solid.faces) > 1000 and solid.is_watertight and solid.is_winding_consistent
    assert float(surface.attributes.min()) >= 0 and float(surface.attributes.max()) <= 1


def test_the_mesh_head_works_on_a_grid_four_times_as_fine() -> None:
    head, cells = CubeHead(16), _cells()
    found = head(torch.randn(7, 16), cells)
    assert found.grid.resolution == 32 and int(found.known.sum()) <= 7 * 5**3
    # Untrained, every distance is minus a cube's side: each cell is solid, and closed.
    solid = trimesh.Trimesh(
        found.surface().vertices.detach().numpy(), found.surface().faces.numpy(), process=False
    )
    assert solid.is_watertight and solid.volume == pytest.approx(7 / 512, rel=0.8)


def _batch_of(
    preset: StructuredLatentPreset, count: int = 2
) -> tuple[list[LatentObject], StructuredLatentVAE]:
    objects = [
        draw_object(stream=3, index=index, preset=preset, embed=pixel_patches) for index in range(count)
    ]
    return objects, StructuredLatentVAE(preset)


@pytest.mark.parametrize(("preset", "steps"), [(NANO, 20), (SWIN, 8)], ids=["voxels", "cubes"])
def test_a_memorisable_batch_is_learnt(preset: StructuredLatentPreset, steps: int) -> None:
    objects, model = _batch_of(preset, count=1)
    batch, generator = collate(objects, grid=preset.grid), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    totals = []
    for _ in range(steps):
        total = weighted(losses(model, batch, generator))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.85 * totals[0]
    standardise_from(model, objects)
    mean = model.standardise(model.encode(batch.seen, batch.cells)[0])
    assert torch.allclose(mean.mean(dim=0), torch.zeros(preset.channels), atol=1e-4)
    found = evaluate(model, batch)
    assert all(np.isfinite(value) for value in found.values())


def test_perfect_discs_have_no_gaussian_loss_but_their_scale() -> None:
    """One cell whose surface is the plane z = cell centre, and Gaussians that lie on it."""
    cells = batch_cells([torch.tensor([[4, 4, 4]])], grid=8)
    inner = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centre = (torch.tensor([4.0, 4, 4]) * 4 + inner + 0.5) / 32 - 0.5
    height = 18 - (16 + inner[:, 2] + 0.5)
    surface = centre.clone()
    surface[:, 2] = 18 / 32 - 0.5
    targets = CellTargets(
        field=height[None],
        colour=torch.full((1, 64, 3), 0.5),
        surface=surface[None],
        normal=torch.tensor([0.0, 0, 1]).expand(1, 64, 3),
    )
    gaussians = StructuredLatentVAE(NANO).decode(torch.zeros(1, 4), cells)[1]
    flat = replace(
        gaussians,
        positions=surface[height.abs() < 1][None, :4],
        rotations_wxyz=torch.tensor([1.0, 0, 0, 0]).expand(1, 4, 4),
        opacities=torch.full((1, 4), 0.98),
        colours=torch.full((1, 4, 3), 0.5),
    )
    terms = gaussian_loss(flat, targets, grid=8)
    assert float(terms["accurate"]) < 1e-5 and float(terms["flat"]) < 1e-6
    assert float(terms["gaussian_colour"]) < 1e-6


def test_the_cube_loss_by_hand() -> None:
    """One cube at distance one cube too far, one vertex half a cube off, everything else true."""
    cells = batch_cells([torch.tensor([[3, 3, 3]])], grid=8)
    raw = torch.zeros(1, CUBE_NUMBERS)
    decoded = cube_values(raw, cells)
    found = decoded.surface()
    exact = found.vertices.clone()
    exact[0, 2] += 0.5 / 8
    terms = cube_loss(
        decoded,
        found,
        CubeTargets(
            distance=torch.where(decoded.known, 0.0, OUTSIDE),
            surface=exact,
            normal=torch.zeros_like(exact),
            colour=torch.full_like(exact, 0.75),
        ),
    )
    assert float(terms["field"]) == pytest.approx(1.0, abs=1e-5)
    assert float(terms["surface"]) == pytest.approx(0.5 / len(exact), abs=1e-5)
    assert float(terms["colour"]) == pytest.approx(0.25, abs=1e-5) and float(terms["normal"]) < 1e-5
    assert float(terms["weights"]) == 0 and float(terms["spread"]) == 0


def test_the_nearest_surface_is_on_the_surface() -> None:
    objects, _ = _batch_of(NANO, count=1)
    item, near = objects[0].item, objects[0].cells
    points = near.surface[np.abs(near.field) < 0.5][:200]
    again = nearest_surface(item, points + 0.004 * np.random.default_rng(0).normal(size=points.shape))
    assert np.median(np.abs(nearest_surface(item, again.surface).distance)) < 1e-3
    assert np.allclose(np.linalg.norm(again.normal, axis=1), 1, atol=1e-3)


def test_a_surface_of_true_distances_has_no_cube_error() -> None:
    objects, _ = _batch_of(NANO, count=1)
    grid = dense_grid(24)
    places = grid.points[:, 1:].numpy() / 24 - 0.5
    near = nearest_surface(objects[0].item, places)
    found = extract(grid, torch.from_numpy(near.distance))
    off = nearest_surface(objects[0].item, found.vertices.numpy()).distance
    assert np.median(np.abs(off)) < 0.15 / 24


def _depth_of_points(points: Tensor, intrinsics: Tensor, T_camera_object: Tensor, *, size: int) -> Tensor:
    """A (V, size, size) depth buffer from the points themselves: the least depth in each pixel, infinite without."""
    buffers = []
    for camera, pose in zip(intrinsics, T_camera_object, strict=True):
        places, depth = project(points, camera, pose)
        pixel = (places * size).floor()
        held = ((pixel >= 0) & (pixel < size)).all(dim=1) & (depth > 0)
        row = pixel[held].long()
        buffer = depth.new_full((size * size,), torch.inf)
        buffer = buffer.scatter_reduce(0, row[:, 1] * size + row[:, 0], depth[held], "amin")
        buffers.append(buffer.view(size, size))
    return torch.stack(buffers)


def _two_walls() -> tuple[FeatureViews, Tensor]:
    """Two cameras that face each other along z, and points on a wall in front of each."""
    front = torch.eye(4)
    front[2, 3] = 2.0
    back = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    back[2, 3] = 2.0
    poses, intrinsics = torch.stack([front, back]), torch.tensor([[1.0, 1.0, 0.5, 0.5]] * 2)
    features = torch.stack([torch.full((1, 4, 4), 1.0), torch.full((1, 4, 4), 5.0)])
    points = torch.tensor([[0.1, 0.05, -0.4], [0.1, 0.05, 0.4], [0.2, -0.1, 0.39]])
    depth = _depth_of_points(points, intrinsics, poses, size=8)
    return FeatureViews(features=features, depth=depth, intrinsics=intrinsics, T_camera_object=poses), points


def test_a_point_takes_the_features_of_the_views_that_see_it_and_not_of_those_it_is_hidden_from() -> None:
    views, points = _two_walls()
    found = gather_view_features(points, views, tolerance=0.05)
    # The first hides the second from the front camera and is hidden from the back; the third is in nobody's way.
    assert found.times_seen.tolist() == [1, 1, 2]
    assert torch.allclose(found.features[:, 0], torch.tensor([1.0, 5.0, 3.0]))
    assert found.unseen == 0
    assert gather_view_features(points, views, tolerance=1.0).times_seen.tolist() == [2, 2, 2]


def test_a_point_that_no_view_sees_has_the_mean_of_all_and_is_counted() -> None:
    views, points = _two_walls()
    blocked = replace(views, depth=torch.zeros_like(views.depth))
    found = gather_view_features(points, blocked)
    assert found.unseen == 3 and torch.allclose(found.features, torch.tensor(3.0))
    outside = gather_view_features(torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, -2.0]]), views)
    assert outside.times_seen.tolist() == [0, 1] and torch.isfinite(outside.features).all()


def test_gathered_features_and_their_gradients_are_the_plain_twin_s() -> None:
    views, _ = _two_walls()
    features = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    views = replace(views, features=features)
    points = torch.rand(40, 3, dtype=torch.float64) * 1.4 - 0.7
    depth = _depth_of_points(points, views.intrinsics, views.T_camera_object, size=6)
    views = replace(views, depth=depth)
    fast = gather_view_features(points, views, tolerance=0.1)
    plain, times = _gathered_plainly(points, views, tolerance=0.1)
    assert fast.times_seen.tolist() == times and 0 < fast.unseen < 40
    assert torch.allclose(fast.features, plain, atol=1e-10)
    weight = torch.randn_like(plain)
    mine, theirs = (torch.autograd.grad((one * weight).sum(), features)[0] for one in (fast.features, plain))
    assert torch.allclose(mine, theirs, atol=1e-10)


def _gathered_plainly(points: Tensor, views: FeatureViews, *, tolerance: float) -> tuple[Tensor, list[int]]:
    rows, times = [], []
    _, _, height, width = views.features.shape
    side = views.depth.shape[-1]
    for point in points:
        seen, every = [], []
        for v in range(len(views.features)):
            pose, (fx, fy, cx, cy) = views.T_camera_object[v].double(), views.intrinsics[v].double()
            x, y, z = pose[:3, :3] @ point + pose[:3, 3]
            u, w = float(fx * x / z + cx), float(fy * y / z + cy)
            column = min(max(u * width - 0.5, 0.0), width - 1.0)
            row = min(max(w * height - 0.5, 0.0), height - 1.0)
            left, top = min(int(column), width - 2), min(int(row), height - 2)
            a, b, m = column - left, row - top, views.features[v]
            upper = (1 - a) * m[:, top, left] + a * m[:, top, left + 1]
            lower = (1 - a) * m[:, top + 1, left] + a * m[:, top + 1, left + 1]
            every.append((1 - b) * upper + b * lower)
            if 0 <= u < 1 and 0 <= w < 1 and z > 0:
                nearest = views.depth[v, int(w * side), int(u * side)]
                if float(z) <= float(nearest) + tolerance:
                    seen.append(every[-1])
        times.append(len(seen))
        rows.append(torch.stack(seen or every).mean(dim=0))
    return torch.stack(rows), times


def test_views_that_do_not_fit_together_are_refused() -> None:
    views, points = _two_walls()
    with pytest.raises(ValueError, match="2 views"):
        replace(views, intrinsics=views.intrinsics[:1])
    with pytest.raises(ValueError, match="tolerance"):
        gather_view_features(points, views, tolerance=-1.0)


def test_colours_gathered_from_the_pictures_that_see_a_point_are_the_object_s() -> None:
    """Pictures, depth and cameras agree with the object; without regard to what hides a point they would not."""
    one = _batch_of(NANO, count=2)[0][1]
    shown = np.abs(one.cells.field) < 0.5
    points, colours = torch.from_numpy(one.cells.surface[shown]), one.cells.colour[shown]
    views = feature_views(object_views(one.item, num_views=12, size=96), lambda pictures: pictures)
    errors = []
    for tolerance in (0.02, 9.0):
        found = gather_view_features(points, views, tolerance=tolerance)
        seen = (found.times_seen > 1).numpy()
        errors.append(np.median(np.abs((found.features.numpy() + 1) / 2 - colours)[seen]))
        assert seen.mean() > 0.6
    assert errors[0] < 0.01
    assert errors[1] > 0.03


def test_an_encoder_of_views_trains_on_their_features() -> None:
    preset = replace(SWIN, features="views", feature_width=48)
    objects, model = _batch_of(preset, count=1)
    assert objects[0].features is not None and objects[0].features.shape == (len(objects[0].cells.coords), 48)
    batch = collate(objects, grid=preset.grid)
    weighted(losses(model, batch, torch.Generator().manual_seed(0))).backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())
    with pytest.raises(ValueError, match="embedder"):
        draw_object(stream=3, index=0, preset=preset)


def test_content_of_another_shape_is_refused() -> None:
    with pytest.raises(AssertionError):
        StructuredLatentVAE(NANO).encode(
            CellContent(field=torch.zeros(7, 8), colour=torch.zeros(7, 8, 3)), _cells()
        )
