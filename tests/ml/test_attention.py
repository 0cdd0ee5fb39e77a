"""Every attention back end against one softmax a sequence, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from modelzoo.models.attention import (
    Backend,
    HeadNorm,
    Sequences,
    attend_packed,
    even_sequences,
    flex,
    object_sequences,
    plain,
    sequences_of,
    usable_backends,
    window_sequences,
)
from modelzoo.models.cells import CellBatch, batch_cells

CPU = torch.device("cpu")
Rows = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _cells(device: torch.device = CPU) -> CellBatch:
    return batch_cells([torch.rand(8, 8, 8, device=device).gt(0.8).nonzero() for _ in range(3)], grid=8)


def _rows(count: int, *, width: int = 8, device: torch.device = CPU) -> Rows:
    q, k, v = torch.randn(3, count, 2, width, device=device)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def _with_gradients(rows: Rows, out: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), device=out.device).view(out.shape)
    return [out, *torch.autograd.grad((out * weight).sum(), rows)]


@pytest.mark.parametrize("backend", ["padded", "looped"])
@pytest.mark.parametrize("cut", ["objects", "windows", "even"])
def test_a_back_end_has_the_values_and_gradients_of_the_plain_loop(backend: Backend, cut: str) -> None:
    cells = _cells()
    count = len(cells.coords) // 4 * 4
    sequences = {
        "objects": object_sequences(cells),
        "windows": window_sequences(cells, window=4, shift=2),
        "even": even_sequences(4, count // 4, device=CPU),
    }[cut]
    rows = _rows(sequences.rows)
    expected = _with_gradients(rows, attend_packed(*rows, sequences, backend="plain"))
    found = _with_gradients(rows, attend_packed(*rows, sequences, backend=backend))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("backend", ["padded", "looped", "plain"])
def test_queries_see_the_keys_of_their_own_sequence_only(backend: Backend) -> None:
    queries, keys = sequences_of([2, 5], device=CPU), sequences_of([4, 3], device=CPU)
    q, k, v = torch.randn(7, 2, 8), torch.randn(7, 2, 8), torch.randn(7, 2, 8)
    out = attend_packed(q, k, v, queries, key_sequences=keys, backend=backend)
    scores = torch.einsum("nhd,mhd->hnm", q[2:], k[4:]) / 8**0.5
    assert torch.allclose(out[2:], torch.einsum("hnm,mhd->nhd", scores.softmax(-1), v[4:]), atol=1e-5)


def test_flex_attention_under_its_block_mask_equals_the_plain_loop_across_blocks() -> None:
    """The kernel that a GPU compiles, run eagerly and forwards (it has no gradients on a CPU), over blocks of 128."""
    sequences, keys = sequences_of([100, 3, 150, 60], device=CPU), sequences_of([20, 200, 1, 90], device=CPU)
    q, k, v = torch.randn(313, 2, 8), torch.randn(311, 2, 8), torch.randn(311, 2, 8)
    found = flex(q, k, v, sequences, keys, kernel=flex_attention)
    assert torch.allclose(found, plain(q, k, v, sequences, keys), atol=1e-5)


def test_a_window_s_cells_are_of_one_object_and_one_shifted_cube() -> None:
    cells = _cells()
    windows = window_sequences(cells, window=4, shift=2)
    assert windows.order is not None and sorted(windows.order.tolist()) == list(range(len(cells.coords)))
    seen: set[tuple[int, ...]] = set()
    for rows in windows.order.split(list(windows.lengths)):
        places = torch.cat([cells.batch[rows, None], (cells.coords[rows] + 2) // 4], dim=1).unique(dim=0)
        assert len(places) == 1
        assert tuple(places[0].tolist()) not in seen
        seen.add(tuple(places[0].tolist()))


def test_window_attention_does_not_depend_on_the_order_of_the_cells() -> None:
    coords = torch.rand(8, 8, 8).gt(0.7).nonzero()
    order = torch.randperm(len(coords))
    q, k, v = _rows(len(coords))
    cells, shuffled = batch_cells([coords], grid=8), batch_cells([coords[order]], grid=8)
    one = attend_packed(q, k, v, window_sequences(cells, window=4, shift=0))
    moved = window_sequences(shuffled, window=4, shift=0)
    other = attend_packed(q[order], k[order], v[order], moved)
    assert torch.allclose(one[order], other, atol=1e-5)


def test_bad_sequences_and_back_ends_are_refused_by_name() -> None:
    rows = torch.randn(4, 2, 8)
    sequences = sequences_of([3, 1], device=CPU)
    with pytest.raises(ValueError, match="do not fit"):
        attend_packed(rows[:3], rows[:3], rows[:3], sequences)
    with pytest.raises(ValueError, match="no back end 'varlen'"):
        attend_packed(rows, rows, rows, sequences, backend="varlen")
    with pytest.raises(ValueError, match="at least one row"):
        sequences_of([3, 0], device=CPU)
    with pytest.raises(ValueError, match="does not fit windows"):
        window_sequences(_cells(), window=4, shift=4)


def test_head_norm_gives_every_head_unit_mean_square_times_its_gain() -> None:
    norm = HeadNorm(3, 16)
    with torch.no_grad():
        norm.gain[1] = 2.0
    size = norm(5 * torch.randn(10, 3, 16)).square().mean(dim=-1)
    assert torch.allclose(size, torch.tensor([1.0, 4.0, 1.0]).expand(10, 3), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_back_end_of_a_gpu_has_the_values_and_gradients_of_the_plain_loop(dtype: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    device = torch.device("cuda")
    sequences: Sequences = window_sequences(_cells(device), window=4, shift=2)
    exact = _rows(sequences.rows, width=64, device=device)
    q, k, v = (row.detach().to(dtype).requires_grad_() for row in exact)
    expected = _with_gradients(exact, attend_packed(*exact, sequences, backend="plain"))
    tolerance = 5e-3 if dtype == torch.float32 else 6e-2
    for backend in usable_backends(device, dtype):
        found = _with_gradients((q, k, v), attend_packed(q, k, v, sequences, backend=backend))
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one.float(), other, atol=tolerance, rtol=tolerance), backend
