"""May a checkpoint replace what serves? Blind votes, no slice and no geometry worse; safe to ask at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.ranking.intervals import Estimate, Posterior, posterior_of


class GateVerdict(StrEnum):
    PASS = "pass"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Of the new checkpoint against the serving one, one vote a task at most; a tie is half a win."""

    wins: float = 0.0
    losses: float = 0.0
    ties: float = 0.0

    @property
    def number(self) -> float:
        return self.wins + self.losses + self.ties

    def posterior(self) -> Posterior:
        """Of the chance of a win, ties counted half."""
        return posterior_of(self.wins + self.ties / 2, self.losses + self.ties / 2)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A geometry metric's difference to the serving checkpoint, with its interval."""

    name: str
    difference: Estimate
    higher_is_better: bool

    @property
    def is_worse(self) -> bool:
        """The whole interval lies on the wrong side."""
        return self.difference.high < 0 if self.higher_is_better else self.difference.low > 0


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """What must be there before a checkpoint passes."""

    min_votes: int = 200
    min_annotators: int = 10
    certainty: float = 0.975  # posterior that a win is likelier than a loss
    error: float = 0.05  # of ever passing one that is no better, however often one looks
    slice_votes: int = 20
    slice_error: float = 0.05  # over all slices together


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The verdict and why; ``win`` is the chance that the new one is preferred."""

    verdict: GateVerdict
    reasons: tuple[str, ...]
    votes: Votes
    win: Estimate
    certainty: float  # posterior that the chance is above a half
    evidence: float  # betting odds against "no better", which may be read at any time
    slices: Mapping[str, Votes] = field(default_factory=dict)


def judge(
    votes: Votes,
    *,
    num_annotators: int,
    slices: Mapping[str, Votes],
    measures: Sequence[Measure] | None,
    policy: GatePolicy | None = None,
) -> Gate:
    """Pass, wait for more votes, or refuse. ``measures`` is None when geometry was not evaluated, which makes it wait.

    Passing needs enough votes of enough people, a posterior P(win > 1/2) above ``certainty``, and evidence of at least
    1 / ``error`` against "no better". Ville's inequality makes the last one safe however often one looks: one that is
    no better ever passes with probability ``error`` at most. A slice that is surely worse, or a geometry metric whose
    whole interval is worse, refuses, whatever the votes say; so does evidence of 1 / ``error`` for "no better at all".
    """
    rules = policy or GatePolicy()
    refused = [*_worse_slices(slices, rules), *_worse_measures(measures)]
    against = evidence_for_better(Votes(wins=votes.losses, losses=votes.wins, ties=votes.ties))
    if against >= 1 / rules.error:
        refused.append("The votes say that it is worse.")
    evidence = evidence_for_better(votes)
    posterior = votes.posterior()
    certainty = posterior.probability_above(0.5)
    missing = _missing(votes, num_annotators, certainty, evidence, measures, rules)
    verdict = GateVerdict.REFUSE if refused else GateVerdict.WAIT if missing else GateVerdict.PASS
    return Gate(
        verdict=verdict,
        reasons=tuple(refused or missing or ["It is preferred, and nothing got worse."]),
        votes=votes,
        win=posterior.estimate(),
        certainty=certainty,
        evidence=evidence,
        slices=slices,
    )


def evidence_for_better(votes: Votes) -> float:
    """Odds of "a win is likelier" against "wins and losses are equally likely", a bet that nobody can profit from.

    The Bayes factor of p uniform on (1/2, 1) against p = 1/2 over the decided votes, which is a martingale when p is
    a half and falls when p is less. Ties bet nothing.
    """
    wins, losses = votes.wins, votes.losses
    above = posterior_of(wins, losses).probability_above(0.5)
    if above <= 0:
        return 0.0
    log_odds = (
        math.log(2.0)
        + math.log(above)
        + (math.lgamma(1 + wins) + math.lgamma(1 + losses) - math.lgamma(2 + wins + losses))
        + (wins + losses) * math.log(2.0)
    )
    return math.exp(min(log_odds, 700.0))


def _worse_slices(slices: Mapping[str, Votes], rules: GatePolicy) -> list[str]:
    """Those that surely lose: the certainty asked for grows with their number, so that luck refuses seldom."""
    judged = {name: votes for name, votes in slices.items() if votes.number >= rules.slice_votes}
    return [
        f"It is worse on {name}: {votes.wins:g} won, {votes.losses:g} lost, {votes.ties:g} equal."
        for name, votes in sorted(judged.items())
        if votes.posterior().probability_above(0.5) < rules.slice_error / len(judged)
    ]


def _worse_measures(measures: Sequence[Measure] | None) -> list[str]:
    return [
        f"{measure.name} is worse: {measure.difference.value:+.4f} "
        f"({measure.difference.low:+.4f} to {measure.difference.high:+.4f})."
        for measure in measures or ()
        if measure.is_worse
    ]


def _missing(
    votes: Votes,
    num_annotators: int,
    certainty: float,
    evidence: float,
    measures: Sequence[Measure] | None,
    rules: GatePolicy,
) -> list[str]:
    missing = []
    if votes.number < rules.min_votes:
        missing.append(f"{votes.number:g} of at least {rules.min_votes} votes are in.")
    if num_annotators < rules.min_annotators:
        missing.append(f"{num_annotators} of at least {rules.min_annotators} people have voted.")
    if certainty <= rules.certainty or evidence < 1 / rules.error:
        missing.append(f"That it is preferred is {100 * certainty:.1f} % certain, which is not enough yet.")
    if measures is None:
        missing.append("Its geometry was not evaluated against the serving checkpoint.")
    return missing
