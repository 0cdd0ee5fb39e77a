"""Peak memory of a piece of work: of the process on a CPU, of the allocator on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5)

if sys.platform != "win32":
    import resource


@dataclass(kw_only=True)
class Peak:
    """``bytes`` is filled when the work ends. On a CPU it counts everything the process holds."""

    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Watches what the block needs at most. Where the system keeps no resettable peak, it is the process's so far."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _reset()
    try:
        yield peak
    finally:
        peak.bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _highest()


def _reset() -> None:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return  # not Linux, or not allowed: the peak is then the process's own


def _highest() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
