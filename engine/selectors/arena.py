"""What an arena says: strengths on the scale of Elo with intervals and ranks, and whether one may replace another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Exists, OuterRef, Q
from numpy.typing import NDArray

from engine.models import Arena, ArenaMatch, Checkpoint, Standing
from engine.ranking.bradley_terry import ELO_PER_UNIT, fit_bradley_terry
from engine.ranking.gate import Gate, GatePolicy, Measure, Votes, judge
from engine.ranking.intervals import Estimate, Intervals, RankRange, bootstrap_over_tasks, rank_ranges
from engine.selectors.arena_making import Making, making_of
from engine.states import ArenaStatus, MatchStatus, StandingStatus

#: The middle of the scale, as usual for Elo. 400 points are odds of ten to one.
MIDDLE = 1000.0
SAMPLES = 200
#: A weak pull to the middle: a checkpoint that won its three votes is not endlessly strong.
PRIOR = 0.05
OUTCOME = {
    ArenaMatch.Outcome.LEFT.value: 1,
    ArenaMatch.Outcome.RIGHT.value: -1,
    ArenaMatch.Outcome.EQUAL.value: 0,
}


@dataclass(frozen=True, kw_only=True)
class Vote:
    """An answered match."""

    target_id: int
    class_name: str
    annotator_id: int
    left: int  # checkpoints
    right: int
    outcome: int  # 1 left, -1 right, 0 equal


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A checkpoint's place. ``elo`` is only a scale here: a fit of all votes at once, whatever their order."""

    checkpoint_id: int
    name: str
    elo: Estimate
    ranks: RankRange
    won: int
    lost: int
    equal: int


@dataclass(frozen=True, kw_only=True)
class Standings:
    """Contestants, the strongest first. ``left_share`` is of decided votes for the left: it should hold 0.5."""

    contestants: tuple[Contestant, ...]
    num_votes: int
    num_targets: int
    num_people: int
    left_share: float | None
    flips: int | None  # the least votes for the second to change before the first would fall behind


def votes_of(arena_id: int) -> list[Vote]:
    """The answers of people in good standing, in order. One query."""
    rows = (
        ArenaMatch.objects.filter(arena_id=arena_id, status=MatchStatus.ANSWERED)
        .exclude(
            annotator_id__in=Standing.objects.filter(
                status=StandingStatus.PAUSED, project__arenas=arena_id
            ).values("user_id")
        )
        .order_by("place")
        .values_list(
            "target_id",
            "target__label",
            "annotator_id",
            "left_checkpoint_id",
            "right_checkpoint_id",
            "outcome",
        )
    )
    return [
        Vote(
            target_id=target,
            class_name=label or "(no name)",
            annotator_id=annotator or 0,
            left=left,
            right=right,
            outcome=OUTCOME[outcome],
        )
        for target, label, annotator, left, right, outcome in rows
    ]


def standings(votes: Sequence[Vote], *, names: Mapping[int, str], seed: int = 0) -> Standings | None:
    """Bradley-Terry with ties over the shown pairs, with a bootstrap over targets for intervals and ranks."""
    if not votes:
        return None
    ids = sorted({vote.left for vote in votes} | {vote.right for vote in votes})
    place = {checkpoint: index for index, checkpoint in enumerate(ids)}
    left = np.array([place[vote.left] for vote in votes], dtype=np.int64)
    right = np.array([place[vote.right] for vote in votes], dtype=np.int64)
    outcome = np.array([vote.outcome for vote in votes], dtype=np.int64)
    intervals = _intervals(left, right, outcome, votes, len(ids), seed=seed)
    ranks = rank_ranges(intervals)
    tally = _tally(votes)
    contestants = [
        Contestant(
            checkpoint_id=checkpoint,
            name=names.get(checkpoint, f"checkpoint {checkpoint}"),
            elo=_elo(intervals.of(index)),
            ranks=ranks[index],
            won=tally[checkpoint][0],
            lost=tally[checkpoint][1],
            equal=tally[checkpoint][2],
        )
        for checkpoint, index in place.items()
    ]
    decided = [vote.outcome for vote in votes if vote.outcome]
    ordered = tuple(sorted(contestants, key=lambda each: -each.elo.value))
    return Standings(
        contestants=ordered,
        num_votes=len(votes),
        num_targets=len({vote.target_id for vote in votes}),
        num_people=len({vote.annotator_id for vote in votes}),
        left_share=sum(each > 0 for each in decided) / len(decided) if decided else None,
        flips=_flips(votes, ordered[0].checkpoint_id, ordered[1].checkpoint_id),
    )


@dataclass(frozen=True, kw_only=True)
class ArenaResult:
    """An arena with how its checkpoints stand, and how far its own candidates are."""

    arena: Arena
    num_matches: int
    num_votes: int
    contestants: tuple[Contestant, ...]
    making: Making


