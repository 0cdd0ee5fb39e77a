"""The reward report for people: how often each reward agrees, and what a pre-filter by it is worth."""

from __future__ import annotations

from typing import Any


def as_markdown(report: dict[str, Any]) -> str:
    """One line a reward, the best pre-filter first."""
    prefilter = report["prefilter"]
    names = sorted(prefilter, key=lambda name: prefilter[name]["recovered"]["mean"], reverse=True)
    lines = [
        "| reward | recovered | agrees with truth | with judgements | accepted, plain to filtered |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        filtered, agreed = prefilter[name], report["agreement"][name]
        cells = [
            name.replace("_", " "),
            _estimate(filtered["recovered"]),
            _estimate(agreed["truth"]),
            _estimate(agreed["judgements"]),
            f"{filtered['acceptance_plain']:.2f} to {filtered['acceptance_filtered']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    origin, targets, candidates = report["provenance"], report["targets"], report["candidates"]
    parts = [
        "# Rewards and the pre-filter (simulated people)",
        f"{report['data'].capitalize()}. Trained on {report['training_pairs']} judged pairs of {targets['training']} "
        f"targets, measured on {targets['held_out']} others with {candidates['pool']} candidates each, of which a "
        f"filter shows {candidates['shown']}. The annotator agrees with the truth on "
        f"{report['annotator_agreement_with_truth']:.3f} of the held-out pairs. Quality: {report['quality']}.",
        "\n".join(lines),
        "Recovered: the share of what the best of the pool is better than the best of eight drawn blindly. 95 % "
        "intervals over targets.",
        f"Measured by `{origin['command']}` at commit {origin['commit']}, {origin['measured_at']}, seed "
        f"{origin['seed']}, on {origin['machine']['processor']}, {origin['machine']['cores']} cores.",
    ]
    return "\n\n".join(parts) + "\n"


def _estimate(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
