"""The cumulative table as a picture: F1, overlap and Chamfer of every stage with intervals, the control beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training.reports.ablation.arms import CONTROL, GIVEN, MADE

PANELS = (("f1_001", "F1@0.01"), ("viou", "volume IoU"), ("chamfer", "Chamfer (less is better)"))
SHORT = dict(
    zip((*GIVEN, *MADE), ("pre", "+ mid", "+ SFT", "+ DPO", "+ SFT (art)", "+ DPO (art)"), strict=True)
)


def draw_table(document: dict[str, Any], path: Path) -> None:
    """Write a PNG or SVG of ``report``'s document."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    stages = (*GIVEN, *MADE)
    for axes, (column, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        rows = [document["rows"][stage][column] for stage in stages]
        means = [row["mean"] for row in rows]
        reach = [[row["mean"] - row["low"] for row in rows], [row["high"] - row["mean"] for row in rows]]
        axes.errorbar(range(len(stages)), means, yerr=reach, marker="o", capsize=3, color="#1f77b4")
        control = document["rows"][CONTROL][column]
        axes.axhline(
            control["mean"], color="#888888", linestyle="--", linewidth=1, label="control, no people"
        )
        axes.set_xticks(range(len(stages)), [SHORT[stage] for stage in stages], rotation=35, ha="right")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    seeds = ", ".join(str(seed) for seed in document["seeds"])
    figure.suptitle(f"Held-out shifted objects, simulated people; seeds {seeds}; bars: 95 % over objects")
    figure.savefig(path, dpi=110)
