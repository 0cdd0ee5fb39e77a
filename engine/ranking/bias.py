"""Does the loop feed on itself? Shares of sources, coverage of the shapes' space, an alarm and a brake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ranking.intervals import Estimate, posterior_of
from engine.ranking.nearest import nearest_distances, squared_distances

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEWTON_STEPS, RIDGE = 25, 1e-2


def own_share(counts: Mapping[str, int], *, own: str) -> Estimate | None:
    """The share of demonstrations that our own model made; None when there are none."""
    total = sum(counts.values())
    if not total:
        return None
    hits = counts.get(own, 0)
    interval = posterior_of(hits, total - hits, prior=(0.5, 0.5)).estimate()
    share = hits / total
    return Estimate(value=share, low=min(interval.low, share), high=max(interval.high, share))


def coverage(accepted: Floats, reference: Floats, *, neighbours: int = 5) -> float:
    """The share of ``reference`` (R, D) shapes that have an accepted one (N, D) as near as their own k-th neighbour.

    1 when the accepted shapes reach all of the reference (the targets', artists' or retrieved shapes), small when they
    crowd in one part of it (Naeem et al. 2020). Unlike a mean distance it is not fooled by far outliers.
    """
    if accepted.ndim != 2 or reference.ndim != 2 or accepted.shape[1] != reference.shape[1]:
        raise ValueError("embeddings must be (N, D) and (R, D) of one D")
    if len(reference) <= neighbours:
        raise ValueError(f"the reference needs more than {neighbours} shapes")
    if not len(accepted):
        return 0.0
    radius = nearest_distances(reference, reference, rank=neighbours + 1)
    nearest = nearest_distances(accepted, reference)
    return float((nearest <= radius).mean())


def effective_number(embeddings: Floats, *, bandwidth: float) -> float:
    """How many different shapes there are, from 1 to N (the Vendi score of Friedman and Dieng, 2023).

    exp of the entropy of the eigenvalues of a Gaussian kernel over the (N, D) embeddings, divided by N.
    """
    if embeddings.ndim != 2 or not len(embeddings) or bandwidth <= 0:
        raise ValueError("embeddings must be (N, D) with N > 0, and the bandwidth positive")
    squares = squared_distances(embeddings, embeddings)
    values = np.linalg.eigvalsh(np.exp(-squares / (2 * bandwidth**2)) / len(embeddings))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def acceptance_odds(
    *,
    accepted: Bools,
    own: Bools,
    quality: Floats,
    rng: np.random.Generator,
    num_samples: int = 200,
    confidence: float = 0.95,
) -> Estimate:
    """By how much (log-odds) our own model's candidates are accepted more often than others of equal blind quality.

    A logistic regression of acceptance (N) on ``own`` (N) beside ``quality`` (N), a measure taken without knowing the
    source (distance to ground truth, a blind arena's strength). 0 is no favour; the interval is a bootstrap's.
    """
    if not accepted.shape == own.shape == quality.shape or accepted.ndim != 1 or not accepted.size:
        raise ValueError("accepted, own and quality must be arrays of one length")
    spread = float(quality.std()) or 1.0
    design = np.column_stack([np.ones(own.size), own, (quality - quality.mean()) / spread])
    said = accepted.astype(np.float64)
    value = _logistic(design, said, np.ones(own.size), np.zeros(3))
    drawn = [
        _logistic(
            design,
            said,
            np.bincount(rng.integers(own.size, size=own.size), minlength=own.size).astype(np.float64),
            value,
        )[1]
        for _ in range(num_samples)
    ]
    edge = (1 - confidence) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge])
    return Estimate(value=float(value[1]), low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class RoundBias:
    """One round as the monitor sees it; None where it was not measured."""

    number: int
    own_share: float | None
    coverage: float | None


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What is wrong, for people, and whether the brake should be put on."""

    reasons: tuple[str, ...]

    @property
    def is_raised(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, kw_only=True)
class BiasPolicy:
    """When the monitor alarms, and how hard the brake holds."""

    most_own: float = 0.9  # of the demonstrations
    least_coverage: float = 0.5
    most_loss: float = 0.2  # of coverage against the best round so far
    least_foreign: float = 0.25  # of candidates by other sources while the brake is on
    free_foreign: float = 0.05  # and while it is off


def alarm(rounds: Sequence[RoundBias], policy: BiasPolicy | None = None) -> Alarm:
    """What the newest round's measures say, beside the earlier ones."""
    rules = policy or BiasPolicy()
    measured = sorted(rounds, key=lambda each: each.number)
    if not measured:
        return Alarm(reasons=())
    newest = measured[-1]
    reasons = []
    if newest.own_share is not None and newest.own_share > rules.most_own:
        reasons.append(f"{100 * newest.own_share:.0f} % of the demonstrations are our own model's.")
    if newest.coverage is not None:
        best = max(each.coverage for each in measured if each.coverage is not None)
        if newest.coverage < rules.least_coverage:
            reasons.append(
                f"Accepted shapes cover only {100 * newest.coverage:.0f} % of the targets' shapes."
            )
        if newest.coverage < (1 - rules.most_loss) * best:
            reasons.append(f"Coverage fell from {100 * best:.0f} % to {100 * newest.coverage:.0f} %.")
    return Alarm(reasons=tuple(reasons))


@dataclass(frozen=True, kw_only=True)
class MeasuredRound:
    """One round with the intervals of what was measured; None where it was not."""

    number: int
    own: Estimate | None
    coverage: Estimate | None


def sure_alarm(rounds: Sequence[MeasuredRound], policy: BiasPolicy | None = None) -> Alarm:
    """As ``alarm``, where the whole interval says so: chance alone alarms less than once in forty looks at a limit."""
    rules = policy or BiasPolicy()
    measured = sorted(rounds, key=lambda each: each.number)
    newest = next((each for each in reversed(measured) if each.own or each.coverage), None)
    if newest is None:
        return Alarm(reasons=())
    reasons = []
    if newest.own is not None and newest.own.low > rules.most_own:
        reasons.append(
            f"Round {newest.number}: surely more than {100 * rules.most_own:.0f} % of the accepted shapes are our own "
            f"model's ({100 * newest.own.low:.0f} to {100 * newest.own.high:.0f} %)."
        )
    if newest.coverage is not None:
        best = max(each.coverage.low for each in measured if each.coverage is not None)
        if newest.coverage.high < rules.least_coverage:
            reasons.append(
                f"Round {newest.number}: accepted shapes cover at most {100 * newest.coverage.high:.0f} % of those "
                "that were offered."
            )
        if newest.coverage.high < (1 - rules.most_loss) * best:
            reasons.append(
                f"Coverage fell from at least {100 * best:.0f} % to at most {100 * newest.coverage.high:.0f} %."
            )
    return Alarm(reasons=tuple(reasons))


def brake(
    shares: Mapping[str, float], *, own: str, is_alarmed: bool, policy: BiasPolicy | None = None
) -> dict[str, float]:
    """The mix of candidate sources to use next: as asked for, but with a least share of others than our own.

    What is taken from our own goes to the others as they stand to one another. Raises ValueError when shares are not a
    distribution, or when there is no other source to give to.
    """
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError("shares of sources are not negative and sum to 1")
    rules = policy or BiasPolicy()
    least = rules.least_foreign if is_alarmed else rules.free_foreign
    foreign = {source: share for source, share in shares.items() if source != own}
    total = sum(foreign.values())
    if total >= least:
        return dict(shares)
    if not foreign:
        raise ValueError("the brake needs another source than our own model")
    even = {source: 1 / len(foreign) for source in foreign}
    parts = {source: share / total for source, share in foreign.items()} if total > 0 else even
    return {own: 1 - least, **{source: least * part for source, part in parts.items()}}


def _logistic(design: Floats, said: Floats, weights: Floats, start: Floats) -> Floats:
    """Weighted logistic regression with a weak ridge, by Newton's method."""
    found = start.copy()
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (weights * (chance - said)) + RIDGE * found
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + RIDGE * np.eye(found.size), slope)
        found = found - np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-6:
            break
    return found
