"""How reliable each annotator is: on gold, by agreement with the others, and by a one-coin Dawid-Skene model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ranking.intervals import Estimate, Posterior, posterior_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Jeffreys' prior, for shares of agreement.
JEFFREYS = (0.5, 0.5)
#: Below so many answers a Dawid-Skene reliability says less than plain agreement does.
ENOUGH_ANSWERS = 20
#: People are rather right than wrong: two right answers to one wrong, before anything is known.
PRIOR = (2.0, 1.0)
ITERATIONS = 40
TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Who answered what: one entry per answer. ``label`` is below ``num_options`` of its task."""

    task: Ints  # (A)
    worker: Ints  # (A), below num_workers
    label: Ints  # (A)
    num_options: Ints  # (A), of the answer's task: how many it chose among
    num_workers: int

    def __post_init__(self) -> None:
        arrays = (self.task, self.worker, self.label, self.num_options)
        if any(each.shape != self.task.shape or each.ndim != 1 for each in arrays):
            raise ValueError("task, worker, label and num_options must be arrays of one length")
        if self.task.size and (
            self.label.min() < 0
            or np.any(self.label >= self.num_options)
            or self.worker.max() >= self.num_workers
            or self.num_options.min() < 2
        ):
            raise ValueError("labels lie below num_options (at least 2), workers below num_workers")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A worker's agreement with the others on the tasks they shared; None before the first shared one."""

    num_answers: int
    share: Estimate | None
    chance: float | None  # what a random pick would have agreed


@dataclass(frozen=True, kw_only=True)
class OneCoin:
    """Reliability by worker (None below ENOUGH_ANSWERS shared ones), and the tasks' most likely labels.

    ``labels`` maps a task to (label, its posterior).
    """

    reliability: tuple[Estimate | None, ...]
    labels: dict[int, tuple[int, float]]


def gold_posterior(*, hits: int, misses: int) -> Posterior:
    """What gold says of a person: Beta after a flat prior. Act on it, not on the raw rate."""
    return posterior_of(hits, misses)


def leave_one_out(answers: Answers, *, confidence: float = 0.95) -> tuple[Agreement, ...]:
    """Per worker: the mean share of the other answers to the same tasks that say the same, with an interval.

    Tasks that one person alone answered say nothing. The interval is Jeffreys' with the credits as counts, which is
    wider than it need be where several others answered.
    """
    place, of_same, of_task = _crowds(answers)
    shared = of_task[place] > 1
    others = np.maximum(of_task[place] - 1, 1)
    credit = np.where(shared, (of_same - 1) / others, 0.0)
    number = np.bincount(answers.worker, shared, answers.num_workers)
    hits = np.bincount(answers.worker, credit, answers.num_workers)
    chances = np.bincount(answers.worker, np.where(shared, 1 / answers.num_options, 0), answers.num_workers)
    return tuple(
        Agreement(
            num_answers=int(n),
            share=_share(hit, n, confidence) if n else None,
            chance=float(chance / n) if n else None,
        )
        for n, hit, chance in zip(number, hits, chances, strict=True)
    )


