"""Page of the bias monitor: whose shapes are accepted, do they crowd together, what is sampled, and the brake."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse

from engine.access import ALWAYS
from engine.admin.console.doors import Done, action, data, log_setting, page
from engine.admin.console.forms import HeldBackForm, SamplingForm, require_valid
from engine.admin.members import MAY_LOOK, reach_of, require_in
from engine.errors import NotFound
from engine.models import Project
from engine.selectors.bias import bias_figures
from engine.selectors.sampling import sampling_figures
from engine.services import projects, sampling


def bias_url(*, project_id: int) -> str:
    return reverse("admin:console-bias", kwargs={"project_id": project_id})


@page("admin/console/bias.html")
def bias_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    project = _project(request, project_id)
    names = ("least_foreign", "brake", "audit_share", "sampling", "easy_first")
    now = {name: getattr(project, name) for name in names}
    return {
        "title": "Bias and sampling",
        "section": "project",
        "project": project,
        "figures": bias_figures(project_id),
        "sampled": sampling_figures(project_id),
        "held_back_form": HeldBackForm(initial=now),
        "sampling_form": SamplingForm(initial=now),
        "rounds_url": reverse("admin:console-bias-rounds", kwargs={"project_id": project_id}),
        "may_lead": reach_of(request).may_in(project_id, ALWAYS),
    }


@data
def bias_by_round(request: HttpRequest, *, project_id: int) -> HttpResponse:
    """What the page draws: our own share and the coverage of every round."""
    _project(request, project_id)
    rounds = sorted(bias_figures(project_id).rounds, key=lambda each: each.number)
    own = [(each.number, each.own.value) for each in rounds if each.own]
    covered = [(each.number, each.coverage.value) for each in rounds if each.coverage]
    return JsonResponse(
        {
            "series": [
                {"name": name, "x": [x for x, _ in points], "y": [y for _, y in points]}
                for name, points in (("our own share", own), ("coverage of what was offered", covered))
                if points
            ],
            "x_label": "round",
            "y_label": "share",
            "status": "SUCCEEDED",
        }
    )


@action(back=bias_url)
def set_held_back(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    project = projects.set_held_back(project_id=project_id, **require_valid(HeldBackForm(request.POST)))
    said = (
        f"Versions from now on: at least {100 * project.least_foreign:g} % of others, else "
        f"{project.get_brake_display().lower()}; {100 * project.audit_share:g} % of hard targets for auditing."
    )
    log_setting(request, project, said=said)
    return Done(message=said, url=bias_url(project_id=project_id))


@action(back=bias_url)
def set_sampling(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    project = projects.set_sampling(project_id=project_id, **require_valid(SamplingForm(request.POST)))
    moved = sampling.reband(project_id=project_id)
    said = f"Order of new work: {project.get_sampling_display().lower()}; {moved} tasks have a new place."
    log_setting(request, project, said=said)
    return Done(message=said, url=bias_url(project_id=project_id))


def _project(request: HttpRequest, project_id: int) -> Project:
    require_in(request, project_id, MAY_LOOK)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
