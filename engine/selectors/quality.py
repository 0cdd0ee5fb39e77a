"""What people's judgements add up to: yield of a round, ratings, and who judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet

from engine.models import Alignment, Comparison, MaskEdit, Round, Selection


@dataclass(frozen=True, kw_only=True)
class Yield:
    """What became of a round's picks. ``passing`` winners reach the round's alpha."""

    picks: int
    escalated: int
    passing: int

    @property
    def share(self) -> float | None:
        """Passing picks as a share of all picks, or None before the first."""
        return self.passing / self.picks if self.picks else None


@dataclass(frozen=True, kw_only=True)
class RatingBar:
    """How many winners got a rating; ``share`` is of the largest bar."""

    rating: float
    num_picks: int
    share: float
    passes: bool


@dataclass(frozen=True, kw_only=True)
class AnnotatorFigures:
    """One person's picks in a round."""

    username: str
    picks: int
    escalated: int
    mean_rating: float | None
    mean_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class RoundFigures:
    """A round in numbers. Stages 1 and 3 name no round: theirs are counted while it was open."""

    objects: int
    discarded: int
    comparisons: int
    alignments: int
    picks: Yield
    ratings: tuple[RatingBar, ...]
    annotators: tuple[AnnotatorFigures, ...]


NO_PICKS = Yield(picks=0, escalated=0, passing=0)


def yields(*project_ids: int) -> dict[int, Yield]:
    """By round, for all rounds of the projects. One query."""
    rows = (
        Selection.standing.filter(project_id__in=project_ids, round__isnull=False)
        .values("round_id")
        .annotate(
            picks=Count("pk"),
            escalated=Count("pk", filter=Q(winner__isnull=True)),
            passing=Count("pk", filter=Q(rating__gte=F("round__alpha"))),
        )
    )
    return {
        row["round_id"]: Yield(picks=row["picks"], escalated=row["escalated"], passing=row["passing"])
        for row in rows
    }


def round_figures(of: Round) -> RoundFigures:
    """Six queries, however much was judged."""
    objects = _while_open(MaskEdit.standing.all(), of).aggregate(
        objects=Count("pk", filter=Q(target__isnull=False)),
        discarded=Count("pk", filter=Q(target__isnull=True)),
    )
    return RoundFigures(
        objects=objects["objects"],
        discarded=objects["discarded"],
        comparisons=_while_open(Comparison.standing.all(), of).count(),
        alignments=_while_open(Alignment.standing.all(), of).count(),
        picks=yields(of.project_id).get(of.pk, NO_PICKS),
        ratings=_ratings(of),
        annotators=_annotators(of),
    )


def _while_open(rows: QuerySet[Any], of: Round) -> QuerySet[Any]:
    rows = rows.filter(project_id=of.project_id, created_at__gte=of.opened_at)
    return rows.filter(created_at__lt=of.closed_at) if of.closed_at else rows


def _ratings(of: Round) -> tuple[RatingBar, ...]:
    """Every rating that can be given, in order, with how often it was."""
    rows = (
        Selection.standing.filter(round=of, rating__isnull=False)
        .values_list("rating")
        .annotate(number=Count("pk"))
    )
    given: dict[float, int] = {rating: number for rating, number in rows if rating is not None}
    largest = max(given.values(), default=1)
    steps = (step / 8 for step in range(9))
    return tuple(
        RatingBar(
            rating=step,
            num_picks=given.get(step, 0),
            share=given.get(step, 0) / largest,
            passes=step >= of.alpha,
        )
        for step in steps
    )


def _annotators(of: Round) -> tuple[AnnotatorFigures, ...]:
    rows = (
        Selection.standing.filter(round=of)
        .values(username=F("assignment__annotator__username"))
        .annotate(
            picks=Count("pk"),
            escalated=Count("pk", filter=Q(winner__isnull=True)),
            mean_rating=Avg("rating"),
            mean_seconds=Avg("assignment__seconds"),
        )
        .order_by("-picks", "username")[:50]
    )
    return tuple(AnnotatorFigures(**row) for row in rows)
