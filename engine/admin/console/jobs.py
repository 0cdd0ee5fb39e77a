"""Page of the outbox: what waits in which queue, what is tried again, what failed and why, and another try."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.members import MAY_DRIVE, MAY_LOOK, reach_of, require_anywhere, require_in
from engine.errors import NotFound
from engine.models import Job
from engine.selectors.outbox import poison, queue_figures, retrying
from engine.services import retries
from engine.states import JobStatus

ROWS_PER_PAGE = 50


def jobs_url(**_: int) -> str:
    return reverse("admin:console-jobs")


@page("admin/console/jobs.html")
def jobs_page(request: HttpRequest) -> dict[str, Any]:
    rows = _within_reach(request)
    kinds = _kinds()
    wanted = request.GET.get("status", "")
    wanted = wanted if wanted in kinds else ""
    counts = rows.aggregate(
        **{name or "all": Count("pk", filter=condition) for name, (_, condition) in kinds.items()}
    )
    return {
        "title": "Jobs",
        "section": "jobs",
        "tabs": [(name, label, counts[name or "all"]) for name, (label, _) in kinds.items()],
        "wanted": wanted,
        "queues": queue_figures(rows, now=timezone.now()),
        "jobs": Paginator(
            rows.filter(kinds[wanted][1]).select_related("project").order_by("-id"), ROWS_PER_PAGE
        ).get_page(request.GET.get("page")),
        "FAILED": JobStatus.FAILED,
        "most_attempts": settings.JOB_MAX_ATTEMPTS,
        "may_drive": reach_of(request).may(MAY_DRIVE),
    }


@action(back=jobs_url)
def retry_job(request: HttpRequest, *, job_id: int) -> Done:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound("There is no such job.")
    if job.project_id is None:
        require_anywhere(request, MAY_DRIVE)
    else:
        require_in(request, job.project_id, MAY_DRIVE)
    retries.retry_job(job_id=job_id, actor=actor_of(request))
    return Done(message=f"{job.kind} is tried again.", url=jobs_url())


def _kinds() -> dict[str, tuple[str, Q]]:
    """What the list can be cut down to: its name in the address, for people, and which jobs it means."""
    return {
        "": ("All", Q(pk__isnull=False)),
        **{status.value: (status.label, Q(status=status)) for status in JobStatus},
        "retrying": ("Tried again", retrying()),
        "poison": ("Poison", poison()),
    }


def _within_reach(request: HttpRequest) -> QuerySet[Job]:
    reach = reach_of(request)
    if reach.all_projects:
        return Job.objects.all()
    return Job.objects.filter(Q(project_id__in=reach.projects_for(MAY_LOOK)) | Q(project__isnull=True))
