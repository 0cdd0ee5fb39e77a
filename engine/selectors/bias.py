"""Reads what the bias monitor shows: whose shapes are accepted, and whether they crowd together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from numpy.typing import NDArray

from engine.models import ArtistCase, Candidate, DatasetVersion, Round, Selection, ShapeDescriptor
from engine.ranking import bias
from engine.ranking.bias import Alarm, MeasuredRound
from engine.ranking.intervals import Estimate, posterior_of
from engine.ranking.nearest import squared_distances
from engine.services.curation import ARTIST, OUR_MODEL
from engine.states import ArtistCaseStatus, DatasetStatus

Floats = NDArray[np.float64]

#: Of each kind so many of the newest shapes are compared: what a page can measure while somebody waits.
RECENT = 1000
#: Their differences are counted over so many: the matrix grows with the square.
DIFFERENT_OF = 300
#: Fewer shapes say nothing of coverage.
ENOUGH = 12
#: Candidates that are looked through for shapes that nobody has described yet.
LOOKED_THROUGH = 50_000
#: Fewer answers of either kind say nothing of favour.
ENOUGH_ANSWERS = 30
SAMPLES = 100
#: Rows read at once: as lists of numbers a thousand shapes are megabytes that a web process keeps.
AT_A_TIME = 100


@dataclass(frozen=True, kw_only=True)
class RoundSources:
    """A round's accepted shapes: how many of each source, our own share, and how far they cover what was offered."""

    number: int
    alpha: float
    sources: Mapping[str, int]
    own: Estimate | None
    num_described: int
    coverage: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What accepted shapes are held against. ``covered`` is the share of it that they reach."""

    name: str
    num_shapes: int
    covered: Estimate | None
    num_different: float | None  # of up to DIFFERENT_OF


@dataclass(frozen=True, kw_only=True)
class SourceFate:
    """What became of one source's candidates; people do not see whose they are."""

    source: str
    num_shown: int
    num_won: int
    num_passing: int

    @property
    def won(self) -> float:
        return self.num_won / self.num_shown if self.num_shown else 0.0

    @property
    def passing(self) -> float | None:
        return self.num_passing / self.num_won if self.num_won else None


@dataclass(frozen=True, kw_only=True)
class BiasFigures:
    """Everything the bias page shows. ``favour`` is in log-odds, at equal blind quality."""

    rounds: tuple[RoundSources, ...]  # newest first
    references: tuple[Reference, ...]
    accepted_different: float | None
    num_accepted: int
    sources: tuple[SourceFate, ...]
    favour: Estimate | None
    alarm: Alarm
    version: DatasetVersion | None  # the newest frozen one

    @property
    def version_own(self) -> Estimate | None:
        """Our own share of that version's demonstrations."""
        return bias.own_share(self.version.counts.get("sources", {}), own=OUR_MODEL) if self.version else None


def bias_figures(project_id: int, *, seed: int = 0) -> BiasFigures:
    """At most eleven queries, however much was judged; shapes count once a worker has described them."""
    rng = np.random.default_rng(seed)
    shapes = _accepted_shapes(project_id)
    offered = _shapes(
        project_id, candidate__index=0, candidate__batch__isnull=False, candidate__batch__arena__isnull=True
    )
    rounds = _rounds(project_id, shapes, offered)
    accepted = _stacked([values for each in shapes.values() for values in each][:RECENT])
    width = _width(offered if len(offered) else accepted)
    references = [
        _reference("offered (one of each batch)", offered, accepted, width),
        _reference("artists", _shapes(project_id, candidate__source=ARTIST), accepted, width),
        _reference("other sources", _others(project_id), accepted, width),
    ]
    version = DatasetVersion.objects.filter(project_id=project_id, status=DatasetStatus.FROZEN).first()
    return BiasFigures(
        rounds=tuple(rounds),
        references=tuple(references),
        accepted_different=_different(accepted, width),
        num_accepted=len(accepted),
        sources=tuple(_fates(project_id)),
        favour=_favour(project_id, rng),
        alarm=bias.sure_alarm(
            [MeasuredRound(number=each.number, own=each.own, coverage=each.coverage) for each in rounds]
        ),
        version=version,
    )


def undescribed(*, version: int, limit: int) -> list[Candidate]:
    """Candidates whose shapes the monitor looks at and that no worker has described: winners, one of each batch, and
    whatever our own model did not make, but nothing that an arena asked for. Newest first. Two queries."""
    newest = Candidate.objects.aggregate(newest=Max("pk"))["newest"] or 0
    known = ShapeDescriptor.objects.filter(candidate=OuterRef("pk"), version=version)
    won = Selection.objects.filter(winner=OuterRef("pk"))
    rows = Candidate.objects.filter(
        Q(index=0) | ~Q(source=OUR_MODEL) | Exists(won),
        ~Exists(known),
        pk__gt=newest - LOOKED_THROUGH,
        batch__arena__isnull=True,
    )
    return list(rows.order_by("-pk")[:limit])


def _accepted(project_id: int) -> QuerySet[Any]:
    """Picks that reach the bar of their round."""
    rows = Selection.standing.filter(project_id=project_id, winner__isnull=False, round__isnull=False)
    return rows.filter(rating__gte=F("round__alpha"))


