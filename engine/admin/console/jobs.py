"""Page of the outbox: what waits, what runs, what failed and why, and another try."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.members import MAY_DRIVE, MAY_LOOK, reach_of, require_anywhere, require_in
from engine.errors import NotFound
from engine.models import Job
from engine.services import retries
from engine.states import JobStatus

ROWS_PER_PAGE = 50


def jobs_url(**_: int) -> str:
    return reverse("admin:console-jobs")


@page("admin/console/jobs.html")
def jobs_page(request: HttpRequest) -> dict[str, Any]:
    wanted = request.GET.get("status", "")
    rows = _within_reach(request)
    shown = rows.filter(status=wanted) if wanted in JobStatus.values else rows
    counts = dict(rows.values_list("status").annotate(number=Count("pk")).order_by())
    return {
        "title": "Jobs",
        "section": "jobs",
        "tabs": [
            ("", "All", sum(counts.values())),
            *((status.value, status.label, counts.get(status.value, 0)) for status in JobStatus),
        ],
        "wanted": wanted if wanted in JobStatus.values else "",
        "jobs": Paginator(shown.select_related("project").order_by("-id"), ROWS_PER_PAGE).get_page(
            request.GET.get("page")
        ),
        "FAILED": JobStatus.FAILED,
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


def _within_reach(request: HttpRequest) -> QuerySet[Job]:
    reach = reach_of(request)
    if reach.all_projects:
        return Job.objects.all()
    return Job.objects.filter(Q(project_id__in=reach.projects_for(MAY_LOOK)) | Q(project__isnull=True))
