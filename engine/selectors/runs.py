"""Training runs for people who watch them: curves, progress, and the settings a form starts from."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from engine.models import RunMetric, TrainingRun
from engine.states import RunStatus

ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric over the steps of a run."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


def curves(run_id: int) -> tuple[Curve, ...]:
    """Every metric of the run, by name, in order of steps. One query."""
    points: dict[str, tuple[list[int], list[float]]] = {}
    rows = RunMetric.objects.filter(run_id=run_id).order_by("name", "step")
    for name, step, value in rows.values_list("name", "step", "value"):
        steps, values = points.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)
    return tuple(
        Curve(name=name, steps=tuple(steps), values=tuple(values)) for name, (steps, values) in points.items()
    )


def runs_of(project_id: int) -> QuerySet[TrainingRun]:
    """The project's runs, newest first, with what a list shows of them."""
    return (
        TrainingRun.objects.filter(project_id=project_id)
        .select_related("dataset_version", "base_checkpoint", "output_checkpoint", "started_by")
        .order_by("-id")
    )


def runs_ahead(run: TrainingRun) -> int:
    """How many runs of all projects a QUEUED one waits for: they share the training workers. One query."""
    if run.status != RunStatus.QUEUED:
        return 0
    return TrainingRun.objects.filter(status__in=[RunStatus.QUEUED, RunStatus.RUNNING], pk__lt=run.pk).count()


def has_ended(run: TrainingRun) -> bool:
    return run.status in ENDED
