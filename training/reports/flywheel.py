"""The report of a simulated flywheel: rounds, held-out scores, simulated Elo; as JSON, Markdown and picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from training.metrics.intervals import bootstrap_mean
from training.provenance import provenance
from training.reports.ablation.scores import StageScores

COLUMNS = ("viou", "f1_005", "f1_001", "chamfer", "rotation_deg")
TITLES = {
    "viou": "volume IoU",
    "f1_005": "F1@0.05",
    "f1_001": "F1@0.01",
    "chamfer": "Chamfer",
    "rotation_deg": "rotation (deg)",
    "best_of_many": "best of 8 (IoU)",
    "gap_of_many": "gap best - mean",
}
CONTROL = "control"
FIXED_ALPHA = 0.5  # one bar for all rounds: the rounds' own bars differ


def score_row(scores: StageScores) -> dict[str, dict[str, float]]:
    """Means over held-out objects with 95 % intervals; the gap is of best and mean of the many draws."""
    row = {name: bootstrap_mean(scores.shape.columns()[name].mean(axis=1)).as_dict() for name in COLUMNS}
    many = scores.many_overlaps
    row["best_of_many"] = bootstrap_mean(many.max(axis=1)).as_dict()
    row["gap_of_many"] = bootstrap_mean(many.max(axis=1) - many.mean(axis=1)).as_dict()
    return row


def accepted_at(collected: Mapping[str, Any], alpha: float) -> float | None:
    """The share of a round's answers whose winner is rated ``alpha`` or better; None where nobody answered.

    An answer without a winner is one of them.
    """
    asked = collected["picks"]["picks"]
    passing = sum(one["num_picks"] for one in collected["ratings"] if one["rating"] >= alpha)
    return passing / asked if asked else None


def write_report(document: Mapping[str, Any], out: Path) -> None:
    """``out`` with .json, .md and .png."""
    whole = {**document, "provenance": provenance(seed=document["plan"]["seed"])}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(whole, indent=1) + "\n")
    out.with_suffix(".md").write_text(as_markdown(whole))
    # matplotlib is an extra of its own (report): only this command may ask for it.
    import_module("training.reports.flywheel_picture").draw(whole, out.with_suffix(".png"))


def as_markdown(document: Mapping[str, Any]) -> str:
    """The report for people."""
    plan, origin = document["plan"], document["provenance"]
    head = (
        f"# The flywheel, {plan['rounds']} simulated rounds\n\n"
        f"{document['simulated'].capitalize()}. {plan['targets']} photographs a round, seed {plan['seed']}.\n"
    )
    fit = document["elo_fit"]
    line = (
        f"\nSimulated Elo grows by {fit['slope']:.1f} a round on a straight line (R2 {fit['r2']:.3f}), from "
        f"{document['arena']['matches']} simulated matches. The control trained as many steps without anybody's "
        "judgement. "
        "The simulated engineer promotes DPO's result unless the site's evaluation shows it to be below its SFT base.\n"
    )
    measured = (
        f"\nMeasured by `{origin['command']}` at commit {origin['commit']}, on {origin['machine']['processor']}, "
        f"{origin['machine']['cores']} cores.\n"
    )
    return "\n".join(
        [
            head,
            *_rounds(document),
            "",
            *_scores(document),
            line,
            *_people(document),
            *_caught(document),
            *_bias(document),
            measured,
        ]
    )


def _rounds(document: Mapping[str, Any]) -> list[str]:
    lines = [
        _line(
            [
                *("round", "alpha", "picks", "none good", "accepted", f"accepted at {FIXED_ALPHA:g}"),
                *("alignments", "modelled by artists", "D+ so far", "pairs so far"),
                *("SFT steps", "DPO steps", "promoted", "collecting", "training"),
            ]
        ),
        _line(["---"] * 15),
    ]
    for record in document["rounds"]:
        got, version, spent = record["collected"], record["version"], record["seconds"]
        share, fixed = got["picks"]["share"], accepted_at(got, FIXED_ALPHA)
        lines.append(
            _line(
                [
                    *(record["round"], record["alpha"], got["picks"]["picks"], got["picks"]["escalated"]),
                    *("-" if share is None else f"{share:.0%}", "-" if fixed is None else f"{fixed:.0%}"),
                    *(got["alignments"], got["modelled"]),
                    *(version["num_demonstrations"], version["num_preference_pairs"]),
                    *(record["sft"]["total_steps"], record["dpo"]["total_steps"]),
                    record["promoted"].upper(),
                    *(f"{spent['collecting']:.0f} s", f"{spent['training']:.0f} s"),
                ]
            )
        )
    return lines


def _scores(document: Mapping[str, Any]) -> list[str]:
    names = [*COLUMNS, "best_of_many", "gap_of_many"]
    lines = [_line(["checkpoint", *(TITLES[name] for name in names), "simulated Elo"]), _line(["---"] * 9)]
    for name, row in document["scores"].items():
        elo = document["arena"]["elo"][name]
        cells = [_cell(row[column]) for column in names]
        lines.append(_line([name, *cells, f"{elo['elo']:+.0f} [{elo['low']:+.0f}, {elo['high']:+.0f}]"]))
    return lines


def _people(document: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        _line(["annotator", "picks", "none good", "mean rating", "mean seconds"]),
        _line(["---"] * 5),
    ]
    last = document["rounds"][-1]["collected"]["annotators"]
    for one in last:
        rating = "-" if one["mean_rating"] is None else f"{one['mean_rating']:.2f}"
        seconds = "-" if one["mean_seconds"] is None else f"{one['mean_seconds']:.0f}"
        lines.append(_line([one["username"], one["picks"], one["escalated"], rating, seconds]))
    return ["\nThe people of the last round:", *lines]


def _caught(document: Mapping[str, Any]) -> list[str]:
    """Who was paused after how many answers, by the site's own journal; nothing in a report without gold."""
    people = document["rounds"][-1].get("people")
    if not people:
        return []
    lines = [
        "",
        _line(
            ["annotator", "kind", "answers", "hidden gold", "right on gold", "paused after", "of them gold"]
        ),
        _line(["---"] * 7),
    ]
    for one in people:
        right = f"{one['gold_right'] / one['gold']:.0%}" if one["gold"] else "-"
        after = (
            ["never", "-"] if one["paused_after"] is None else [one["paused_after"], one["paused_after_gold"]]
        )
        lines.append(_line([one["username"], one["kind"], one["answers"], one["gold"], right, *after]))
    gold = document["rounds"][-1]["gold"]
    made = ", ".join(f"{number} of the stage {stage}" for stage, number in gold.items())
    return [f"\nGold hidden among their work ({made}), over all rounds:", *lines]


def _bias(document: Mapping[str, Any]) -> list[str]:
    """Whose shapes were accepted in each round and how far they cover what was offered, by the site's monitor."""
    found = document.get("bias")
    if not found:
        return []
    lines = ["", _line(["round", "accepted, by source", "own share", "covers of what was offered"])]
    lines.append(_line(["---"] * 4))
    for one in found["rounds"]:
        sources = ", ".join(f"{name} {number}" for name, number in sorted(one["sources"].items()))
        lines.append(_line([one["number"], sources or "-", _range(one["own"]), _range(one["coverage"])]))
    lines += ["", _line(["shapes", "how many", "reached by accepted ones", "different of 300"])]
    lines.append(_line(["---"] * 4))
    for one in found["references"]:
        lines.append(
            _line([one["name"], one["num_shapes"], _range(one["covered"]), _number(one["num_different"])])
        )
    lines.append(_line(["accepted", found["accepted"], "-", _number(found["accepted_different"])]))
    return ["\nThe site's bias monitor:", *lines]


def _range(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _cell(estimate: Mapping[str, float]) -> str:
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
