"""Reliability of annotators against crowds whose truth is known; seeds are stated, so is what each claim rests on."""

from __future__ import annotations

import numpy as np
import pytest

from engine.ranking.reliability import (
    Answers,
    gold_posterior,
    label_posterior,
    leave_one_out,
    one_coin,
)

OPTIONS, OVERLAP, WORKERS, SPAMMERS = 8, 3, 40, 6


def crowd(*, seed: int, per_worker: int, honest: float = 0.6) -> tuple[Answers, np.ndarray]:
    """40 workers of whom the first 6 pick at random, overlap 3, best of 8; with the truth by task."""
    rng = np.random.default_rng(seed)
    num_tasks = WORKERS * per_worker // OVERLAP
    size = num_tasks * OVERLAP
    right = np.full(WORKERS, honest)
    right[:SPAMMERS] = 1 / OPTIONS
    task = np.repeat(np.arange(num_tasks), OVERLAP)
    worker = np.concatenate([rng.permutation(WORKERS) for _ in range(per_worker + 1)])[:size]
    truth = rng.integers(OPTIONS, size=num_tasks)
    wrong = (truth[task] + rng.integers(1, OPTIONS, size=size)) % OPTIONS
    label = np.where(rng.random(size) < right[worker], truth[task], wrong)
    return (
        Answers(
            task=task, worker=worker, label=label, num_options=np.full(size, OPTIONS), num_workers=WORKERS
        ),
        truth,
    )


def auc(scores: list[float]) -> float:
    """How often an honest worker scores above a spammer."""
    values = np.array(scores)
    honest, spam = values[SPAMMERS:, None], values[None, :SPAMMERS]
    return float((honest > spam).mean() + 0.5 * (honest == spam).mean())


def agreement_auc(per_worker: int) -> float:
    found = []
    for seed in range(8):
        shares = [each.share for each in leave_one_out(crowd(seed=seed, per_worker=per_worker)[0])]
        found.append(auc([share.value for share in shares if share is not None]))
    return float(np.mean(found))


def test_agreement_with_the_others_tells_spammers_better_with_every_answer() -> None:
    few, some, many = agreement_auc(8), agreement_auc(22), agreement_auc(60)
    assert 0.8 < few < some
    assert some > 0.97 and many > 0.999


def test_dawid_skene_tells_spammers_too_from_twenty_two_answers_on() -> None:
    found_by_seed = []
    for seed in range(8):
        answers, _ = crowd(seed=seed, per_worker=22)
        found = one_coin(answers, rng=np.random.default_rng(0), num_samples=2)
        scores = [each.value for each in found.reliability if each is not None]
        assert len(scores) == WORKERS
        found_by_seed.append(auc(scores))
    assert np.mean(found_by_seed) > 0.97 and min(found_by_seed) > 0.9


def test_with_sixty_answers_intervals_part_spammers_from_honest_people_and_hold_the_truth() -> None:
    answers, truth = crowd(seed=1, per_worker=60, honest=0.75)
    found = one_coin(answers, rng=np.random.default_rng(0), num_samples=60)
    scored = [each for each in found.reliability if each is not None]
    assert max(each.high for each in scored[:SPAMMERS]) < min(each.value for each in scored[SPAMMERS:])
    held = [each.low <= 0.75 <= each.high for each in scored[SPAMMERS:]]
    assert np.mean(held) > 0.85
    right = np.mean([found.labels[task][0] == truth[task] for task in range(truth.size)])
    assert right > 0.8


def test_below_twenty_shared_answers_dawid_skene_says_nothing() -> None:
    answers, _ = crowd(seed=3, per_worker=8)
    found = one_coin(answers, rng=np.random.default_rng(0), num_samples=2)
    assert found.reliability == (None,) * WORKERS
    alone = Answers(
        task=np.arange(30),
        worker=np.zeros(30, dtype=np.int64),
        label=np.zeros(30, dtype=np.int64),
        num_options=np.full(30, 8),
        num_workers=1,
    )
    assert one_coin(alone, rng=np.random.default_rng(0)).reliability == (None,)
    assert leave_one_out(alone)[0].share is None


def test_agreement_counts_by_hand() -> None:
    # Task 0: workers 0 and 1 say 2, worker 2 says 5. Task 1: worker 0 alone.
    answers = Answers(
        task=np.array([0, 0, 0, 1]),
        worker=np.array([0, 1, 2, 0]),
        label=np.array([2, 2, 5, 1]),
        num_options=np.array([8, 8, 8, 4]),
        num_workers=4,
    )
    first, second, third, nobody = leave_one_out(answers)
    assert first.share is not None and first.share.value == second.share.value == 0.5  # type: ignore[union-attr]
    assert third.share is not None and third.share.value == 0.0 and third.share.low == 0.0
    assert (first.num_answers, nobody.num_answers, nobody.share) == (1, 0, None)
    assert first.chance == pytest.approx(1 / 8)
    assert first.share.low < 0.1 and first.share.high > 0.9, "one shared answer says next to nothing"


def test_one_answer_leaves_the_truth_open_and_a_second_that_agrees_closes_it() -> None:
    one = label_posterior(labels=np.array([3]), reliability=np.array([0.6]), num_options=8)
    assert one[3] == pytest.approx(0.6) and one.sum() == pytest.approx(1)
    two = label_posterior(labels=np.array([3, 3]), reliability=np.array([0.6, 0.6]), num_options=8)
    # 0.36 : 7 x (0.4 / 7)^2
    assert two[3] == pytest.approx(0.36 / (0.36 + 0.16 / 7))
    spam = label_posterior(labels=np.array([3]), reliability=np.array([0.02]), num_options=8)
    assert spam == pytest.approx(np.full(8, 1 / 8)), "worse than chance is taken as chance"


def test_gold_is_read_as_a_posterior_not_as_a_rate() -> None:
    assert gold_posterior(hits=2, misses=0).mean == pytest.approx(0.75)
    assert (
        gold_posterior(hits=2, misses=0).estimate().width > gold_posterior(hits=40, misses=2).estimate().width
    )


def test_answers_that_name_no_option_are_refused() -> None:
    with pytest.raises(ValueError, match="below num_options"):
        Answers(
            task=np.array([0]),
            worker=np.array([0]),
            label=np.array([8]),
            num_options=np.array([8]),
            num_workers=1,
        )
