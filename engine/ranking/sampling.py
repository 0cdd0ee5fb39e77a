"""In which order targets are worked on: classes in turn, towards the rare and the poorly solved, easy ones first."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: A target is easy when its mask fills this share of the photograph, of middling difficulty from the second on.
EASY_FROM, MIDDLING_FROM = 0.05, 0.01
LEVELS = (1, 2, 3)
#: What makes a target one level harder.
HARDER = frozenset({"occluded", "truncated"})

#: How many tasks each band takes, the first one served first: small where the order matters soon.
BAND_SIZES = (16, 16, 32, 32, 64, 64, 128, 256, 512)
TOP_BAND = len(BAND_SIZES)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A task that waits. ``is_unsettled``: people judged it and it is open; ``is_uncertain``: the model is unsure."""

    id: int
    class_name: str
    level: int
    is_unsettled: bool = False
    is_uncertain: bool = False


@dataclass(frozen=True, kw_only=True)
class ClassRecord:
    """What was done of a class so far: tasks judged, and of ``num_tried`` picks how many reached the bar."""

    num_judged: int = 0
    num_tried: int = 0
    num_passing: int = 0


def difficulty(*, area_share: float, flags: Iterable[str]) -> int:
    """1 easy, 2 middling, 3 hard: by the share of the photograph that the mask fills, one more when part is hidden."""
    level = 1 if area_share >= EASY_FROM else 2 if area_share >= MIDDLING_FROM else 3
    return min(max(LEVELS), level + bool(HARDER & set(flags)))


def class_shares(records: Mapping[str, ClassRecord], *, present: Iterable[str]) -> dict[str, float]:
    """The share of all work that each class ``present`` in the queue should get; they sum to 1.

    All alike, and up to twice as much where few of its picks reach the bar (the mean of a Beta posterior, so that a
    class nobody has tried yet counts as half solved).
    """
    weights = {}
    for name in set(present):
        record = records.get(name, ClassRecord())
        solved = (record.num_passing + 1) / (record.num_tried + 2)
        weights[name] = 2.0 - solved
    total = sum(weights.values())
    return {name: weight / total for name, weight in sorted(weights.items())}


def order(
    waiting: Sequence[Waiting], records: Mapping[str, ClassRecord], *, easy_first: bool = False
) -> list[int]:
    """Ids of the tasks, first to last.

    Unsettled ones come first. Then fair queueing (Demers et al. 1989): the k-th task of a class that has been judged
    s times and should get the share p is due at (s + k) / p, so that rare classes catch up with common ones. Within a
    class uncertain ones come first, then with ``easy_first`` lower levels, then older ones.
    """
    unsettled = sorted(task.id for task in waiting if task.is_unsettled)
    by_class: dict[str, list[Waiting]] = defaultdict(list)
    for task in waiting:
        if not task.is_unsettled:
            by_class[task.class_name].append(task)
    shares = class_shares(records, present=by_class)
    due: list[tuple[float, str, int]] = []
    for name, tasks in by_class.items():
        judged = records.get(name, ClassRecord()).num_judged
        tasks.sort(key=lambda task: (not task.is_uncertain, task.level if easy_first else 0, task.id))
        due += [((judged + place) / shares[name], name, task.id) for place, task in enumerate(tasks, start=1)]
    return unsettled + [number for _, _, number in sorted(due)]


def bands(ordered: Sequence[int]) -> dict[int, list[int]]:
    """Priority > its tasks, TOP_BAND down to 1; what comes after the last band is in none."""
    found, start = {}, 0
    for step, size in enumerate(BAND_SIZES):
        if chosen := list(ordered[start : start + size]):
            found[TOP_BAND - step] = chosen
        start += size
    return found


def total_variation(one: Mapping[str, int], other: Mapping[str, int]) -> float | None:
    """How far two tallies lie apart, from 0 (same shares) to 1 (nothing in common); None when one is empty."""
    first, second = sum(one.values()), sum(other.values())
    if not first or not second:
        return None
    names = {*one, *other}
    return math.fsum(abs(one.get(name, 0) / first - other.get(name, 0) / second) for name in names) / 2
