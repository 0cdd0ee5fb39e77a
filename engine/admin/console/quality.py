"""Page of the quality of judgements: who is reliable, how far people agree, who is paused."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone

from engine.access import ALWAYS
from engine.admin.console.doors import Done, action, actor_of, data, log_setting, page
from engine.admin.console.forms import GoldShareForm, ReasonForm, require_valid
from engine.admin.members import MAY_JUDGE, reach_of, require_in
from engine.errors import NotFound
from engine.models import Project, SampledReview, Standing
from engine.selectors.annotators import quality_figures
from engine.selectors.hidden_gold import stock_of
from engine.selectors.pauses import records_of
from engine.services import hidden_gold, overlap, standings
from engine.states import ReviewStatus, Stage, StandingStatus


def quality_url(*, project_id: int) -> str:
    return reverse("admin:console-quality", kwargs={"project_id": project_id})


@page("admin/console/quality.html")
def quality_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    project = project_in(request, project_id)
    figures = quality_figures(project_id)
    paused = Standing.objects.filter(project_id=project_id, status=StandingStatus.PAUSED)
    paused = paused.select_related("user").order_by("user__username")
    records = {record.user_id: record for record in records_of(project_id)}
    return {
        "title": "Quality of judgements",
        "section": "project",
        "project": project,
        "figures": figures,
        "suspects": [person for person in figures.people if person.must_pause and not person.is_paused],
        "paused": [(standing, records.get(standing.user_id)) for standing in paused],
        "num_waiting": SampledReview.objects.filter(
            project_id=project_id, status=ReviewStatus.WAITING
        ).count(),
        "stages": list(Stage),
        "stock": stock_of(project_id),
        "gold_form": GoldShareForm(initial={"floor": project.gold_floor, "ceiling": project.gold_ceiling}),
        "days_url": reverse("admin:console-quality-days", kwargs={"project_id": project_id}),
        "may_lead": reach_of(request).may_in(project_id, ALWAYS),
    }


@data
def agreement_by_day(request: HttpRequest, *, project_id: int) -> HttpResponse:
    """What the page draws: agreement on picks by day, and how many shared pairs it rests on."""
    project_in(request, project_id)
    days = quality_figures(project_id).by_day
    first = days[0][0] if days else None
    xs = [(day - first).days for day, _, _ in days if first]
    return JsonResponse(
        {
            "series": [{"name": "agreement on picks", "x": xs, "y": [share for _, share, _ in days]}],
            "x_label": f"days since {first:%-d %b}" if first else "day",
            "y_label": "share of pairs",
            "status": "SUCCEEDED",
        }
    )


@action(back=quality_url)
def pause(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    chosen = require_valid(ReasonForm(request.POST))
    standing = standings.pause_person(
        project_id=project_id,
        user_id=chosen["user"],
        reason=chosen["reason"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    return Done(
        message=f"{standing.user.get_username()} gets no more work until resumed.",
        url=quality_url(project_id=project_id),
    )


@action(back=quality_url)
def resume(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    chosen = require_valid(ReasonForm(request.POST))
    standing = standings.resume_person(
        project_id=project_id,
        user_id=chosen["user"],
        reason=chosen["reason"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    return Done(
        message=f"{standing.user.get_username()} gets work again.", url=quality_url(project_id=project_id)
    )


@action(back=quality_url)
def widen(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    asked = overlap.widen_overlap(project_id=project_id, actor=actor_of(request))
    said = (
        f"{len(asked)} unsettled picks are offered to one more person."
        if asked
        else "No pick is asked again: all are settled, or the budget of a fifth is spent."
    )
    return Done(message=said, url=quality_url(project_id=project_id))


@action(back=quality_url)
def set_gold_share(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    project = hidden_gold.set_share(project_id=project_id, **require_valid(GoldShareForm(request.POST)))
    said = f"{100 * project.gold_floor:g} to {100 * project.gold_ceiling:g} % of new work is hidden gold."
    log_setting(request, project, said=said)
    return Done(message=said, url=quality_url(project_id=project_id))


def project_in(request: HttpRequest, project_id: int) -> Project:
    """The project, for those who judge the judges."""
    require_in(request, project_id, MAY_JUDGE)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
