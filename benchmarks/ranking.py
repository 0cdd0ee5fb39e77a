"""How long ranking 20,000 picks with 200 bootstraps over tasks takes, on one core."""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.result import Result
from engine.ranking.intervals import bootstrap_over_tasks, rank_ranges
from engine.ranking.plackett_luce import Picks

NUM_PICKS, NUM_MODELS, NUM_CELLS, NUM_SAMPLES = 20_000, 12, 8, 200


def measure(*, seed: int) -> list[Result]:
    """Process seconds: what other processes do to the wall clock does not count."""
    rng = np.random.default_rng(seed)
    truth = np.linspace(-1, 1, NUM_MODELS)
    shown = rng.integers(NUM_MODELS, size=(NUM_PICKS, NUM_CELLS))
    winner = shown[np.arange(NUM_PICKS), (truth[shown] + rng.gumbel(size=shown.shape)).argmax(axis=1)]
    began = time.process_time()
    picks = Picks(shown=shown, winner=winner, num_items=NUM_MODELS)
    start = picks.fit()
    intervals = bootstrap_over_tasks(
        lambda weights: picks.fit(weights, start=start),
        tasks=np.arange(NUM_PICKS),
        rng=rng,
        num_samples=NUM_SAMPLES,
    )
    rank_ranges(intervals)
    seconds = time.process_time() - began
    return [
        Result(
            name="ranking of 20k picks, 200 bootstraps, 12 models",
            value=seconds,
            unit="CPU s",
            budget=30.0,
            note=f"BLAS threads: {os.environ.get('OPENBLAS_NUM_THREADS', 'default')}",
        )
    ]
