"""How far each annotator's judgements can be trusted: read from the rows that exist, measured by engine.ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from django.contrib.auth import get_user_model

from engine.models import Standing
from engine.ranking import behaviour
from engine.ranking.agreement import Agreed, alpha_with_interval, pick_agreement
from engine.ranking.behaviour import Flag
from engine.ranking.drift import Cusum
from engine.ranking.intervals import Estimate
from engine.ranking.pausing import Case, reason_to_pause
from engine.ranking.reliability import (
    Agreement,
    Answers,
    gold_posterior,
    leave_one_out,
    one_coin,
)
from engine.selectors.answers import (
    POSE_TOLERANCE,
    Judged,
    PickAnswer,
    ReviewCount,
    read_judged,
    review_counts,
)
from engine.selectors.hidden_gold import outcomes_of
from engine.states import Stage, StandingStatus

#: Outcomes on gold by (person, stage), oldest first.
Gold = Mapping[tuple[int, str], Sequence[bool]]

SAMPLES = 50
MOST_CLASSES = 12
LEAST_PAIRS = 5


@dataclass(frozen=True, kw_only=True)
class PersonFigures:
    """One person in one stage. ``must_pause`` says why they should stop, or nothing."""

    user_id: int
    username: str
    stage: str
    num_judgements: int
    agreement: Agreement
    one_coin: Estimate | None
    gold: Estimate | None
    num_gold: int
    is_drifting: bool
    flags: tuple[Flag, ...]
    reviews: ReviewCount
    must_pause: str
    is_paused: bool
    paused_because: str


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """How far people agree in one stage. ``measure`` says in what."""

    stage: str
    measure: str
    agreed: Agreed | None
    alpha: Estimate | None = None  # of ratings, ordinal
    median_distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Agreement on picks of one class of objects."""

    label: str
    agreed: Agreed


@dataclass(frozen=True, kw_only=True)
class QualityFigures:
    """Everything the quality page shows. ``by_day`` is the agreement on picks of each day's shared tasks."""

    people: tuple[PersonFigures, ...]
    stages: tuple[StageFigures, ...]
    classes: tuple[ClassFigures, ...]
    by_day: tuple[tuple[date, float, int], ...]
    reliability: Mapping[int, float] = field(default_factory=dict)  # of picks, by person


def quality_figures(project_id: int, *, gold: Gold | None = None, seed: int = 0) -> QualityFigures:
    """Seven queries, however much was judged; of each stage the newest answers.RECENT judgements count.

    ``gold`` stands in for the marks on hidden gold.
    """
    judged = read_judged(project_id)
    outcomes = outcomes_of(project_id) if gold is None else gold
    rng = np.random.default_rng(seed)
    known = judged.people() | {user for user, _ in outcomes}
    names = dict(get_user_model().objects.filter(pk__in=known).values_list("pk", "username"))
    standings = {each.user_id: each for each in Standing.objects.filter(project_id=project_id)}
    reviews = review_counts(project_id)
    figures: list[PersonFigures] = []
    for stage, (people, answers) in _answers_by_stage(judged, outcomes).items():
        figures += _of_stage(
            stage, people, answers, judged, names=names, standings=standings, reviews=reviews,
            gold=outcomes, rng=rng,
        )  # fmt: skip
    trusted = {
        each.user_id: each.one_coin.value if each.one_coin else each.agreement.share.value
        for each in figures
        if each.stage == Stage.PICK and each.agreement.share is not None
    }
    return QualityFigures(
        people=tuple(sorted(figures, key=lambda each: (not each.must_pause, each.username, each.stage))),
        stages=_stages(judged, rng=rng),
        classes=_classes(judged.picks, rng=rng),
        by_day=_by_day(judged.picks),
        reliability=trusted,
    )