def arena_result(arena_id: int) -> ArenaResult:
    """Five queries, however many votes there are."""
    arena = Arena.objects.get(pk=arena_id)
    table = standings(votes_of(arena_id), names=dict(arena.checkpoints.values_list("pk", "name")))
    return ArenaResult(
        arena=arena,
        num_matches=arena.matches.count(),
        num_votes=table.num_votes if table else 0,
        contestants=table.contestants if table else (),
        making=making_of(arena_id),
    )


def gate_between(
    *, new_id: int, serving_id: int, policy: GatePolicy | None = None
) -> tuple[Arena, Gate] | None:
    """The newest arena where both met, and its verdict on the new one; None when they never met. Four queries."""
    both = Arena.objects.filter(checkpoints=new_id).filter(checkpoints=serving_id)
    met = ArenaMatch.objects.filter(arena=OuterRef("pk"))
    # One that was closed before anything was made for it says nothing.
    arena = both.filter(Q(status=ArenaStatus.OPEN) | Exists(met)).order_by("-pk").first()
    if arena is None:
        return None
    evaluation = Checkpoint.objects.values_list("evaluation", "parent_id").get(pk=new_id)
    return arena, gate_of(
        votes_of(arena.pk),
        new_id=new_id,
        serving_id=serving_id,
        measures=measures_of(evaluation[0]) if evaluation[1] == serving_id else None,
        policy=policy,
    )


def gate_of(
    votes: Sequence[Vote],
    *,
    new_id: int,
    serving_id: int,
    measures: Sequence[Measure] | None,
    policy: GatePolicy | None = None,
) -> Gate:
    """The gate over the targets' votes: several votes on one target are one, won by their majority."""
    mine = [vote for vote in votes if {vote.left, vote.right} == {new_id, serving_id}]
    by_target: dict[int, int] = defaultdict(int)
    classes: dict[int, str] = {}
    for vote in mine:
        by_target[vote.target_id] += vote.outcome if vote.left == new_id else -vote.outcome
        classes[vote.target_id] = vote.class_name
    slices: dict[str, list[int]] = defaultdict(list)
    for target, balance in by_target.items():
        slices[classes[target]].append(balance)
    return judge(
        _count(list(by_target.values())),
        num_annotators=len({vote.annotator_id for vote in mine}),
        slices={name: _count(balances) for name, balances in slices.items()},
        measures=measures,
        policy=policy,
    )


def measures_of(evaluation: dict[str, Any] | None) -> tuple[Measure, ...] | None:
    """The geometry metrics of an evaluation report against the parent; None when it holds none."""
    metrics = (evaluation or {}).get("metrics")
    if not isinstance(metrics, dict):
        return None
    found = []
    for name, each in sorted(metrics.items()):
        if not isinstance(each, dict):
            continue
        values = [each.get(key) for key in ("difference", "low", "high")]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if len(numbers) == len(values):
            found.append(
                Measure(
                    name=name.replace("_", " "),
                    difference=Estimate(value=numbers[0], low=numbers[1], high=numbers[2]),
                    higher_is_better=bool(each.get("higher_is_better", True)),
                )
            )
    return tuple(found) or None


def _intervals(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    outcome: NDArray[np.int64],
    votes: Sequence[Vote],
    num_items: int,
    *,
    seed: int,
) -> Intervals:
    whole = fit_bradley_terry(
        left=left, right=right, outcome=outcome, num_items=num_items, prior_precision=PRIOR
    ).strengths

    def fit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return fit_bradley_terry(
            left=left,
            right=right,
            outcome=outcome,
            num_items=num_items,
            weights=weights,
            start=whole,
            prior_precision=PRIOR,
        ).strengths

    targets = np.array([vote.target_id for vote in votes], dtype=np.int64)
    return bootstrap_over_tasks(fit, tasks=targets, rng=np.random.default_rng(seed), num_samples=SAMPLES)


def _elo(strength: Estimate) -> Estimate:
    return Estimate(
        value=MIDDLE + ELO_PER_UNIT * strength.value,
        low=MIDDLE + ELO_PER_UNIT * strength.low,
        high=MIDDLE + ELO_PER_UNIT * strength.high,
    )


def _tally(votes: Sequence[Vote]) -> dict[int, tuple[int, int, int]]:
    """Won, lost and equal by checkpoint."""
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for vote in votes:
        for checkpoint, side in ((vote.left, 1), (vote.right, -1)):
            column = 2 if vote.outcome == 0 else 0 if vote.outcome == side else 1
            found[checkpoint][column] += 1
    return {checkpoint: (won, lost, equal) for checkpoint, (won, lost, equal) in found.items()}


def _flips(votes: Sequence[Vote], first: int, second: int) -> int | None:
    """How many direct votes would have to turn round before the second leads the first; None when they never met."""
    balance = 0
    met = False
    for vote in votes:
        if {vote.left, vote.right} == {first, second}:
            met = True
            balance += vote.outcome if vote.left == first else -vote.outcome
    return max(0, balance) // 2 + 1 if met else None


def _count(balances: Sequence[int]) -> Votes:
    return Votes(
        wins=sum(balance > 0 for balance in balances),
        losses=sum(balance < 0 for balance in balances),
        ties=sum(balance == 0 for balance in balances),
    )
