"""Stage 2: the winner of a batch with its rating and the pairs really compared, or why none will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from engine import jobs
from engine.errors import BadInput
from engine.models import Assignment, Comparison, Selection
from engine.selectors.tasks import shown_order
from engine.services import submissions
from engine.services.attention import (
    MAX_MILLISECONDS,
    NOT_TOLD,
    Attention,
    Looked,
    attention_json,
    check_attention,
    check_inspected,
    inspected_json,
)
from engine.services.hard_cases import MASK_WRONG, Report, hand_over
from engine.services.hidden_gold import Hidden, marked
from engine.services.own_work import OwnWork
from engine.services.submissions import Judged, Submission
from engine.states import Stage

#: Why none is good enough.
NONE_BECAUSE = ("none_good", MASK_WRONG, "ambiguous")
#: Fewer than two are no choice.
FEWEST_SHOWN = 2


@dataclass(frozen=True, kw_only=True)
class PairJudged:
    """One pair really shown, and what the person said of it: "left", "right" or "equal"."""

    left: int
    right: int
    outcome: str
    milliseconds: int = 0


@dataclass(frozen=True, kw_only=True)
class PickResult:
    """A pick as it was sent: ids are candidates of the task's batch, ratings 1 to 5."""

    winner: int
    mode: str
    shape_rating: int
    texture_rating: int
    comparisons: Sequence[PairJudged] = ()
    inspected: Mapping[int, int] | None = None  # candidate > milliseconds it was looked at large
    not_loaded: Sequence[int] = ()  # candidates that the person's browser could not show
    attention: Attention | None = None


def rating_of(*, shape_rating: int, texture_rating: int) -> float:
    """r in [0, 1] of two marks from 1 to 5."""
    return ((shape_rating + texture_rating) / 2 - 1) / 4


def submit_pick(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    key: str,
    seconds: float,
    result: PickResult,
    now: datetime,
) -> dict[str, Any]:
    """Records the comparisons and the selection; a winner rated at least alpha gets a layout proposal next.

    The answer names the winner, its rating and whether a layout was asked for. Raises as ``submissions.settle``
    does, and BadInput for ids, ratings or comparisons that do not fit together; nothing is written then.
    """
    submission = Submission(
        user_id=user_id, assignment=assignment, lease_token=lease_token, key=key, seconds=seconds, now=now
    )

    def prepare(work: OwnWork) -> Callable[[], Judged]:
        check_pick(result, ids=work.candidates)
        if work.row.gold_id is not None:
            sent = _as_sent(result)
            return partial(_answer_hidden, work, result, write=marked(work, Hidden(sent=sent, kept=sent)))
        return partial(_record_pick, work, result)

    return submissions.settle(submission, stage=Stage.PICK, unsent=_as_sent(result), prepare=prepare)


def escalate_pick(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    reason: str,
    note: str,
    now: datetime,
    looked: Looked = NOT_TOLD,
) -> Assignment:
    """Records that none is good enough, why, and how the person looked at them; twice is once.

    Goes on, and raises, as ``hard_cases.hand_over``.
    """
    report = Report(
        user_id=user_id,
        assignment=assignment,
        lease_token=lease_token,
        reason=reason,
        note=note,
        now=now,
        looked=looked,
    )

    def judge(work: OwnWork) -> None:
        Selection.objects.create(
            **_common(work),
            mode=work.project.stage2_mode,
            none_because=reason,
            note=note,
            inspected=inspected_json(looked.inspected),
            attention=attention_json(looked.attention),
        )

    return hand_over(report, stage=Stage.PICK, reasons=NONE_BECAUSE, judge=judge)


def check_pick(result: PickResult, *, ids: Sequence[int]) -> None:
    """Raises BadInput unless ``result`` is a possible judgement of the candidates ``ids``."""
    shown = _shown(result, ids=ids)
    if result.winner not in shown:
        raise BadInput(
            f"The winner must be one of the candidates shown, {_listed(shown)}, not {result.winner}."
        )
    if result.mode not in Selection.Mode.values:
        raise BadInput(f"The mode must be one of {', '.join(Selection.Mode.values)}, not {result.mode!r}.")
    for name, mark in (("shape_rating", result.shape_rating), ("texture_rating", result.texture_rating)):
        if mark not in range(1, 6):
            raise BadInput(f"{name} must be a whole number from 1 to 5, not {mark}.")
    check_inspected(result.inspected or {}, ids=ids)
    if result.attention is not None:
        check_attention(result.attention, ids=ids)
    for pair in result.comparisons:
        _check_pair(pair, ids=shown)
    if result.mode == Selection.Mode.KING:
        _check_chain(result, num_candidates=len(shown))
    elif result.comparisons:
        raise BadInput(
            "A direct pick from the grid compares no pairs: leave comparisons empty, or send mode king."
        )


