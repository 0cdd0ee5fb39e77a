"""A checkpoint's whole family, laid out as rows and lanes: whence it came, what came of it, and its relatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import connection

from engine.models import Checkpoint, TrainingRun

#: The line of descent is always whole; of the other relatives the newest are shown.
MOST_RELATIVES = 40

FAMILY = """
WITH RECURSIVE line(id, parent_id, depth) AS (
  SELECT id, parent_id, 0 FROM engine_checkpoint WHERE id = %s
  UNION ALL SELECT c.id, c.parent_id, depth + 1 FROM engine_checkpoint c JOIN line ON c.id = line.parent_id
), family(id, parent_id) AS (
  SELECT id, parent_id FROM engine_checkpoint WHERE id = (SELECT id FROM line ORDER BY depth DESC LIMIT 1)
  UNION ALL SELECT c.id, c.parent_id FROM engine_checkpoint c JOIN family ON c.parent_id = family.id
)
SELECT family.id, family.parent_id, line.id IS NOT NULL FROM family LEFT JOIN line ON line.id = family.id
"""


@dataclass(frozen=True, kw_only=True)
class Relative:
    """One checkpoint of the family in its row; newest first. ``parent_row`` is None for the first of the family."""

    checkpoint: Checkpoint
    run: TrainingRun | None
    row: int
    lane: int
    parent_row: int | None
    parent_lane: int | None
    is_self: bool
    is_ancestor: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """The shown relatives; ``num_more`` are left out."""

    relatives: tuple[Relative, ...]
    num_lanes: int
    num_more: int


def family(checkpoint_id: int, *, most: int = MOST_RELATIVES) -> Family:
    """Everything that descends from the first ancestor. Three queries, however large the family."""
    with connection.cursor() as cursor:
        cursor.execute(FAMILY, [checkpoint_id])
        rows = cursor.fetchall()
    parents: dict[int, int | None] = {pk: parent for pk, parent, _ in rows}
    line = {pk for pk, _, is_in_line in rows if is_in_line}
    shown = _shown(parents, line, most=most)
    places = lanes({pk: parents[pk] for pk in shown})
    order = {pk: row for row, pk in enumerate(sorted(shown, reverse=True))}
    checkpoints = Checkpoint.objects.defer("manifest").in_bulk(shown)
    makers = {
        run.output_checkpoint_id: run
        for run in TrainingRun.objects.filter(output_checkpoint_id__in=shown).select_related(
            "dataset_version__round", "project"
        )
    }
    return Family(
        relatives=tuple(
            Relative(
                checkpoint=checkpoints[pk],
                run=makers.get(pk),
                row=row,
                lane=places[pk],
                parent_row=None if (parent := parents[pk]) is None else order[parent],
                parent_lane=None if parent is None else places[parent],
                is_self=pk == checkpoint_id,
                is_ancestor=pk in line,
            )
            for pk, row in order.items()
        ),
        num_lanes=1 + max(places.values(), default=-1),
        num_more=len(parents) - len(shown),
    )


def lanes(parents: Mapping[int, int | None]) -> dict[int, int]:
    """A lane for each, so that no line crosses a checkpoint: children, newest first, go up from their parent.

    A parent must be older (a smaller id) than its children, as rows that name one another are.
    """
    awaited: list[int | None] = []  # by lane: whose parent the line runs down to
    places: dict[int, int] = {}
    for pk in sorted(parents, reverse=True):
        mine = [lane for lane, wanted in enumerate(awaited) if wanted == pk]
        lane = mine[0] if mine else _free(awaited)
        places[pk] = lane
        for other in mine:
            awaited[other] = None
        awaited[lane] = parents[pk]
    return places


def _free(awaited: list[int | None]) -> int:
    if None in awaited:
        return awaited.index(None)
    awaited.append(None)
    return len(awaited) - 1


def _shown(parents: Mapping[int, int | None], line: Iterable[int], *, most: int) -> set[int]:
    """The line, and the newest others with all that joins them to it, as long as there is room."""
    shown = set(line)
    room = len(shown) + most
    for pk in sorted(parents, reverse=True):
        way = []
        at: int | None = pk
        while at is not None and at not in shown:
            way.append(at)
            at = parents[at]
        if len(shown) + len(way) <= room:
            shown.update(way)
    return shown
