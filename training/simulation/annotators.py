"""Simulated annotators: what people with noisy eyes pick, rate and align, and how noisy their eyes must be.

An annotator never sees a candidate's quality, only looks: its quality plus fresh noise every time. The noise is not
chosen; it is found such that the annotator is right about a stated share of the pairs that the protocol shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.simulation.proposals import Proposals

Method = Literal["hill", "grid"]
AGREEMENT = 0.75  # of people with each other about such pairs at best (SAM 3D, appendix E.7)
NOISE_RANGE = (1e-6, 10.0)
REPEATS = 32  # how often calibration plays the same candidates, to quieten chance
FIRST, EQUAL, SECOND = 1, 0, -1

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AlignmentNoise:
    """Standard deviations of a person's pose about the true one: degrees, shares of the object's size, log scale."""

    rotation_deg: float = 5.0
    translation: float = 0.03
    log_scale: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """``noise``: standard deviation of one look, in units of quality. ``careless``: share of answers given blindly.

    ``hill`` is the sequential king of the hill (winner stays, N - 1 comparisons in random order); ``grid`` is a direct
    pick after one look at each. Two looks closer than ``indifference`` times the noise are called equal.
    """

    name: str
    noise: float
    careless: float = 0.0
    indifference: float = 0.25
    method: Method = "hill"
    alignment: AlignmentNoise = AlignmentNoise()

    def __post_init__(self) -> None:
        if self.noise < 0 or not 0 <= self.careless <= 1 or self.indifference < 0:
            raise ValueError("noise and indifference must not be negative and careless must be a share")


@dataclass(frozen=True, kw_only=True)
class Picks:
    """One winner a target, and the comparisons that were really made: none of them for a pick from the grid.

    ``outcome`` T x M says which of ``first`` and ``second`` (T x M, candidate numbers) was called better.
    """

    winner: Indices
    first: Indices
    second: Indices
    outcome: NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """What an annotator said of T targets. A target is accepted when its winner's rating is at least ``alpha``.

    ``alignment`` T x 7 is the pose's error: rotation vector (rad), translation (object sizes), log scale.
    """

    annotator: str
    alpha: float
    picks: Picks
    rating: Floats  # T, a fresh look at the winner, within 0 and 1
    alignment: Floats
    num_candidates: int

    @property
    def accepted(self) -> NDArray[np.bool_]:
        accepted: NDArray[np.bool_] = self.rating >= self.alpha
        return accepted

    def rejected(self, target: int) -> Indices:
        """Candidates that the winner is better than by this person's word.

        As in curation, a pick says so of each other that was shown, except of those called equal to it.
        """
        picks, winner = self.picks, int(self.picks.winner[target])
        met = {
            int(b if a == winner else a): int(outcome)
            for a, b, outcome in zip(
                picks.first[target], picks.second[target], picks.outcome[target], strict=True
            )
            if winner in (a, b)
        }
        others = (number for number in range(self.num_candidates) if number != winner)
        return np.array([number for number in others if met.get(number) != EQUAL], dtype=np.int64)


def judge(proposals: Proposals, annotator: Annotator, *, alpha: float, seed: int = 0) -> Judgements:
    """Pick, rate and align every target. Same arguments, same judgements."""
    rng = np.random.default_rng([seed, *annotator.name.encode()])
    picks = _pick(proposals.quality, annotator, rng)
    best = np.take_along_axis(proposals.quality, picks.winner[:, None], axis=1)[:, 0]
    blind = rng.random(len(best)) < annotator.careless
    looked = best + annotator.noise * rng.normal(size=len(best))
    spread = annotator.alignment
    scales = [np.deg2rad(spread.rotation_deg) / np.sqrt(3)] * 3 + [spread.translation / np.sqrt(3)] * 3
    return Judgements(
        annotator=annotator.name,
        alpha=alpha,
        picks=picks,
        rating=np.clip(np.where(blind, rng.random(len(best)), looked), 0.0, 1.0),
        alignment=rng.normal(size=(len(best), 7)) * np.array([*scales, spread.log_scale]),
        num_candidates=proposals.num_candidates,
    )


def calibrated_noise(
    quality: Floats,
    *,
    agreement: float = AGREEMENT,
    method: Method = "hill",
    indifference: float = 0.25,
    seed: int = 0,
) -> float:
    """The noise with which an annotator is right about ``agreement`` of the pairs shown, on candidates like these.

    ``quality`` T x N is measured on some targets. Agreement falls with noise; the answer is bisected with the same
    chance at every try. Raises ValueError when no noise gives it: candidates that hardly differ, say.
    """
    if quality.ndim != 2 or quality.shape[1] < 2:
        raise ValueError(
            f"calibration needs the qualities of at least two candidates a target, not {quality.shape}"
        )
    if not 0.5 < agreement < 1:
        raise ValueError("agreement must lie between a coin's and perfection")
    many = np.tile(quality, (REPEATS, 1))

    def reached(noise: float) -> float:
        probe = Annotator(name="calibration", noise=noise, indifference=indifference, method=method)
        picks = _pick(many, probe, np.random.default_rng(seed))
        return pair_agreement(picks, many)

    low, high = np.log(NOISE_RANGE)
    if not reached(NOISE_RANGE[0]) > agreement > reached(NOISE_RANGE[1]):
        raise ValueError(f"no noise makes an annotator agree on {agreement:.0%} of these pairs")
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(float(np.exp(middle))) > agreement else (low, middle)
    return float(np.exp((low + high) / 2))


def pair_agreement(picks: Picks, quality: Floats) -> float:
    """Share of judged pairs, those called equal left out, whose better one truly is; for the grid, of the pick and each
    other. NaN when there is no such pair; pairs of one quality are left out too."""
    if picks.first.shape[1]:
        outcome = picks.outcome
        first = np.take_along_axis(quality, picks.first, axis=1)
        second = np.take_along_axis(quality, picks.second, axis=1)
    else:
        first = np.take_along_axis(quality, picks.winner[:, None], axis=1)
        second, outcome = quality, np.full(quality.shape, FIRST, np.int8)
    judged = (outcome != EQUAL) & (first != second)
    right = (first > second) == (outcome == FIRST)
    return float(right[judged].mean()) if judged.any() else float("nan")


def _pick(quality: Floats, annotator: Annotator, rng: np.random.Generator) -> Picks:
    return (
        _climbed(quality, annotator, rng)
        if annotator.method == "hill"
        else _from_grid(quality, annotator, rng)
    )


def _climbed(quality: Floats, annotator: Annotator, rng: np.random.Generator) -> Picks:
    """King of the hill: two random looks a comparison; on equal a random one of the two stays."""
    count, num = quality.shape
    order = np.argsort(rng.random((count, num)), axis=1)
    king, rows = order[:, 0], np.arange(count)
    firsts, seconds, outcomes = [], [], []
    for turn in range(1, num):
        rival = order[:, turn]
        looks = np.stack([quality[rows, king], quality[rows, rival]]) + annotator.noise * rng.normal(
            size=(2, count)
        )
        gap = looks[0] - looks[1]
        equal = np.abs(gap) < annotator.indifference * annotator.noise
        answer = np.where(equal, EQUAL, np.where(gap > 0, FIRST, SECOND))
        blind = rng.random(count) < annotator.careless
        answer = np.where(blind, rng.choice([FIRST, SECOND], size=count), answer)
        stays = np.where(answer == EQUAL, rng.random(count) < 0.5, answer == FIRST)
        firsts.append(king)
        seconds.append(rival)
        outcomes.append(answer)
        king = np.where(stays, king, rival)
    shape = (count, num - 1)
    return Picks(
        winner=king,
        first=np.array(firsts, np.int64).T.reshape(shape),
        second=np.array(seconds, np.int64).T.reshape(shape),
        outcome=np.array(outcomes, np.int8).T.reshape(shape),
    )


def _from_grid(quality: Floats, annotator: Annotator, rng: np.random.Generator) -> Picks:
    count, num = quality.shape
    seen = (quality + annotator.noise * rng.normal(size=quality.shape)).argmax(axis=1)
    blind = rng.random(count) < annotator.careless
    none = np.zeros((count, 0), np.int64)
    return Picks(
        winner=np.where(blind, rng.integers(0, num, count), seen),
        first=none,
        second=none,
        outcome=none.astype(np.int8),
    )
