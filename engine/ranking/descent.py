"""Finds the lowest point of a smooth function: L-BFGS in numpy, because scipy's would cost a web process 50 MB."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]

MEMORY, MOST_STEPS, MOST_TRIES = 10, 15_000, 60
#: The stops of L-BFGS-B as scipy has them: the largest slope, and the least relative gain of a step.
SLOPE, GAIN = 1e-5, 2.2e-9
#: Of the weak Wolfe conditions: how much of the promised descent a step must bring, how much of the slope it may leave.
DESCENT, LEFT = 1e-4, 0.9


def minimise(loss: Loss, start: Floats) -> Floats:
    """Where ``loss``, which gives its value and its slope, is lowest (Nocedal and Wright, 2006, algorithm 7.5).

    Raises ValueError where the loss is not finite at the start.
    """
    x = start.astype(np.float64)
    value, slope = loss(x)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        raise ValueError("the loss is not finite where its descent begins")
    pairs: deque[tuple[Floats, Floats]] = deque(maxlen=MEMORY)
    for _ in range(MOST_STEPS):
        if x.size == 0 or np.abs(slope).max() <= SLOPE:
            break
        direction = -_inverse_times(slope, pairs)
        if direction @ slope >= 0:  # rounding spoilt what was remembered
            pairs.clear()
            direction = -slope
        first = 1.0 if pairs else min(1.0, 1.0 / float(np.linalg.norm(slope)))
        found = _step(loss, x, value, slope, direction, first)
        if found is None:
            break
        new, new_value, new_slope = found
        moved, turned = new - x, new_slope - slope
        if moved @ turned > 1e-16 * (turned @ turned):
            pairs.append((moved, turned))
        gain = (value - new_value) / max(abs(value), abs(new_value), 1.0)
        x, value, slope = new, new_value, new_slope
        if gain <= GAIN:
            break
    return x


def _inverse_times(slope: Floats, pairs: deque[tuple[Floats, Floats]]) -> Floats:
    """The inverse Hessian, as the last steps saw it, times the slope: the two-loop recursion."""
    result = slope.copy()
    shares = []
    for moved, turned in reversed(pairs):
        share = (moved @ result) / (moved @ turned)
        result -= share * turned
        shares.append(share)
    if pairs:
        moved, turned = pairs[-1]
        result *= (moved @ turned) / (turned @ turned)
    for (moved, turned), share in zip(pairs, reversed(shares), strict=True):
        result += (share - (turned @ result) / (moved @ turned)) * moved
    return result


def _step(
    loss: Loss, x: Floats, value: float, slope: Floats, direction: Floats, length: float
) -> tuple[Floats, float, Floats] | None:
    """A step that meets the weak Wolfe conditions, by doubling and halving; the best one seen where none does."""
    short, long = 0.0, np.inf
    promised = float(direction @ slope)
    best: tuple[Floats, float, Floats] | None = None
    for _ in range(MOST_TRIES):
        new = x + length * direction
        new_value, new_slope = loss(new)
        if not np.isfinite(new_value) or new_value > value + DESCENT * length * promised:
            long = length
        else:
            best = (new, new_value, new_slope)
            if direction @ new_slope >= LEFT * promised:
                break
            short = length
        length = (short + long) / 2 if np.isfinite(long) else 2 * short
    return best
