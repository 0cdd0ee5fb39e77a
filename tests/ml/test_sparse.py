"""Active cells and the layers over them: against dense convolutions, and unmoved by the order of the cells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modelzoo.models.cells import (
    CUBE,
    FACES,
    CellBatch,
    active_cells,
    batch_cells,
    enclosed,
    gather_voxels,
    neighbours_by_search,
    neighbours_by_table,
    scatter_voxels,
)
from modelzoo.models.sparse import (
    CellConv,
    convolved_at_once,
    convolved_by_neighbour,
    pool_to_parents,
    spread_to_children,
    spread_to_octants,
    subdivide,
)
from tests.ml.few_cells import few_cells


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _dense_twin(conv: CellConv, values: Tensor, cells: CellBatch) -> Tensor:
    """torch's dense convolution of the one object's grid, read at its active cells."""
    out, reach = conv.linear.out_features, conv.reach
    weight = values.new_zeros(out, 27, values.shape[1])
    weight[:, reach] = conv.linear.weight.view(out, len(reach), -1)
    kernel = weight.view(out, 3, 3, 3, -1).permute(0, 4, 1, 2, 3)
    x, y, z = cells.coords.unbind(dim=1)
    dense = values.new_zeros(values.shape[1], *[cells.grid] * 3)
    dense[:, x, y, z] = values.T
    found = nn.functional.conv3d(dense[None], kernel, conv.linear.bias, padding=1)[0]
    return found[:, x, y, z].T


@pytest.mark.parametrize("reach", [CUBE, FACES])
def test_a_sparse_convolution_has_the_dense_one_s_values_and_gradients(reach: tuple[int, ...]) -> None:
    cells = batch_cells([torch.rand(8, 8, 8).gt(0.6).nonzero()], grid=8)
    conv = CellConv(3, 5, reach=reach)
    values = torch.randn(len(cells.coords), 3, requires_grad=True)
    inputs = [values, conv.linear.weight, conv.linear.bias]
    found, expected = conv(values, cells), _dense_twin(conv, values, cells)
    assert torch.allclose(found, expected, atol=1e-4)
    weight = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad((found * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-3)


def test_a_product_a_neighbour_equals_one_product_over_all() -> None:
    cells = batch_cells([torch.rand(8, 8, 8).gt(0.7).nonzero() for _ in range(2)], grid=8)
    conv = CellConv(4, 6)
    values = torch.randn(len(cells.coords), 4, requires_grad=True)
    inputs = [values, conv.linear.weight, conv.linear.bias]
    outs = [f(values, cells.neighbours, conv.linear) for f in (convolved_at_once, convolved_by_neighbour)]
    assert torch.allclose(outs[0], outs[1], atol=1e-5)
    grads = [torch.autograd.grad(out.square().sum(), inputs) for out in outs]
    assert all(torch.allclose(one, other, atol=1e-3) for one, other in zip(*grads, strict=True))


def test_a_product_a_neighbour_also_works_in_half_precision() -> None:
    cells = batch_cells([torch.rand(8, 8, 8).gt(0.7).nonzero()], grid=8)
    conv, values = CellConv(4, 6), torch.randn(len(cells.coords), 4)
    exact = convolved_at_once(values, cells.neighbours, conv.linear)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = convolved_by_neighbour(values, cells.neighbours, conv.linear)
    assert torch.allclose(rough, exact, atol=0.05)


def test_neighbours_found_by_search_are_those_of_the_table() -> None:
    cells = batch_cells([torch.rand(8, 8, 8).gt(0.7).nonzero() for _ in range(3)], grid=8)
    assert torch.equal(neighbours_by_search(cells), neighbours_by_table(cells))
    assert int((cells.neighbours < len(cells.coords)).sum()) > 3 * len(cells.coords)


def test_cells_of_one_object_are_never_neighbours_or_siblings_of_another_s() -> None:
    together, alone = few_cells(), batch_cells([torch.tensor([[7, 7, 7]])], grid=8)
    assert together.neighbours[3].tolist() == [3 if n == 0 else 4 for n in alone.neighbours[0].tolist()]
    pooled = pool_to_parents(together, torch.arange(4.0)[:, None])
    assert pooled[:, 0].tolist() == [0.5, 2.0, 3.0]
    assert together.coarser.coords.tolist() == [[0, 0, 0], [2, 2, 2], [3, 3, 3]]
    assert together.coarser.batch.tolist() == [0, 0, 1] and together.coarser.grid == 4
    assert spread_to_children(together, pooled)[:, 0].tolist() == [0.5, 0.5, 2.0, 3.0]


def test_a_subdivided_cell_gives_its_eight_children_and_they_pool_to_it_again() -> None:
    cells = few_cells()
    finer = subdivide(cells)
    assert finer.grid == 16 and len(finer.coords) == 32
    assert finer.coords[16:24].tolist() == [
        [10 + x, 10 + y, 10 + z] for x in (0, 1) for y in (0, 1) for z in (0, 1)
    ]
    values = torch.randn(4, 5)
    pooled = pool_to_parents(finer, spread_to_octants(values))
    order = torch.argsort(finer.parent[::8])
    assert torch.allclose(pooled, values[order]) and torch.equal(finer.coarser.coords, cells.coords[order])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), fill=st.floats(0.05, 0.9))
def test_permuting_the_cells_permutes_the_outputs(seed: int, fill: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    coords = torch.rand(4, 4, 4, generator=rng).lt(fill).nonzero()
    if not len(coords):
        return
    order = torch.randperm(len(coords), generator=rng)
    cells, shuffled = batch_cells([coords], grid=4), batch_cells([coords[order]], grid=4)
    conv, values = CellConv(3, 4), torch.randn(len(coords), 3, generator=rng)

    def through(at: CellBatch, rows: Tensor) -> Tensor:
        return spread_to_children(at, pool_to_parents(at, conv(rows, at)))

    assert torch.allclose(through(cells, values)[order], through(shuffled, values[order]), atol=1e-5)


def test_cells_outside_the_grid_and_objects_without_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="must lie in the grid"):
        batch_cells([torch.tensor([[0, 0, 8]])], grid=8)
    with pytest.raises(ValueError, match="every object needs"):
        batch_cells([torch.tensor([[0, 0, 0]]), torch.zeros(0, 3)], grid=8)


def test_voxels_gathered_and_scattered_are_the_volume_again() -> None:
    volume, cells = torch.randn(2, 32, 32, 32), few_cells()
    voxels = gather_voxels(volume, cells)
    assert torch.equal(voxels[2].view(4, 4, 4), volume[0, 20:24, 20:24, 20:24])
    assert torch.equal(scatter_voxels(voxels, cells, volume), volume)
    assert int((scatter_voxels(voxels * 0, cells, volume) == 0).sum()) == 4 * 64


def test_enclosed_voxels_are_those_that_a_pooled_cube_would_keep() -> None:
    solid = torch.rand((3, 12, 12, 12), generator=torch.Generator().manual_seed(0)) > 0.05
    padded = nn.functional.pad(solid[:, None].float(), [1] * 6)
    pooled = -nn.functional.max_pool3d(-padded, 3, stride=1)[:, 0] > 0.5
    assert torch.equal(enclosed(solid), pooled) and 0 < int(pooled.sum()) < int(solid.sum())
    assert int(enclosed(torch.ones((1, 4, 4, 4), dtype=torch.bool)).sum()) == 8  # outside nothing is solid


def test_active_cells_are_those_at_the_surface_and_their_number_is_capped() -> None:
    solid = torch.zeros(2, 32, 32, 32, dtype=torch.bool)
    solid[0, 8:24, 8:24, 8:24] = True
    full, empty = active_cells(solid, grid=8, max_cells=1000)
    assert [3, 3, 3] not in full.tolist() and [2, 2, 2] in full.tolist() and [1, 2, 2] in full.tolist()
    assert empty.tolist() == [[4, 4, 4]]
    assert len(active_cells(solid, grid=8, max_cells=10)[0]) == 10
