"""The measured costs as JSON of one machine, as the table in docs, and as results beside their budgets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.models.costs import ON_CPU, TOGETHER, StageCost
from benchmarks.result import Result
from modelzoo.presets import PRESETS
from training.provenance import provenance

DOCS = Path(__file__).resolve().parents[2] / "docs"
REPORTS, TABLE = DOCS / "reports", DOCS / "benchmarks.md"
GPU_GAIN = 3.0  # times faster than a loop that a batch of eight should be there
MFU_GOAL = 0.40  # of a step of the released geometry flow

HEADER = """# What a step costs

Written by `python -m benchmarks models`; a change by hand would be overwritten. Weights and inputs are random. A step
is one evaluation of a flow for one object, its photograph being encoded; guidance needs two. *Eight* means eight
objects in one batch, *gain* how many times faster that is than eight calls, *bf16* autocast, *compiled* `torch.compile`
(bf16 on a GPU, float32 on a CPU); all else is float32 and eager. Times are medians, of the clock that stands above each
table: wall time, or processor time of all threads together, which other work on the machine changes less. Texture cells
are those of a sphere that fills the grid. Memory is the most that eight in one batch need, with the weights: of the
device, or on a CPU of the whole process. MFU is the share of the device's dense half-precision peak.
"""
COLUMNS = (
    "preset",
    "stage",
    "rows",
    "GFLOP",
    "one, ms",
    "eight, ms",
    "gain",
    "eight bf16, ms",
    "eight compiled, ms",
    "memory, MiB",
    "MFU",
)


def write_report(costs: Sequence[StageCost], *, seed: int, folder: Path) -> Path:
    """Keep a machine's numbers as ``models-cpu.json`` or ``models-cuda.json``, ``-eager`` if nothing was compiled."""
    on_cpu = costs[0].device == "CPU"
    eager = all(cost.compiled_ms is None for cost in costs)
    file = folder / f"models-{'cpu' if on_cpu else 'cuda'}{'-eager' if eager else ''}.json"
    body = {
        "clock": "processor time" if on_cpu else "wall time",
        "costs": [asdict(cost) for cost in costs],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **provenance(seed=seed),
    }
    file.write_text(json.dumps(body, indent=2) + "\n")
    return file


def write_table(*, reports: Path, table: Path) -> None:
    """Render every machine's report that is in ``reports``."""
    files = sorted(reports.glob("models-*.json"))
    sections = [_section(json.loads(file.read_text())) for file in files]
    table.write_text("\n".join([HEADER, *sections]))


def results(costs: Sequence[StageCost]) -> list[Result]:
    """Eight at once beside eight singles for every step, and the released geometry step's use of the device."""
    found = []
    for cost in costs:
        if cost.stage == "condition":
            continue
        share = cost.together_ms / (TOGETHER * cost.single_ms)
        found.append(
            Result(
                name=f"{cost.preset} {cost.stage} step, eight at once over eight singles",
                value=share,
                unit="ratio",
                budget=1.0 if cost.device == "CPU" else 1.0 / GPU_GAIN,
                note=f"{cost.single_ms:.1f} ms alone, {cost.together_ms:.1f} ms for eight",
            )
        )
        if cost.mfu is not None and (cost.preset, cost.stage) == ("released", "geometry"):
            found.append(
                Result(
                    name="released geometry step, unused part of the peak",
                    value=1.0 - cost.mfu,
                    unit="share",
                    budget=1.0 - MFU_GOAL,
                )
            )
    return found


def _section(report: dict[str, Any]) -> str:
    machine = report["machine"]
    device = report["costs"][0]["device"]
    eager = all(cost["compiled_ms"] is None for cost in report["costs"])
    title = (machine["processor"] if device == "CPU" else device) + (", eager alone" if eager else "")
    lines = [
        f"## {title}",
        "",
        f"{machine['cores']} cores, {report['threads']} threads, {machine['memory_gib']} GiB, "
        f"load {machine['load_average'][0]} at the end; torch {report['torch']}, Python {machine['python']}; "
        f"commit `{report['commit']}`, {report['measured_at']}, `{report['command']}`; {report['clock']}.",
        "",
        *_missing(report),
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
        *(_row(StageCost(**cost)) for cost in report["costs"]),
        "",
    ]
    return "\n".join(lines)


def _missing(report: dict[str, Any]) -> list[str]:
    """What the run was ended before, in a sentence."""
    wanted = ON_CPU if report["costs"][0]["device"] == "CPU" else tuple(PRESETS)
    left = [name for name in wanted if name not in {cost["preset"] for cost in report["costs"]}]
    return [f"Not measured in this run: {', '.join(left)}.", ""] if left else []


def _row(cost: StageCost) -> str:
    cells = (
        cost.preset,
        cost.stage,
        f"{cost.rows}",
        f"{cost.gflop:.3g}",
        f"{cost.single_ms:.1f}",
        f"{cost.together_ms:.1f}",
        f"{cost.batching:.2f}",
        f"{cost.half_ms:.1f}",
        "not measured" if cost.compiled_ms is None else f"{cost.compiled_ms:.1f}",
        f"{cost.peak_mib:.0f}",
        "" if cost.mfu is None else f"{cost.mfu:.0%}",
    )
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
