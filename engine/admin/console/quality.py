"""Page of the quality of judgements: who is reliable, how far people agree, who is paused."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone

from engine.access import ALWAYS
from engine.admin.console.doors import Done, action, actor_of, data, page
from engine.admin.console.forms import ReasonForm, require_valid
from engine.admin.members import MAY_JUDGE, reach_of, require_in
from engine.errors import NotFound
from engine.models import Project, SampledReview, Standing
from engine.selectors.annotators import quality_figures
from engine.services import overlap, standings
from engine.states import ReviewStatus, StandingStatus


def quality_url(*, project_id: int) -> str:
    return reverse("admin:console-quality", kwargs={"project_id": project_id})


@page("admin/console/quality.html")
def quality_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    project = project_in(request, project_id)
    figures = quality_figures(project_id)
    return {
        "title": "Quality of judgements",
        "section": "project",
        "project": project,
        "figures": figures,
        "suspects": [person for person in figures.people if person.must_pause and not person.is_paused],
        "paused": Standing.objects.filter(project_id=project_id, status=StandingStatus.PAUSED)
        .select_related("user")
        .order_by("user__username"),
        "num_waiting": SampledReview.objects.filter(
            project_id=project_id, status=ReviewStatus.WAITING
        ).count(),
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


def project_in(request: HttpRequest, project_id: int) -> Project:
    """The project, for those who judge the judges."""
    require_in(request, project_id, MAY_JUDGE)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
