"""The cumulative table as a picture: what every stage is worth, with intervals and seeds, and the control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.reports.ablation.arms import CONTROL, GIVEN, MADE
from training.reports.ablation.report import SHORT

PANELS = (
    ("f1_001", "F1@0.01"),
    ("viou", "volume IoU"),
    ("chamfer", "Chamfer (less is better)"),
    ("gap_of_many", "vIoU: best of 8 - mean of 8"),
)
STAGES_BLUE, CONTROL_GREY = "#1f77b4", "#666666"


def draw_table(document: dict[str, Any], path: Path) -> None:
    """Write a PNG or SVG of ``report``'s document."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _draw_panel(axes, document["rows"], column)
        axes.set_title(title, fontsize=11)
    seeds = ", ".join(str(seed) for seed in document["seeds"])
    count = document["floor_f1_001"]["n"]
    figure.suptitle(
        f"{count} held-out objects of the {document['world']} world, simulated people; bars: 95 % over objects; "
        f"dots: seeds {seeds}",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)


def _draw_panel(axes: Axes, rows: dict[str, Any], column: str) -> None:
    stages = (*GIVEN, *MADE)
    means = [rows[stage][column]["mean"] for stage in stages]
    axes.plot(range(len(stages)), means, color=STAGES_BLUE, linewidth=1.2)
    for place, stage in enumerate((*stages, CONTROL)):
        row, colour = rows[stage][column], CONTROL_GREY if stage == CONTROL else STAGES_BLUE
        reach = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axes.errorbar([place], [row["mean"]], yerr=reach, marker="o", capsize=3, color=colour)
        by_seed = rows[stage].get(f"{column}_by_seed", [])
        axes.plot([place + 0.18] * len(by_seed), by_seed, ".", color=colour, alpha=0.5, markersize=5)
    axes.axvline(len(stages) - 0.5, color="#cccccc", linewidth=1)
    labels = [
        SHORT[stage] if stage in (GIVEN[0], CONTROL) else f"+ {SHORT[stage]}" for stage in (*stages, CONTROL)
    ]
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=9)
    axes.grid(alpha=0.3)
