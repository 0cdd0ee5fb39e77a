"""What preparing many examples leaves in pieces goes back to the system."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.memory import EVERY, give_back, tidily


def resident() -> int:
    """Bytes of this process in memory."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def test_gaps_between_kept_pieces_are_given_back() -> None:
    large, kept = [], []
    for _ in range(2000):  # below the size that the allocator asks the system for one by one
        large.append(np.ones(12_000))
        kept.append(np.ones(40))
    size, before = sum(one.nbytes for one in large), resident()
    large.clear()
    give_back()
    assert before - resident() > 0.5 * size
    assert all(one.sum() == 40 for one in kept)


def test_everything_comes_through_in_order() -> None:
    assert list(tidily(range(3 * EVERY + 1))) == list(range(3 * EVERY + 1))