def one_coin(
    answers: Answers,
    *,
    rng: np.random.Generator,
    num_samples: int = 50,
    confidence: float = 0.95,
    enough: int = ENOUGH_ANSWERS,
) -> OneCoin:
    """One-coin Dawid-Skene by EM: a worker is right with one probability, else picks any of the others alike.

    A full confusion matrix does not fit a best-of-N, whose slots are exchangeable. Only tasks with two answers or more
    count. Intervals are of a bootstrap over tasks.
    """
    place, _, of_task = _crowds(answers)
    shared = of_task[place] > 1
    if not shared.any():
        return OneCoin(reliability=(None,) * answers.num_workers, labels={})
    kept = Answers(
        task=answers.task[shared],
        worker=answers.worker[shared],
        label=answers.label[shared],
        num_options=answers.num_options[shared],
        num_workers=answers.num_workers,
    )
    names, row = np.unique(kept.task, return_inverse=True)
    estimate, posterior = _expectation_maximisation(kept, row, names.size, np.ones(names.size))
    samples = np.stack(
        [
            _expectation_maximisation(
                kept,
                row,
                names.size,
                np.bincount(rng.integers(names.size, size=names.size), minlength=names.size).astype(
                    np.float64
                ),
            )[0]
            for _ in range(num_samples)
        ]
    )
    edge = (1 - confidence) / 2
    low, high = np.quantile(samples, [edge, 1 - edge], axis=0)
    number = np.bincount(kept.worker, minlength=answers.num_workers)
    best = posterior.argmax(axis=1)
    return OneCoin(
        reliability=tuple(
            Estimate(
                value=float(estimate[worker]),
                low=float(min(low[worker], estimate[worker])),
                high=float(max(high[worker], estimate[worker])),
            )
            if number[worker] >= enough
            else None
            for worker in range(answers.num_workers)
        ),
        labels={
            int(name): (int(label), float(posterior[index, label]))
            for index, (name, label) in enumerate(zip(names, best, strict=True))
        },
    )


def label_posterior(*, labels: Ints, reliability: Floats, num_options: int) -> Floats:
    """P(label is the truth) for one task (num_options), given each answer and how reliable who gave it is.

    The one-coin model with a flat prior over the options; a reliability below chance counts as chance.
    """
    if labels.shape != reliability.shape or num_options < 2:
        raise ValueError("one reliability per label, and at least two options")
    right = np.clip(reliability, 1 / num_options, 0.999)
    gain = np.log(right) - np.log((1 - right) / (num_options - 1))
    logits = np.bincount(labels, gain, num_options) if labels.size else np.zeros(num_options)
    shares = np.exp(logits - logits.max())
    posterior: Floats = shares / shares.sum()
    return posterior


def _crowds(answers: Answers) -> tuple[Ints, Ints, Ints]:
    """Per answer the row of its task and how many say the same as it; per row how many answered."""
    _, place = np.unique(answers.task, return_inverse=True)
    width = int(answers.num_options.max()) if answers.task.size else 2
    key = place * width + answers.label
    of_same = np.bincount(key)[key] if key.size else key
    of_task = np.bincount(place) if place.size else place
    return place, of_same, of_task


def _share(hits: float, number: float, confidence: float) -> Estimate:
    interval = posterior_of(hits, max(number - hits, 0.0), prior=JEFFREYS).estimate(confidence)
    value = float(hits / number)
    return Estimate(value=value, low=min(interval.low, value), high=max(interval.high, value))


def _expectation_maximisation(
    answers: Answers, row: Ints, num_tasks: int, task_weight: Floats
) -> tuple[Floats, Floats]:
    """Reliability by worker, and each task's posterior over its labels."""
    width = int(answers.num_options.max())
    weight = task_weight[row]
    number = np.bincount(answers.worker, weight, answers.num_workers)
    options = np.full(num_tasks, 2)
    options[row] = answers.num_options
    closed = np.arange(width)[None, :] >= options[:, None]
    key = row * width + answers.label
    votes = np.bincount(key, minlength=num_tasks * width).reshape(num_tasks, width).astype(np.float64)
    posterior: Floats = votes / votes.sum(axis=1, keepdims=True)
    reliability = np.full(answers.num_workers, PRIOR[0] / sum(PRIOR))
    for _ in range(ITERATIONS):
        right = np.bincount(answers.worker, weight * posterior[row, answers.label], answers.num_workers)
        updated = (right + PRIOR[0]) / (number + sum(PRIOR))
        moved = float(np.abs(updated - reliability).max())
        reliability = updated
        gain = np.log(reliability[answers.worker]) - np.log(
            (1 - reliability[answers.worker]) / (answers.num_options - 1)
        )
        logits = np.bincount(key, gain, num_tasks * width).reshape(num_tasks, width)
        logits[closed] = -np.inf
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        posterior = shares / shares.sum(axis=1, keepdims=True)
        if moved < TOLERANCE:
            break
    return reliability, posterior