def _rounds(project_id: int, shapes: Mapping[int, Sequence[Floats]], offered: Floats) -> list[RoundSources]:
    tallies: dict[int, Counter[str]] = defaultdict(Counter)
    rows = _accepted(project_id).values_list("round__number", "winner__source")
    for number, source, count in rows.annotate(Count("winner", distinct=True)):
        tallies[number][source] += count
    modelled = ArtistCase.objects.filter(project_id=project_id, status=ArtistCaseStatus.ACCEPTED)
    for number, count in modelled.values_list("assignment__selection__round__number").annotate(Count("pk")):
        tallies[number or 0][ARTIST] += count
    found = []
    for number, alpha in (
        Round.objects.filter(project_id=project_id).order_by("-number").values_list("number", "alpha")
    ):
        own = _stacked(shapes.get(number, ()))
        found.append(
            RoundSources(
                number=number,
                alpha=alpha,
                sources=dict(sorted(tallies[number].items())),
                own=bias.own_share(tallies[number], own=OUR_MODEL),
                num_described=len(own),
                coverage=_covered(own, offered),
            )
        )
    return found


def _accepted_shapes(project_id: int) -> dict[int, list[Floats]]:
    """By round, newest first. One query."""
    described = ShapeDescriptor.objects.filter(candidate=OuterRef("winner_id")).exclude(values=[])
    rows = _accepted(project_id).annotate(shape=described.order_by("-version").values("values")[:1])
    found: dict[int, list[Floats]] = defaultdict(list)
    newest = (
        rows.filter(shape__isnull=False).order_by("-pk").values_list("round__number", "shape")[: 2 * RECENT]
    )
    for number, values in newest.iterator(AT_A_TIME):
        found[number].append(np.array(values, dtype=float))
    return dict(found)


def _shapes(project_id: int, **which: Any) -> Floats:
    return _read(_described(project_id).filter(**which))


def _others(project_id: int) -> Floats:
    return _read(_described(project_id).exclude(candidate__source__in=[ARTIST, OUR_MODEL]))


def _described(project_id: int) -> QuerySet[ShapeDescriptor]:
    return ShapeDescriptor.objects.filter(project_id=project_id).exclude(values=[]).order_by("-pk")


def _read(rows: QuerySet[ShapeDescriptor]) -> Floats:
    newest = rows.values_list("values", flat=True)[:RECENT]
    return _stacked([np.array(values, dtype=float) for values in newest.iterator(AT_A_TIME)])


def _stacked(rows: Sequence[Floats]) -> Floats:
    """Rows of the first one's length: a new way of describing changes it."""
    width = len(rows[0]) if rows else 1
    return np.array([row for row in rows if len(row) == width]).reshape(-1, width)


def _covered(accepted: Floats, reference: Floats) -> Estimate | None:
    """The share of the reference that accepted shapes reach, with the interval of so many shapes."""
    if min(len(accepted), len(reference)) < ENOUGH or accepted.shape[1] != reference.shape[1]:
        return None
    share = bias.coverage(accepted, reference)
    hits = round(share * len(reference))
    interval = posterior_of(hits, len(reference) - hits, prior=(0.5, 0.5)).estimate()
    return Estimate(value=share, low=min(share, interval.low), high=max(share, interval.high))


def _reference(name: str, shapes: Floats, accepted: Floats, width: float) -> Reference:
    return Reference(
        name=name,
        num_shapes=len(shapes),
        covered=_covered(accepted, shapes),
        num_different=_different(shapes, width),
    )


def _different(shapes: Floats, width: float) -> float | None:
    if len(shapes) < ENOUGH:
        return None
    return bias.effective_number(shapes[:DIFFERENT_OF], bandwidth=width)


def _width(shapes: Floats) -> float:
    """Of the kernel: half the median distance between shapes."""
    some = shapes[:DIFFERENT_OF]
    if len(some) < 2:
        return 1.0
    distances = np.sqrt(squared_distances(some, some))
    return float(np.median(distances[np.triu_indices(len(some), 1)])) / 2 or 1.0


def _fates(project_id: int) -> list[SourceFate]:
    """Two queries."""
    rows = Selection.standing.filter(project_id=project_id, winner__isnull=False)
    shown = dict(rows.values_list("batch__candidates__source").annotate(Count("pk")))
    ends = {
        source: (won, passing)
        for source, won, passing in rows.values_list("winner__source").annotate(
            won=Count("pk"), passing=Count("pk", filter=Q(rating__gte=F("round__alpha")))
        )
    }
    return [
        SourceFate(source=source, num_shown=count, num_won=won, num_passing=passing)
        for source, count in sorted(shown.items())
        for won, passing in [ends.get(source, (0, 0))]
    ]


def _favour(project_id: int, rng: np.random.Generator) -> Estimate | None:
    """How much more often our own candidates are picked than others that the other people liked as well.

    Blind quality is the share of the others who picked the same candidate of the same batch: none of them saw whose it
    was. Two queries, over tasks that several people judged.
    """
    several = (
        Selection.standing.filter(project_id=project_id, winner__isnull=False)
        .values("batch_id")
        .annotate(number=Count("pk"))
        .filter(number__gt=1)
        .order_by("-batch_id")[:RECENT]
    )
    rows = Selection.standing.filter(
        batch_id__in=several.values("batch_id"), winner__isnull=False
    ).values_list("batch_id", "winner_id")
    winners: dict[int, list[int]] = defaultdict(list)
    for batch, winner in rows:
        winners[batch].append(winner)
    said: list[tuple[bool, bool, float]] = []
    sources = Candidate.objects.filter(batch_id__in=winners).values_list("pk", "batch_id", "source")
    for candidate, batch, source in sources:
        picks = winners[batch]
        votes = picks.count(candidate)
        for winner in picks:
            mine = winner == candidate
            said.append((mine, source == OUR_MODEL, (votes - mine) / (len(picks) - 1)))
    own = np.array([each[1] for each in said], dtype=bool)
    if min(own.sum(), (~own).sum()) < ENOUGH_ANSWERS:
        return None
    return bias.acceptance_odds(
        accepted=np.array([each[0] for each in said], dtype=bool),
        own=own,
        quality=np.array([each[2] for each in said], dtype=float),
        rng=rng,
        num_samples=SAMPLES,
    )
