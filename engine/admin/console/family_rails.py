"""Draws a family's rails beside its list: where each checkpoint stands, and the lines between child and parent."""

from __future__ import annotations

from dataclasses import dataclass

from engine.selectors.family import Family, Relative

#: The height of a line of the list in console.css; both must agree.
ROW_PX = 40
LANE_PX = 20


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One checkpoint's place."""

    x: int
    y: int
    is_self: bool
    is_ancestor: bool


@dataclass(frozen=True, kw_only=True)
class Rail:
    """The line from a child down to its parent, as an SVG path."""

    path: str
    is_ancestor: bool


@dataclass(frozen=True, kw_only=True)
class Rails:
    """The picture, in pixels."""

    width: int
    height: int
    dots: tuple[Dot, ...]
    lines: tuple[Rail, ...]


def rails(family: Family) -> Rails:
    """Straight down in the child's lane, then over into the parent's just above it. The line of descent comes last,
    so that it lies over the others."""
    ordered = sorted(family.relatives, key=lambda each: each.is_ancestor)
    return Rails(
        width=LANE_PX * family.num_lanes,
        height=ROW_PX * len(family.relatives),
        dots=tuple(
            Dot(
                x=_x(each.lane),
                y=_y(each.row),
                is_self=each.is_self,
                is_ancestor=each.is_ancestor,
            )
            for each in ordered
        ),
        lines=tuple(
            Rail(path=_path(each), is_ancestor=each.is_ancestor)
            for each in ordered
            if each.parent_row is not None
        ),
    )


def _path(each: Relative) -> str:
    assert each.parent_row is not None and each.parent_lane is not None, "the first of a family has no line"
    x, y, to_x, to_y = _x(each.lane), _y(each.row), _x(each.parent_lane), _y(each.parent_row)
    middle = to_y - ROW_PX // 2
    return f"M{x} {y}V{to_y - ROW_PX}C{x} {middle} {to_x} {middle} {to_x} {to_y}"


def _x(lane: int) -> int:
    return LANE_PX // 2 + LANE_PX * lane


def _y(row: int) -> int:
    return ROW_PX // 2 + ROW_PX * row
