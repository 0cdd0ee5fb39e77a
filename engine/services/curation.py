"""Decides what a model may train on: all judgements in, D+ and preference pairs out. Pure: no rows, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

#: Who made a candidate, as far as curation cares.
OUR_MODEL = "candid8"
ARTIST = "artist"

#: Below this rating a winner is called bad in shape and in texture: being better than the rest teaches nothing.
PAIR_FLOOR = 0.125

#: The reason of an escalation that judges the candidates; the others judge the task (a wrong mask, say).
NONE_GOOD = "none_good"


class Outcome(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    EQUAL = "equal"


class Evidence(StrEnum):
    """What a preference pair rests on, strongest first."""

    ARTIST = "artist"
    WINNER = "winner"
    SHOWN = "shown"


class Reason(StrEnum):
    """Why a judgement, or a pair it would have made, is left out."""

    BELOW_ALPHA = "below_alpha"
    SUPERSEDED = "superseded"
    NONE_GOOD = "none_good"
    TASK_AT_FAULT = "task_at_fault"
    BELOW_PAIR_FLOOR = "below_pair_floor"
    NOT_SHOWN = "not_shown"
    NOT_OURS = "not_ours"
    EQUAL = "equal"
    LOST_TO_IT = "lost_to_it"
    CONTRADICTED = "contradicted"
    AUDIT = "audit"
    BRAKE = "brake"

    @property
    def sentence(self) -> str:
        return SENTENCES[self]


SENTENCES: dict[Reason, str] = {
    Reason.BELOW_ALPHA: "The winner's rating is below alpha.",
    Reason.SUPERSEDED: "A later judgement of the same target counts instead.",
    Reason.NONE_GOOD: "None was good enough, and no artist's model has been accepted yet.",
    Reason.TASK_AT_FAULT: "Escalated for the mask or the photograph, which says nothing about the candidates.",
    Reason.BELOW_PAIR_FLOOR: "The winner itself was rated bad in shape and texture.",
    Reason.NOT_SHOWN: "The other candidate was not among those this person was shown.",
    Reason.NOT_OURS: "The rejected candidate was not made by our own model.",
    Reason.EQUAL: "The two were called equal.",
    Reason.LOST_TO_IT: "The winner had lost to it in a shown pair.",
    Reason.CONTRADICTED: "One half is on the other side of stronger or later evidence.",
    Reason.AUDIT: "Its target is kept for auditing: no version trains on it.",
    Reason.BRAKE: "Too many of the demonstrations would be our own model's; the least rated of them stay out.",
}


@dataclass(frozen=True, kw_only=True)
class JudgedCandidate:
    """A candidate as curation sees it."""

    id: int
    target_id: int
    batch_id: int | None
    source: str


@dataclass(frozen=True, kw_only=True)
class ShownPair:
    """One comparison of a pick."""

    id: int
    left: int
    right: int
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One person's judgement of one batch: a rated winner, or none and why. A larger ``id`` is a later judgement."""

    id: int
    target_id: int
    batch_id: int
    annotator_id: int
    round: int | None
    winner: int | None
    rating: float | None
    none_because: str
    shown: frozenset[int]
    pairs: tuple[ShownPair, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AcceptedModel:
    """An artist's candidate that was accepted for a target."""

    case_id: int
    target_id: int
    candidate_id: int
    artist_id: int | None


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """Everything people judged in a project, in any order."""

    candidates: tuple[JudgedCandidate, ...]
    picks: tuple[Pick, ...]
    accepted: tuple[AcceptedModel, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """A member of D+. ``rating`` is None for an artist's model: nobody rated it, it was accepted."""

    candidate_id: int
    target_id: int
    source: str
    rating: float | None
    annotator_id: int | None
    round: int | None


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """``chosen`` was preferred to ``rejected`` for the same image and mask."""

    chosen: int
    rejected: int
    target_id: int
    annotator_id: int | None
    round: int | None
    evidence: Evidence


@dataclass(frozen=True, kw_only=True, order=True)
class Exclusion:
    """What was left out: ``subject`` names the judgement or the pair, as in "selection 12" or "pair 7>9"."""

    subject: str
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Decision:
    """D+ and the preference pairs, sorted, with the reason of everything that was left out."""

    demonstrations: tuple[Demonstration, ...]
    pairs: tuple[PreferencePair, ...]
    exclusions: tuple[Exclusion, ...]


def decide(judgements: Judgements, *, alpha: float) -> Decision:
    """D+ and preference pairs of all judgements so far, under the bar ``alpha`` in [0, 1].

    Demonstrations: of each target's latest judgement the winner, when its rating is at least ``alpha``; and every
    accepted artist's model. Alpha plays no other part than this, so a higher one never adds a demonstration.

    Preference pairs, each between candidates of one target:

    - *winner*: the winner of a pick over each other candidate which that person was shown. A pick says "better than
      each of the others I saw" and no more: nothing is implied about the order of the others (a top-1 observation),
      nothing about candidates that were not shown, and nothing in the direction of a pair that was called equal or
      that the winner had lost.
    - *shown*: a comparison with a clear outcome, for the order among the others, as far as it does not make a
      candidate preferred that stronger evidence rejects (who loses later in a king-of-the-hill is rejected, only).
    - *artist*: when none was good enough, an accepted artist's model over each candidate of our own that was shown.

    The rejected half is always our own model's: others are out of its distribution. No candidate is on both sides of
    the decision: where annotators disagree about a candidate, the pairs that reject it are left out.
    """
    candidates = {candidate.id: candidate for candidate in judgements.candidates}
    picks = sorted(judgements.picks, key=lambda pick: pick.id)
    accepted = sorted(judgements.accepted, key=lambda model: model.case_id)
    batches: dict[int | None, list[int]] = {}
    for candidate in sorted(judgements.candidates, key=lambda candidate: candidate.id):
        batches.setdefault(candidate.batch_id, []).append(candidate.id)
    left_out: list[Exclusion] = []
    demonstrations = _demonstrations(picks, accepted, candidates, alpha, left_out)
    strong = list(
        chain(
            _artist_pairs(picks, accepted, candidates, batches, left_out),
            _winner_pairs(picks, candidates, batches, left_out),
        )
    )
    wanted = {demonstration.candidate_id for demonstration in demonstrations} | {
        pair.chosen for pair in strong
    }
    strong = _without(strong, left_out, contradicted=lambda pair: pair.rejected in wanted)
    shown = _settled_shown_pairs(picks, candidates, wanted, {pair.rejected for pair in strong}, left_out)
    pairs = {(pair.chosen, pair.rejected): pair for pair in chain(reversed(shown), reversed(strong))}
    return Decision(
        demonstrations=tuple(sorted(demonstrations, key=lambda demonstration: demonstration.candidate_id)),
        pairs=tuple(pairs[key] for key in sorted(pairs)),
        exclusions=tuple(sorted(set(left_out))),
    )


def _demonstrations(
    picks: Sequence[Pick],
    accepted: Sequence[AcceptedModel],
    candidates: dict[int, JudgedCandidate],
    alpha: float,
    left_out: list[Exclusion],
) -> list[Demonstration]:
    latest = {pick.target_id: pick for pick in picks}
    found = {
        model.candidate_id: Demonstration(
            candidate_id=model.candidate_id,
            target_id=model.target_id,
            source=ARTIST,
            rating=None,
            annotator_id=model.artist_id,
            round=None,
        )
        for model in accepted
    }
    for pick in picks:
        if pick.winner is None or pick.rating is None:
            continue
        if latest[pick.target_id] is not pick:
            left_out.append(Exclusion(subject=f"selection {pick.id}", reason=Reason.SUPERSEDED))
        elif pick.rating < alpha:
            left_out.append(Exclusion(subject=f"selection {pick.id}", reason=Reason.BELOW_ALPHA))
        else:
            found[pick.winner] = Demonstration(
                candidate_id=pick.winner,
                target_id=pick.target_id,
                source=candidates[pick.winner].source,
                rating=pick.rating,
                annotator_id=pick.annotator_id,
                round=pick.round,
            )
    return list(found.values())


def _artist_pairs(
    picks: Sequence[Pick],
    accepted: Sequence[AcceptedModel],
    candidates: dict[int, JudgedCandidate],
    batches: dict[int | None, list[int]],
    left_out: list[Exclusion],
) -> list[PreferencePair]:
    models = {model.target_id: model for model in accepted}
    pairs = []
    for pick in picks:
        if pick.winner is not None:
            continue
        if pick.none_because != NONE_GOOD:
            left_out.append(Exclusion(subject=f"selection {pick.id}", reason=Reason.TASK_AT_FAULT))
        elif pick.target_id not in models:
            left_out.append(Exclusion(subject=f"selection {pick.id}", reason=Reason.NONE_GOOD))
        else:
            for other in batches.get(pick.batch_id, []):
                pair = _pair(pick, models[pick.target_id].candidate_id, other, Evidence.ARTIST)
                if other in pick.shown:
                    pairs.append(pair)
                else:
                    left_out.append(_exclusion(pair, Reason.NOT_SHOWN))
    return _of_our_model(pairs, candidates, left_out)


def _winner_pairs(
    picks: Sequence[Pick],
    candidates: dict[int, JudgedCandidate],
    batches: dict[int | None, list[int]],
    left_out: list[Exclusion],
) -> list[PreferencePair]:
    pairs = []
    for pick in picks:
        if pick.winner is None or pick.rating is None:
            continue
        if pick.rating < PAIR_FLOOR:
            left_out.append(Exclusion(subject=f"selection {pick.id}", reason=Reason.BELOW_PAIR_FLOOR))
            continue
        for other in batches.get(pick.batch_id, []):
            if other == pick.winner:
                continue
            pair = _pair(pick, pick.winner, other, Evidence.WINNER)
            if (reason := _doubt(pick, pick.winner, other)) is None:
                pairs.append(pair)
            else:
                left_out.append(_exclusion(pair, reason))
    return _of_our_model(pairs, candidates, left_out)


def _doubt(pick: Pick, winner: int, other: int) -> Reason | None:
    """Why this person's pick does not say that ``winner`` is better than ``other``, or None. Their last word counts."""
    if other not in pick.shown:
        return Reason.NOT_SHOWN
    direct = [pair for pair in pick.pairs if {pair.left, pair.right} == {winner, other}]
    if not direct:
        return None
    preferred = _preferred(max(direct, key=lambda pair: pair.id))
    if preferred is None:
        return Reason.EQUAL
    return None if preferred == winner else Reason.LOST_TO_IT


def _settled_shown_pairs(
    picks: Sequence[Pick],
    candidates: dict[int, JudgedCandidate],
    wanted: set[int],
    unwanted: set[int],
    left_out: list[Exclusion],
) -> list[PreferencePair]:
    """The shown pairs that contradict neither the stronger evidence nor one another."""
    pairs = []
    for pick in picks:
        for shown in pick.pairs:
            preferred = _preferred(shown)
            if preferred is None:
                left_out.append(Exclusion(subject=f"comparison {shown.id}", reason=Reason.EQUAL))
                continue
            other = shown.right if preferred == shown.left else shown.left
            pairs.append(_pair(pick, preferred, other, Evidence.SHOWN))
    pairs = _of_our_model(pairs, candidates, left_out)
    pairs = _without(
        pairs, left_out, contradicted=lambda pair: pair.chosen in unwanted or pair.rejected in wanted
    )
    losers = {pair.rejected for pair in pairs}
    return _without(pairs, left_out, contradicted=lambda pair: pair.chosen in losers)


def _preferred(shown: ShownPair) -> int | None:
    if shown.outcome == Outcome.EQUAL:
        return None
    return shown.left if shown.outcome == Outcome.LEFT else shown.right


def _pair(pick: Pick, chosen: int, rejected: int, evidence: Evidence) -> PreferencePair:
    return PreferencePair(
        chosen=chosen,
        rejected=rejected,
        target_id=pick.target_id,
        annotator_id=pick.annotator_id,
        round=pick.round,
        evidence=evidence,
    )


def _of_our_model(
    pairs: Iterable[PreferencePair], candidates: dict[int, JudgedCandidate], left_out: list[Exclusion]
) -> list[PreferencePair]:
    kept = []
    for pair in pairs:
        if candidates[pair.rejected].source == OUR_MODEL:
            kept.append(pair)
        else:
            left_out.append(_exclusion(pair, Reason.NOT_OURS))
    return kept


def _without(
    pairs: Iterable[PreferencePair],
    left_out: list[Exclusion],
    *,
    contradicted: Callable[[PreferencePair], bool],
) -> list[PreferencePair]:
    kept = []
    for pair in pairs:
        if contradicted(pair):
            left_out.append(_exclusion(pair, Reason.CONTRADICTED))
        else:
            kept.append(pair)
    return kept


def _exclusion(pair: PreferencePair, reason: Reason) -> Exclusion:
    return Exclusion(subject=f"pair {pair.chosen}>{pair.rejected}", reason=reason)