def _record_pick(work: OwnWork, result: PickResult) -> Judged:
    held = work.row
    answer = _answer(work, result)
    Comparison.objects.bulk_create(
        Comparison(
            project_id=held.project_id,
            assignment=held,
            order=order,
            left_id=pair.left,
            right_id=pair.right,
            outcome=pair.outcome,
            milliseconds=pair.milliseconds,
        )
        for order, pair in enumerate(result.comparisons)
    )
    Selection.objects.create(
        **_common(work),
        winner_id=result.winner,
        mode=result.mode,
        shape_rating=result.shape_rating,
        texture_rating=result.texture_rating,
        rating=answer["rating"],
        inspected=inspected_json(result.inspected),
        not_loaded=sorted(set(result.not_loaded)),
        attention=attention_json(result.attention),
    )
    if answer["layout_requested"]:
        jobs.enqueue(
            kind="propose_layout",
            key=_layout_key(work, winner=result.winner),
            payload={"candidate_id": result.winner},
            project_id=held.project_id,
        )
    return Judged(answer=answer)


def _answer_hidden(work: OwnWork, result: PickResult, *, write: Callable[[], None]) -> Judged:
    write()
    return Judged(answer=_answer(work, result))


def _answer(work: OwnWork, result: PickResult) -> dict[str, Any]:
    """What the person is told."""
    alpha = work.round.alpha if work.round else work.project.alpha
    rating = rating_of(shape_rating=result.shape_rating, texture_rating=result.texture_rating)
    return {"winner": result.winner, "rating": rating, "layout_requested": rating >= alpha}


def _layout_key(work: OwnWork, *, winner: int) -> str:
    """One layout per winner; a task whose answer was taken back asks anew, for the pose task went with that answer."""
    return f"layout-{winner}-{work.row.pk}" if work.was_taken_back else f"layout-{winner}"


def _common(work: OwnWork) -> dict[str, Any]:
    return {
        "project_id": work.row.project_id,
        "assignment": work.row,
        "batch_id": work.row.task.batch_id,
        "round_id": work.round_id,
        "shown_order": shown_order(work.row.order_seed, work.candidates),
    }


def _shown(result: PickResult, *, ids: Sequence[int]) -> list[int]:
    """The candidates that the person could see. Raises BadInput when they are too few for a choice."""
    strangers = set(result.not_loaded) - set(ids)
    if strangers:
        raise BadInput(f"not_loaded must name candidates of {_listed(ids)}, not {_listed(list(strangers))}.")
    shown = [one for one in ids if one not in result.not_loaded]
    if len(shown) < FEWEST_SHOWN:
        raise BadInput("A pick needs two candidates that could be shown: skip the task, or hand it over.")
    return shown


def _check_pair(pair: PairJudged, *, ids: Sequence[int]) -> None:
    if pair.left not in ids or pair.right not in ids or pair.left == pair.right:
        raise BadInput(
            f"A comparison shows two different candidates of {_listed(ids)}, not {pair.left} and {pair.right}."
        )
    if pair.outcome not in Comparison.Outcome.values:
        raise BadInput(
            f"An outcome must be one of {', '.join(Comparison.Outcome.values)}, not {pair.outcome!r}."
        )
    if not 0 <= pair.milliseconds <= MAX_MILLISECONDS:
        raise BadInput(f"milliseconds must be between 0 and {MAX_MILLISECONDS}, not {pair.milliseconds}.")


def _check_chain(result: PickResult, *, num_candidates: int) -> None:
    """King of the hill: who won stays and meets one not seen before; a tie keeps either; the last one is the winner."""
    pairs = result.comparisons
    if len(pairs) != num_candidates - 1:
        raise BadInput(
            f"King of the hill over {num_candidates} candidates takes {num_candidates - 1} comparisons, "
            f"not {len(pairs)}."
        )
    kings: set[int] = {pairs[0].left, pairs[0].right}
    seen: set[int] = set()
    for number, pair in enumerate(pairs, start=1):
        both = {pair.left, pair.right}
        new = both - seen
        if number > 1 and (len(new) != 1 or not both & kings):
            raise BadInput(
                f"Comparison {number} must show the winner of the one before it beside a candidate not seen yet."
            )
        seen |= both
        kings = _kings_after(pair)
    if result.winner not in kings:
        raise BadInput(f"The winner {result.winner} did not win the last comparison.")


def _kings_after(pair: PairJudged) -> set[int]:
    if pair.outcome == Comparison.Outcome.LEFT:
        return {pair.left}
    if pair.outcome == Comparison.Outcome.RIGHT:
        return {pair.right}
    return {pair.left, pair.right}


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


def _as_sent(result: PickResult) -> dict[str, Any]:
    """The result in its wire form, to be kept in the draft when the lease was lost."""
    return {
        **asdict(result),
        "comparisons": [asdict(pair) for pair in result.comparisons],
        "inspected": inspected_json(result.inspected),
        "not_loaded": list(result.not_loaded),
        "attention": attention_json(result.attention),
    }
