"""When a person should stop until a lead has looked: by evidence of being wrong, never by speed or habits alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.ranking.intervals import Estimate
from engine.ranking.reliability import ENOUGH_ANSWERS, Agreement
from engine.ranking.sequential import Verdict, WaldTest

#: Gold is clear-cut: honest people are right on nine of ten.
GOLD = WaldTest(honest=0.9, bad=0.6)
#: Of the way from chance to what the others agree among themselves, a person must surely stay below this.
LEAST_OF_THE_WAY = 0.5


@dataclass(frozen=True, kw_only=True)
class Case:
    """What speaks for and against one person in one stage."""

    agreement: Agreement
    one_coin: Estimate | None
    gold: Sequence[bool] = ()


def reason_to_pause(case: Case, *, crowd: float | None) -> str:
    """Why the person should be paused, or nothing. ``crowd`` is the mean agreement of all others.

    On gold by Wald's test. On overlap only after ENOUGH_ANSWERS shared answers, when the whole interval of agreement
    lies near chance: a crowd that is wrong together cannot be told so without gold.
    """
    if GOLD.verdict(case.gold) == Verdict.BAD:
        return reason_on_gold(case.gold)
    share, chance = case.agreement.share, case.agreement.chance
    if share is None or chance is None or crowd is None or case.agreement.num_answers < ENOUGH_ANSWERS:
        return ""
    bar = chance + LEAST_OF_THE_WAY * (crowd - chance)
    if crowd <= chance or share.high >= bar:
        return ""
    return (
        f"Agrees with others on {100 * share.value:.0f} % of {case.agreement.num_answers} shared answers "
        f"(at most {100 * share.high:.0f} %), where the others agree on {100 * crowd:.0f} % and chance gives "
        f"{100 * chance:.0f} %."
    )


def reason_on_gold(outcomes: Sequence[bool]) -> str:
    """What marks on gold say against a person."""
    return f"Right on {sum(outcomes)} of {len(outcomes)} gold tasks, where honest people are on nine of ten."
