"""The flywheel as a picture: simulated Elo with its line, overlap and Chamfer of every round, the control."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.reports.flywheel import CONTROL, FIXED_ALPHA, accepted_at

BLUE, GREY = "#1f77b4", "#888888"


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write a PNG or SVG of a report's document."""
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    elo, overlap, chamfer, accepted = figure.subplots(1, 4)
    arena = document["arena"]["elo"]
    names = [name for name in arena if name != CONTROL]
    _rounds(elo, [_estimate(arena[name], "elo") for name in names], _estimate(arena[CONTROL], "elo"))
    rounds = np.arange(len(names))
    line = np.polyfit(rounds, [arena[name]["elo"] for name in names], 1)
    elo.plot(rounds, np.polyval(line, rounds), color=BLUE, linewidth=0.8, linestyle=":")
    elo.set_title(f"simulated Elo (R2 {document['elo_fit']['r2']:.2f})")
    for axes, column, title in (
        (overlap, "viou", "volume IoU"),
        (chamfer, "chamfer", "Chamfer (less is better)"),
    ):
        rows = document["scores"]
        _rounds(
            axes,
            [_estimate(rows[name][column], "mean") for name in names],
            _estimate(rows[CONTROL][column], "mean"),
        )
        axes.set_title(title)
    shares = [accepted_at(record["collected"], FIXED_ALPHA) or 0.0 for record in document["rounds"]]
    accepted.bar(rounds[1:], shares, color=BLUE)
    accepted.set_title(f"share of targets accepted at {FIXED_ALPHA:g}")
    accepted.set_ylim(0, 1)
    for axes in (elo, overlap, chamfer, accepted):
        axes.set_xlabel("round")
        axes.set_xticks(rounds)
        axes.grid(alpha=0.3)
    elo.legend(loc="best", fontsize=8)
    figure.suptitle("Simulated people at the site's front door; bars: 95 % over held-out objects")
    figure.savefig(path, dpi=110)


def _rounds(
    axes: Axes, values: list[tuple[float, float, float]], control: tuple[float, float, float]
) -> None:
    middle, low, high = np.array(values).T
    axes.errorbar(
        np.arange(len(middle)), middle, yerr=[middle - low, high - middle], marker="o", capsize=3, color=BLUE
    )
    axes.axhline(control[0], color=GREY, linestyle="--", linewidth=1, label="control, no people")


def _estimate(one: Mapping[str, float], name: str) -> tuple[float, float, float]:
    return one[name], one["low"], one["high"]
