"""Attention within sequences of rows that lie packed, not padded; the back end follows from device and type.

``attend_packed`` is the call; ``plain`` is its twin, one softmax a sequence, that the others are tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.attention.varlen import varlen_attn

from modelzoo.models.cells import CellBatch

Backend = Literal["varlen", "flex", "padded", "looped", "plain"]
FlexKernel = Callable[..., Tensor]
VARLEN_HEAD_LIMIT = 256  # channels of a head that flash attention takes
PADDING_LIMIT = 1.5  # padded scores over real ones, above which a loop over sequences costs less
FLEX_BLOCK = 128  # rows
NORM_EPS = 1e-12
LOOP_LIMIT = 64  # sequences; more of them are better padded than called one by one


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """N rows cut into S sequences, each of which attends within itself.

    ``bounds`` (S + 1,) int32, where each begins, rising from 0 to N; ``lengths`` the same on the host; ``order`` (N,)
    the row that stands at each place, or None where the rows already lie sequence by sequence.
    """

    bounds: Tensor
    lengths: tuple[int, ...]
    order: Tensor | None = None

    @property
    def rows(self) -> int:
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def owner(self) -> Tensor:
        """(N,) the sequence of each place."""
        counts = self.bounds.diff().long()
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)

    @cached_property
    def slots(self) -> Tensor:
        """(N,) each place's index in a padded S x longest table."""
        inside = torch.arange(self.rows, device=self.bounds.device) - self.bounds[self.owner]
        return self.owner * self.longest + inside

    @cached_property
    def back(self) -> Tensor:
        """(N,) the place of each row."""
        assert self.order is not None
        return torch.argsort(self.order)


def sequences_of(lengths: list[int], *, device: torch.device, order: Tensor | None = None) -> Sequences:
    """Sequences of these lengths, one after the other. ValueError when one is empty."""
    if not lengths or min(lengths) < 1:
        raise ValueError("every sequence needs at least one row")
    bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return Sequences(bounds=bounds.to(device), lengths=tuple(lengths), order=order)


def object_sequences(cells: CellBatch) -> Sequences:
    """All cells of an object attend to each other."""
    return sequences_of(cells.counts, device=cells.coords.device)


def even_sequences(count: int, length: int, *, device: torch.device) -> Sequences:
    """``count`` sequences of one length: the packed rows of a plain (count, length, ...) tensor."""
    return sequences_of([length] * count, device=device)


def window_sequences(cells: CellBatch, *, window: int, shift: int) -> Sequences:
    """Cells of one object within the same cubic window attend to each other.

    Windows are ``window`` cells a side and begin at multiples of it minus ``shift`` (Liu et al. 2021, in 3-D).
    ValueError unless 0 <= shift < window.
    """
    if window < 1 or not 0 <= shift < window:
        raise ValueError(f"a shift of {shift} does not fit windows of {window}")
    side = cells.grid // window + 2
    place = (cells.coords + shift) // window
    keys = ((cells.batch * side + place[:, 0]) * side + place[:, 1]) * side + place[:, 2]
    order = torch.argsort(keys, stable=True)
    lengths = torch.unique_consecutive(keys[order], return_counts=True)[1]
    return sequences_of(lengths.tolist(), device=keys.device, order=order)


