"""Loss and metric curves of runs as one picture, from their JSON-lines logs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMNS = 3
SMOOTHED_OVER = 0.05  # share of a run's steps


def read_log(file: Path) -> dict[str, NDArray[np.float64]]:
    """Every number of a log as steps and values (2 x N); of a step that was done again, the last counts.

    Raises ValueError when the file holds no step, or a line that is none.
    """
    rows: dict[int, dict[str, float]] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            step = int(row.pop("step"))
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{file.name}, line {number} is no step of a run: {line[:80]}") from error
        rows[step] = {name: value for name, value in row.items() if isinstance(value, int | float)}
    if not rows:
        raise ValueError(f"{file.name} holds no step yet")
    steps = sorted(rows)
    names = dict.fromkeys(name for step in steps for name in rows[step])
    return {
        name: np.array([(step, rows[step][name]) for step in steps if name in rows[step]], dtype=float).T
        for name in names
    }


def draw_curves(logs: Mapping[str, Path], out: Path) -> None:
    """One panel a number and one line a run, each run faint as logged and strong as its running mean.

    ``logs`` are files by the name that the legend gives them. Raises ValueError for a log without steps.
    """
    read = {label: read_log(file) for label, file in logs.items()}
    names = list(dict.fromkeys(name for numbers in read.values() for name in numbers))
    rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for panel, name in zip(panels, names, strict=False):
        for index, (label, numbers) in enumerate(read.items()):
            if name in numbers:
                steps, values = numbers[name]
                panel.plot(steps, values, color=f"C{index}", alpha=0.25, linewidth=0.8)
                panel.plot(steps, running_mean(values), color=f"C{index}", label=label)
        panel.set_title(name)
        panel.set_xlabel("step")
    for panel in panels[len(names) :]:
        panel.remove()
    panels[0].legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the last ``SMOOTHED_OVER`` of all values at each point; of what there is at the start."""
    width = max(1, round(SMOOTHED_OVER * len(values)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: NDArray[np.float64] = (total[ends] - total[starts]) / (ends - starts)
    return means