def _answers_by_stage(judged: Judged, gold: Gold) -> dict[Stage, tuple[list[int], Answers]]:
    """Per stage who answered, and their answers as labels of tasks.

    A pick's label is the candidate's place among the batch. Masks and poses have no labels: who lies within the
    tolerance of the group's centre gets label 0, anybody else one of their own.
    """
    entries: dict[Stage, list[tuple[int, int, int, int]]] = {
        Stage.OBJECT: judged.mask_labels(),
        Stage.PICK: [
            (pick.task_id, pick.user_id, pick.label, pick.num_options)
            for pick in judged.picks
            if pick.label is not None
        ],
        Stage.POSE: judged.pose_labels(),
    }
    found = {}
    for stage, rows in entries.items():
        on_gold = {user for user, of in gold if of == stage}
        people = sorted({user for _, user, _, _ in rows} | judged.people_in(stage) | on_gold)
        place = {user: index for index, user in enumerate(people)}
        columns = np.array(
            [(task, place[user], label, options) for task, user, label, options in rows], dtype=np.int64
        ).reshape(-1, 4)
        found[stage] = (
            people,
            Answers(
                task=columns[:, 0],
                worker=columns[:, 1],
                label=columns[:, 2],
                num_options=columns[:, 3],
                num_workers=len(people),
            ),
        )
    return found


def _of_stage(
    stage: Stage,
    people: Sequence[int],
    answers: Answers,
    judged: Judged,
    *,
    names: Mapping[int, str],
    standings: Mapping[int, Standing],
    reviews: Mapping[tuple[int, str], ReviewCount],
    gold: Gold,
    rng: np.random.Generator,
) -> list[PersonFigures]:
    agreements = leave_one_out(answers)
    coins = (
        one_coin(answers, rng=rng, num_samples=SAMPLES).reliability
        if stage == Stage.PICK
        else (None,) * len(people)
    )
    numbers = judged.numbers(stage)
    flags = _flags(stage, judged)
    shares = {
        user: agreement.share.value
        for user, agreement in zip(people, agreements, strict=True)
        if agreement.share is not None
    }
    found = []
    for user, agreement, coin in zip(people, agreements, coins, strict=True):
        outcomes = gold.get((user, stage.value), ())
        others = [share for other, share in shares.items() if other != user]
        standing = standings.get(user)
        is_paused = standing is not None and standing.status == StandingStatus.PAUSED
        hits = sum(outcomes)
        found.append(
            PersonFigures(
                user_id=user,
                username=names.get(user, "?"),
                stage=stage.value,
                num_judgements=numbers.get(user, 0),
                agreement=agreement,
                one_coin=coin,
                gold=gold_posterior(hits=hits, misses=len(outcomes) - hits).estimate() if outcomes else None,
                num_gold=len(outcomes),
                is_drifting=Cusum().alarm(outcomes) is not None,
                flags=tuple(flags.get(user, ())),
                reviews=reviews.get((user, stage.value), ReviewCount(accepted=0, rejected=0)),
                must_pause=reason_to_pause(
                    Case(agreement=agreement, one_coin=coin, gold=outcomes),
                    crowd=float(np.mean(others)) if others else None,
                ),
                is_paused=is_paused,
                paused_because=standing.reason if standing is not None and is_paused else "",
            )
        )
    return found


def _flags(stage: Stage, judged: Judged) -> dict[int, list[Flag]]:
    """Signs of not looking, by person; each is measured against the other people of the stage."""
    seconds = judged.seconds(stage)
    found: dict[int, list[Flag]] = defaultdict(list)
    for user, own in seconds.items():
        norm = [each for other, times in seconds.items() if other != user for each in times]
        if norm and (flag := behaviour.too_fast(own, norm_s=float(np.median(norm)))):
            found[user].append(flag)
    if stage == Stage.PICK:
        by_person: dict[int, list[PickAnswer]] = defaultdict(list)
        for pick in judged.picks:
            by_person[pick.user_id].append(pick)
        for user, picks in by_person.items():
            _add_pick_flags(user, picks, judged.picks, found)
    if stage == Stage.POSE:
        for user in {pose.user_id for pose in judged.poses}:
            own_poses = [pose for pose in judged.poses if pose.user_id == user]
            rest = [pose.is_untouched for pose in judged.poses if pose.user_id != user]
            flag = behaviour.untouched(
                untouched=sum(pose.is_untouched for pose in own_poses),
                answers=len(own_poses),
                norm=float(np.mean(rest)) if rest else 1.0,
            )
            if flag:
                found[user].append(flag)
    return found


