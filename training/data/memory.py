"""Memory that the allocator holds in pieces goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

EVERY = 64  # items between two times

_Item = TypeVar("_Item")


def tidily(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items; what they left in pieces is given back from time to time.

    Preparing an example takes large arrays and keeps small ones. The allocator cannot use the gaps between those again:
    2 060 pairs held 13 GB of which they used 1.
    """
    for number, item in enumerate(items, start=1):
        yield item
        if number % EVERY == 0:
            give_back()


def give_back() -> None:
    """Frees the pages in the allocator's gaps; does nothing where the C library cannot."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
