"""One random generator per candidate: its noise follows from its seed alone, on any device and in any company."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def candidate_generator(seed: int, *, attempt: int = 0) -> torch.Generator:
    """The generator of a candidate. Drawing is always on the CPU, so that every device starts from the same noise.

    ``attempt`` > 0 is for a candidate that came out non-finite: another stream, which follows from the same seed.
    """
    if attempt == 0:
        return torch.Generator().manual_seed(seed)
    digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def draw_noise(
    generators: Sequence[torch.Generator], shape: Sequence[int], *, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal noise, one row (of ``shape``) from each generator, on ``device``."""
    return torch.stack([torch.randn(tuple(shape), generator=one) for one in generators]).to(device)