def attend_packed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sequences: Sequences,
    *,
    key_sequences: Sequences | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Softmax attention within each sequence: q (N, H, D), k and v (M, H, D), all in row order, to (N, H, D).

    Queries of sequence i see the keys of sequence i; without ``key_sequences`` both are cut alike. A ``backend`` is
    named by tests and benchmarks only; ValueError when the device cannot use it.
    """
    keys = sequences if key_sequences is None else key_sequences
    assert q.ndim == 3 and k.shape == v.shape and q.shape[1:] == k.shape[1:], (q.shape, k.shape, v.shape)
    if len(q) != sequences.rows or len(k) != keys.rows or len(sequences.lengths) != len(keys.lengths):
        raise ValueError(f"{len(q)} queries and {len(k)} keys do not fit their sequences")
    usable = usable_backends(q.device, q.dtype)
    if backend is not None and backend not in usable:
        raise ValueError(
            f"no back end {backend!r} for {q.dtype} on {q.device}; there are {', '.join(usable)}"
        )
    chosen = backend or _chosen(usable, sequences, keys, head=q.shape[2])
    q = q if sequences.order is None else q[sequences.order]
    if keys.order is not None:
        k, v = k[keys.order], v[keys.order]
    out = _KERNELS[chosen](q, k, v, sequences, keys)
    return out if sequences.order is None else out[sequences.back]


def usable_backends(device: torch.device, dtype: torch.dtype) -> tuple[Backend, ...]:
    """What attention can run on here, the preferred first. All compute the same."""
    everywhere: tuple[Backend, ...] = ("padded", "looped", "plain")
    if device.type != "cuda":
        return everywhere
    ampere = torch.cuda.get_device_capability(device) >= (8, 0)
    varlen: tuple[Backend, ...] = ()
    if ampere and dtype in (torch.float16, torch.bfloat16):
        varlen = ("varlen",)
    flex: tuple[Backend, ...] = ("flex",) if ampere and find_spec("triton") else ()
    return (*varlen, *flex, *everywhere)


def _chosen(usable: tuple[Backend, ...], queries: Sequences, keys: Sequences, *, head: int) -> Backend:
    if "varlen" in usable and head <= VARLEN_HEAD_LIMIT and head % 8 == 0:
        return "varlen"
    padded = len(queries.lengths) * queries.longest * keys.longest
    real = sum(a * b for a, b in zip(queries.lengths, keys.lengths, strict=True))
    if padded <= PADDING_LIMIT * real:
        return "padded"
    if "flex" in usable:
        return "flex"
    return "looped" if len(queries.lengths) <= LOOP_LIMIT else "padded"


def plain(q: Tensor, k: Tensor, v: Tensor, queries: Sequences, keys: Sequences) -> Tensor:
    """Softmax (q k^T / sqrt(D)) v written out, sequence by sequence, on rows in order of sequences."""
    made = []
    for own, others, values in _pieces(q, k, v, queries, keys):
        scores = torch.einsum("nhd,mhd->hnm", own, others) / own.shape[-1] ** 0.5
        made.append(torch.einsum("hnm,mhd->nhd", scores.softmax(dim=-1), values))
    return torch.cat(made)


def looped(q: Tensor, k: Tensor, v: Tensor, queries: Sequences, keys: Sequences) -> Tensor:
    """One fused attention a sequence."""
    made = []
    for piece in _pieces(q, k, v, queries, keys):
        own, others, values = (part.transpose(0, 1)[None] for part in piece)
        made.append(F.scaled_dot_product_attention(own, others, values)[0].transpose(0, 1))
    return torch.cat(made)


def padded(q: Tensor, k: Tensor, v: Tensor, queries: Sequences, keys: Sequences) -> Tensor:
    """All sequences padded to the longest, in one fused attention under a mask."""
    mask = None
    if len(set(keys.lengths)) > 1:
        place = torch.arange(keys.longest, device=q.device)
        mask = (place < keys.bounds.diff()[:, None])[:, None, None]
    out = F.scaled_dot_product_attention(
        _padded_table(q, queries), _padded_table(k, keys), _padded_table(v, keys), attn_mask=mask
    )
    return out.transpose(1, 2).flatten(0, 1)[queries.slots]


def varlen(q: Tensor, k: Tensor, v: Tensor, queries: Sequences, keys: Sequences) -> Tensor:
    """Flash attention over packed rows: CUDA, half precision."""
    out = varlen_attn(q, k, v, queries.bounds, keys.bounds, queries.longest, keys.longest)
    assert isinstance(out, Tensor)
    return out


def flex(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    queries: Sequences,
    keys: Sequences,
    *,
    kernel: FlexKernel | None = None,
) -> Tensor:
    """One attention over all rows under a block mask of sequences; ``kernel`` is compiled unless given."""
    mask = _block_mask(queries, keys)
    heads_first = [part.transpose(0, 1)[None] for part in (q, k, v)]
    out = (kernel or _compiled_flex())(*heads_first, block_mask=mask)
    return out[0].transpose(0, 1)


@cache
def _compiled_flex() -> FlexKernel:
    return torch.compile(flex_attention, dynamic=True)


def _block_mask(queries: Sequences, keys: Sequences) -> BlockMask:
    """Of each block of queries the run of key blocks that its sequences span; inside, sequences are compared."""
    of_query, of_key = queries.owner, keys.owner
    starts = torch.arange(0, queries.rows, FLEX_BLOCK, device=of_query.device)
    last = (starts + FLEX_BLOCK - 1).clamp(max=queries.rows - 1)
    first_block = keys.bounds[of_query[starts]] // FLEX_BLOCK
    stop_block = (keys.bounds[of_query[last] + 1] + FLEX_BLOCK - 1) // FLEX_BLOCK
    num_blocks = -(-keys.rows // FLEX_BLOCK)
    run = torch.arange(num_blocks, device=of_query.device)
    indices = (first_block[:, None] + run).clamp(max=num_blocks - 1)

    def same_sequence(batch: Tensor, head: Tensor, at_query: Tensor, at_key: Tensor) -> Tensor:
        return of_query[at_query] == of_key[at_key]

    return BlockMask.from_kv_blocks(
        (stop_block - first_block)[None, None].to(torch.int32),
        indices[None, None].to(torch.int32),
        BLOCK_SIZE=FLEX_BLOCK,
        mask_mod=same_sequence,
        seq_lengths=(queries.rows, keys.rows),
    )


def _pieces(
    q: Tensor, k: Tensor, v: Tensor, queries: Sequences, keys: Sequences
) -> list[tuple[Tensor, Tensor, Tensor]]:
    own, others = q.split(list(queries.lengths)), k.split(list(keys.lengths))
    return list(zip(own, others, v.split(list(keys.lengths)), strict=True))


def _padded_table(rows: Tensor, sequences: Sequences) -> Tensor:
    """(N, H, D) as (S, H, longest, D), zero where there is no row."""
    count, longest = len(sequences.lengths), sequences.longest
    if count * longest == len(rows):
        return rows.view(count, longest, *rows.shape[1:]).transpose(1, 2)
    table = rows.new_zeros(count * longest, *rows.shape[1:]).index_copy(0, sequences.slots, rows)
    return table.view(count, longest, *rows.shape[1:]).transpose(1, 2)


_KERNELS: dict[Backend, Callable[[Tensor, Tensor, Tensor, Sequences, Sequences], Tensor]] = {
    "varlen": varlen,
    "flex": flex,
    "padded": padded,
    "looped": looped,
    "plain": plain,
}


class HeadNorm(nn.Module):
    """RMS normalisation of queries or keys, with a gain for each head and channel."""

    def __init__(self, heads: int, head_width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(heads, head_width))

    def forward(self, values: Tensor) -> Tensor:
        """(..., heads, head_width), in shape and type as it was, also under autocast."""
        return (F.rms_norm(values, values.shape[-1:], eps=NORM_EPS) * self.gain).to(values.dtype)
