"""Pages of a training run: progress, live curves, log, cancel, resume."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse

from engine.admin.console.doors import Done, action, actor_of, data, page
from engine.admin.members import MAY_DRIVE, MAY_LOOK, reach_of, require_in
from engine.errors import NotFound
from engine.models import Job, TrainingRun
from engine.selectors.datasets import newest_version
from engine.selectors.runs import Curve, curves, has_ended, runs_ahead
from engine.services import runs
from engine.states import RunStatus

#: Charts of numbers that share a scale: title and whether a metric belongs there; the first that says yes has it.
CHARTS = {
    "loss": "Loss",
    "gradient": "Gradient norm",
    "measures": "Measures",
}


def run_url(*, run_id: int) -> str:
    return reverse("admin:console-run", kwargs={"run_id": run_id})


@page("admin/console/run.html")
def run_page(request: HttpRequest, *, run_id: int) -> dict[str, Any]:
    run = _run(request, run_id, MAY_LOOK)
    return {
        "title": f"{run.get_objective_display()}: run {run.pk}",
        "section": "project",
        "project": run.project,
        "run": run,
        "charts": [
            (title, f"{reverse('admin:console-run-curves', kwargs={'run_id': run_id})}?chart={key}")
            for key, title in CHARTS.items()
        ],
        "ahead": runs_ahead(run),
        "newer_version": newest_version(run.project_id, after=run.dataset_version.number),
        "tensorboard": _tensorboard(run_id),
        "jobs": Job.objects.filter(kind="train_run", payload__run_id=run_id).order_by("-id")[:5],
        "has_ended": has_ended(run),
        "may_cancel": run.status in {RunStatus.QUEUED, RunStatus.RUNNING},
        "may_resume": run.status == RunStatus.FAILED,
        "may_drive": reach_of(request).may_in(run.project_id, MAY_DRIVE),
    }


@data
def run_curves(request: HttpRequest, *, run_id: int) -> HttpResponse:
    """What the page draws and shows live; ``?chart=`` leaves only that chart's metrics."""
    run = _run(request, run_id, MAY_LOOK)
    wanted = request.GET.get("chart")
    shown = [curve for curve in curves(run_id) if wanted is None or chart_of(curve) == wanted]
    return JsonResponse(
        {
            "series": [{"name": curve.name, "x": curve.steps, "y": curve.values} for curve in shown],
            "x_label": "step",
            "y_label": CHARTS.get(wanted or "", ""),
            "status": run.status,
            "phase": run.phase,
            "log_tail": run.log_tail,
            "progress": {"step": run.step, "total": run.total_steps} if run.total_steps else None,
        }
    )


@action(back=run_url)
def cancel_run(request: HttpRequest, *, run_id: int) -> Done:
    _run(request, run_id, MAY_DRIVE)
    runs.cancel_run(run_id=run_id, actor=actor_of(request))
    return Done(
        message=f"Run {run_id} is cancelled; its worker stops at its next step.", url=run_url(run_id=run_id)
    )


@action(back=run_url)
def resume_run(request: HttpRequest, *, run_id: int) -> Done:
    _run(request, run_id, MAY_DRIVE)
    runs.resume_run(run_id=run_id, actor=actor_of(request))
    return Done(message=f"Run {run_id} is queued again.", url=run_url(run_id=run_id))


def _tensorboard(run_id: int) -> str:
    """The operator's TensorBoard with this run alone; empty when there is none."""
    if not settings.TENSORBOARD_URL:
        return ""
    return f"{settings.TENSORBOARD_URL}/?{urlencode({'runFilter': f'^{run_id}/'})}#timeseries"


def chart_of(curve: Curve) -> str | None:
    """Where a metric is drawn; the learning rate is a schedule, not a finding, and is drawn nowhere."""
    if "loss" in curve.name:
        return "loss"
    if "gradient" in curve.name:
        return "gradient"
    return None if curve.name == "learning_rate" else "measures"


def _run(request: HttpRequest, run_id: int, wanted: Any) -> TrainingRun:
    found = (
        TrainingRun.objects.select_related(
            "project", "dataset_version", "base_checkpoint", "output_checkpoint", "started_by"
        )
        .filter(pk=run_id)
        .first()
    )
    if found is None:
        raise NotFound("There is no such run.")
    require_in(request, found.project_id, wanted)
    return found
