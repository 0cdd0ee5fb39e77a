"""What an arena shows: the plan of its matches, the candidates it asks for, and each pair as soon as both are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from django.db.models import QuerySet

from engine import jobs
from engine.models import Arena, ArenaMatch, Candidate, CandidateBatch
from engine.services.batch_parts import generation_order
from engine.states import ArenaStatus, BatchStatus, TargetStatus
from engine.transitions import Actor, Move, record_creations, transition_together

Row = TypeVar("Row")
#: Target > checkpoint > the candidate that stands for it there.
Shown = Mapping[int, Mapping[int, Candidate]]

SEED_RANGE = 2**31
AT_ONCE = 200
CLOSED = "the arena was closed"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One match: when it comes, and which checkpoint stands where."""

    place: int
    target_id: int
    left: int
    right: int


def plan(
    *, seed: int, target_ids: Collection[int], checkpoint_ids: Collection[int], votes: int
) -> list[Planned]:
    """Every pair of checkpoints on every target, ``votes`` times; order and sides follow from ``seed``."""
    rng = np.random.default_rng(seed)
    pairs = [
        (target, first, second)
        for target in sorted(target_ids)
        for first, second in combinations(sorted(checkpoint_ids), 2)
        for _ in range(votes)
    ]
    planned = []
    for place, index in enumerate(rng.permutation(len(pairs))):
        target, first, second = pairs[index]
        left, right = (first, second) if rng.random() < 0.5 else (second, first)
        planned.append(Planned(place=place, target_id=target, left=left, right=right))
    return planned


def plainly_drawn(candidates: QuerySet[Candidate]) -> QuerySet[Candidate]:
    """Without what a reward kept of many draws: beside one draw of another checkpoint it would be no fair pair."""
    return candidates.filter(settings__source_options__prefilter__isnull=True, seed__isnull=False)


def first_of_each(candidates: QuerySet[Candidate]) -> dict[int, dict[int, Candidate]]:
    """The first candidate of each checkpoint on each target. One query."""
    found: dict[int, dict[int, Candidate]] = {}
    rows = candidates.only("target_id", "checkpoint_id", "seed", "batch_id")
    for candidate in rows.order_by("target_id", "checkpoint_id", "pk"):
        assert candidate.checkpoint_id is not None
        found.setdefault(candidate.target_id, {}).setdefault(candidate.checkpoint_id, candidate)
    return found


def ask(arena: Arena, *, missing: Sequence[tuple[int, int]], there: Shown, by: Actor) -> None:
    """Rows and jobs of one batch of one candidate for each missing (target, checkpoint), in the caller's transaction.

    All checkpoints of a target draw with one seed: that of the candidate that is there, or one that follows from the
    arena's. The jobs come by checkpoint, so that workers load each once.
    """
    wanted = sorted(missing, key=lambda each: (each[1], each[0]))
    for some in _parts(wanted):
        batches = CandidateBatch.objects.bulk_create(
            CandidateBatch(
                project_id=arena.project_id,
                target_id=target,
                arena=arena,
                checkpoint_id=checkpoint,
                num_requested=1,
                seed=_seed(arena, target, there.get(target, {})),
            )
            for target, checkpoint in some
        )
        record_creations(batches, by=by)
        jobs.enqueue_new([generation_order(batch) for batch in batches])


def add_matches(arena: Arena, planned: Sequence[Planned], *, there: Shown, by: Actor) -> int:
    """Makes rows of the planned matches of which both candidates are there; how many."""
    matches = [
        ArenaMatch(
            project_id=arena.project_id,
            arena=arena,
            target_id=each.target_id,
            place=each.place,
            left_id=made[each.left].pk,
            right_id=made[each.right].pk,
            left_checkpoint_id=each.left,
            right_checkpoint_id=each.right,
        )
        for each in planned
        for made in [there.get(each.target_id, {})]
        if each.left in made and each.right in made
    ]
    record_creations(ArenaMatch.objects.bulk_create(matches, batch_size=1000), by=by)
    return len(matches)


def add_matches_with(batch: CandidateBatch, *, by: Actor) -> int:
    """The matches of a batch that has just become READY, against all others of its target that are there.

    The caller holds the batch's lock. The arena's is taken here, so that of two batches that end at once the later one
    sees the earlier one's candidate.
    """
    assert batch.arena_id is not None and batch.checkpoint_id is not None, "only an arena's batch has matches"
    arena = Arena.objects.select_for_update().get(pk=batch.arena_id)
    if arena.status != ArenaStatus.OPEN or batch.target.status != TargetStatus.CONFIRMED:
        return 0
    mine = batch.checkpoint_id
    contestants = list(arena.checkpoints.values_list("pk", flat=True))
    planned = plan(
        seed=arena.seed, target_ids=arena.target_ids, checkpoint_ids=contestants, votes=arena.votes
    )
    with_mine = [
        each for each in planned if each.target_id == batch.target_id and mine in (each.left, each.right)
    ]
    return add_matches(arena, with_mine, there=_there(arena, batch.target_id, contestants), by=by)


def cancel(batches: Sequence[CandidateBatch], *, by: Actor) -> None:
    """Withdraws batches that were not made; the caller holds their locks. A worker in the middle of one lets it go."""
    for some in _parts(batches):
        transition_together(
            [Move(row=batch, to=BatchStatus.WITHDRAWN, reason=CLOSED) for batch in some], by=by
        )


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), AT_ONCE):
        yield rows[first : first + AT_ONCE]


def _there(arena: Arena, target_id: int, contestants: Sequence[int]) -> Shown:
    """What stands for each checkpoint on the target: of those that were asked only what they made for this arena."""
    asked = arena.batches.filter(target_id=target_id).values("checkpoint_id")
    candidates = Candidate.objects.filter(target_id=target_id, checkpoint_id__in=contestants)
    return {
        target_id: {
            **first_of_each(plainly_drawn(candidates.exclude(checkpoint_id__in=asked))).get(target_id, {}),
            **first_of_each(candidates.filter(batch__arena=arena)).get(target_id, {}),
        }
    }


def _seed(arena: Arena, target_id: int, there: Mapping[int, Candidate]) -> int:
    for _, candidate in sorted(there.items()):
        assert candidate.seed is not None, "only what was plainly drawn stands beside new ones"
        return candidate.seed
    return int(np.random.default_rng([arena.seed, target_id]).integers(SEED_RANGE))
