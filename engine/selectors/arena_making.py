"""How far the candidates are that an arena asked for, and what failed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from engine.models import CandidateBatch
from engine.states import BatchStatus


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Candidates of one checkpoint that failed for one reason; the pairs without it go on."""

    checkpoint_id: int
    name: str
    reason: str
    num_candidates: int


@dataclass(frozen=True, kw_only=True)
class Making:
    """Of ``num_asked`` candidates some are made; the rest waits, failed, or was given up when the arena closed."""

    num_asked: int
    num_made: int
    num_failed: int
    num_given_up: int
    failures: tuple[Failure, ...]

    @property
    def is_under_way(self) -> bool:
        return self.num_made + self.num_failed + self.num_given_up < self.num_asked


def making_of(arena_id: int) -> Making:
    """One query, however much was asked for."""
    rows = list(
        CandidateBatch.objects.filter(arena_id=arena_id)
        .values_list("status", "checkpoint_id", "checkpoint__name", "detail")
        .annotate(number=Count("pk"))
        .order_by("checkpoint_id", "detail")
    )

    def count(*statuses: BatchStatus) -> int:
        return sum(number for status, _, _, _, number in rows if not statuses or status in statuses)

    return Making(
        num_asked=count(),
        num_made=count(BatchStatus.READY),
        num_failed=count(BatchStatus.FAILED),
        num_given_up=count(BatchStatus.WITHDRAWN),
        failures=tuple(
            Failure(checkpoint_id=checkpoint or 0, name=name or "", reason=detail, num_candidates=number)
            for status, checkpoint, name, detail, number in rows
            if status == BatchStatus.FAILED
        ),
    )
