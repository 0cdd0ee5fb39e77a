"""The kernel's tie between a parent and its child: children that outlive nobody, strays that are found and ended."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(sent: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` after which the kernel sends the child `sent` when the thread that started it ends.

    Holds even when the parent is killed with -9. Start such children from the main thread: a pool thread may end.
    """
    parent = os.getpid()

    def tie() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(sent))
        if os.getppid() != parent:
            os._exit(1)

    return tie


def die_with_my_parent(sent: signal.Signals = signal.SIGTERM) -> None:
    """Tie the calling process itself to whoever started it."""
    _libc.prctl(PR_SET_PDEATHSIG, int(sent))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that `end_strays` can find it."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_strays(known: set[int]) -> int:
    """Kill and reap this process's children that are not in `known`; returns how many there were."""
    strays = [child for child in _children() if child not in known]
    for child in strays:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
    return len(strays)


def _children() -> list[int]:
    return [
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent_of(path) == os.getpid()
    ]


def _parent_of(path: Path) -> int | None:
    try:
        # The command's name stands in brackets and may itself hold brackets: the parent is the second word after it.
        return int(path.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