def _add_pick_flags(
    user: int, picks: Sequence[PickAnswer], everybody: Sequence[PickAnswer], found: dict[int, list[Flag]]
) -> None:
    """A favourite cell (among grids of the commonest size), and never opening a candidate."""
    sizes = [pick.num_options for pick in picks if pick.cell is not None]
    if sizes:
        size = max(set(sizes), key=sizes.count)
        cells = [pick.cell for pick in picks if pick.cell is not None and pick.num_options == size]
        if flag := behaviour.slot_bias(np.bincount(cells, minlength=size).tolist()):
            found[user].append(flag)
    rest = [pick.looked for pick in everybody if pick.user_id != user and pick.looked is not None]
    own = [pick.looked for pick in picks if pick.looked is not None]
    looked = behaviour.never_looked(
        looked=sum(own),
        answers=len(own),
        norm=float(np.mean(rest)) if rest else 0.0,
    )
    if looked:
        found[user].append(looked)


def _stages(judged: Judged, *, rng: np.random.Generator) -> tuple[StageFigures, ...]:
    """Agreement by stage; the chance of two masks or poses meeting by luck is taken as none."""
    distances = judged.pose_distances()
    return (
        StageFigures(
            stage=Stage.OBJECT.value,
            measure="same object: boxes overlap by half",
            agreed=_agreed(judged.mask_labels(), rng=rng),
        ),
        StageFigures(
            stage=Stage.PICK.value,
            measure="same pick, against 1/N",
            agreed=_agreed(
                [
                    (pick.task_id, pick.user_id, pick.label, pick.num_options)
                    for pick in judged.picks
                    if pick.label is not None
                ],
                rng=rng,
            ),
            alpha=alpha_with_interval(judged.rating_table(), level="ordinal", rng=rng, num_samples=SAMPLES),
        ),
        StageFigures(
            stage=Stage.POSE.value,
            measure=f"within {100 * POSE_TOLERANCE:.0f} % of the size of the middle pose",
            agreed=_agreed(judged.pose_labels(), rng=rng),
            median_distance=float(np.median(distances)) if distances else None,
        ),
    )


def _classes(picks: Sequence[PickAnswer], *, rng: np.random.Generator) -> tuple[ClassFigures, ...]:
    """The classes with most shared picks."""
    rows: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for pick in picks:
        if pick.label is not None:
            rows[pick.class_name].append((pick.task_id, pick.user_id, pick.label, pick.num_options))
    measured = [(name, _agreed(entries, rng=rng)) for name, entries in rows.items()]
    found = [
        ClassFigures(label=name, agreed=agreed)
        for name, agreed in measured
        if agreed is not None and agreed.num_pairs >= LEAST_PAIRS
    ]
    return tuple(sorted(found, key=lambda each: -each.agreed.num_pairs)[:MOST_CLASSES])


def _by_day(picks: Sequence[PickAnswer]) -> tuple[tuple[date, float, int], ...]:
    """Agreeing pairs of each day, a pair's day being that of its later answer."""
    by_task: dict[int, list[PickAnswer]] = defaultdict(list)
    for pick in picks:
        if pick.label is not None:
            by_task[pick.task_id].append(pick)
    days: dict[date, list[bool]] = defaultdict(list)
    for answers in by_task.values():
        for index, one in enumerate(answers):
            for other in answers[:index]:
                days[max(one.day, other.day)].append(one.label == other.label)
    return tuple((day, sum(same) / len(same), len(same)) for day, same in sorted(days.items()))


def _agreed(rows: Sequence[tuple[int, int, int, int]], *, rng: np.random.Generator) -> Agreed | None:
    if not rows:
        return None
    columns = np.array(rows, dtype=np.int64)
    return pick_agreement(
        task=columns[:, 0], label=columns[:, 2], num_options=columns[:, 3], rng=rng, num_samples=SAMPLES
    )
