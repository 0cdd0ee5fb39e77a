"""The distillation report for people: a table of the walks, the differences that decide, and what they say."""

from __future__ import annotations

from typing import Any

TITLES = {
    "teacher": "teacher, 25 guided steps",
    "student": "student, 4 distilled steps",
    "naive": "naive 4 steps, guided",
    "naive_unguided": "naive 4 steps, unguided",
    "teacher_flow": "teacher's flow, 8 guided steps",
    "student_flow": "student's flow, 8 guided steps",
}
COLUMNS = {
    "latent_mse": "latent MSE to teacher",
    "teacher_iou": "IoU to teacher",
    "layout_mse": "layout MSE to teacher",
    "volume_iou": "vIoU to truth",
    "f_score_at_0.01": "F1@0.01",
    "f_score_at_0.05": "F1@0.05",
    "chamfer": "Chamfer",
    "latent_std": "latent std",
}
DECIDING = ("latent_mse", "teacher_iou", "f_score_at_0.01", "f_score_at_0.05")


def as_markdown(report: dict[str, Any]) -> str:
    """Means with 95 % intervals over objects."""
    walks = [_line(["walk", "evaluations", *COLUMNS.values()]), _line(["---"] * (2 + len(COLUMNS)))]
    for name, title in TITLES.items():
        walk = report["methods"][name]
        walks.append(_line([title, str(walk["evaluations"]), *(_mean(walk[column]) for column in COLUMNS)]))
    differences = [_line(["student minus", *(COLUMNS[c] for c in DECIDING)]), _line(["---"] * 5)]
    for name in ("naive_unguided", "naive", "teacher"):
        change = report[f"student_minus_{name}"]
        differences.append(_line([TITLES[name], *(_change(change[column]) for column in DECIDING)]))
    origin = report["provenance"]
    floor = ", ".join(f"{name} {value}" for name, value in report["f_score_floor"].items())
    parts = [
        "# Four distilled steps against twenty-five",
        f"{report['num_objects']} {report['data']}, {report['samples_per_object']} draws of each; every walk starts "
        f"from the same noise. {report['occupancy'].capitalize()}. Two samplings of one shape score {floor}.",
        "\n".join(walks),
        "Paired, object by object, with 95 % intervals:",
        "\n".join(differences),
        "\n".join(
            f"- {name.replace('_', ' ')}: {'yes' if one else 'no'}" for name, one in report["passed"].items()
        ),
        f"Measured by `{origin['command']}` at commit {origin['commit']}, {origin['measured_at']}, seed "
        f"{origin['seed']}, on {origin['machine']['processor']}, {origin['machine']['cores']} cores.",
    ]
    return "\n\n".join(parts) + "\n"


def _mean(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _change(change: dict[str, float]) -> str:
    return f"{change['difference']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}]"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
