"""What the console's first page shows: the projects within reach, what serves, and what asks for attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest

from engine.admin.members import MAY_LOOK, reach_of
from engine.models import Job, Project, Round, TrainingRun
from engine.selectors import deployments
from engine.selectors.quality import NO_PICKS, Yield, yields
from engine.states import JobStatus, RoundStatus, RunStatus


@dataclass(frozen=True, kw_only=True)
class ProjectCard:
    """One project at a glance."""

    project: Project
    num_images: int
    num_versions: int
    round: Round | None
    picks: Yield


def overview(request: HttpRequest) -> dict[str, Any]:
    """Six queries, and one for each of the projects, of which a person has few."""
    reach = reach_of(request)
    projects = Project.objects.all() if reach.all_projects else Project.objects.filter(
        pk__in=reach.projects_for(MAY_LOOK)
    )
    cards = [_card(project) for project in projects.order_by("name").annotate(
        num_images=Count("images", distinct=True), num_versions=Count("dataset_versions", distinct=True)
    )[:12]]
    within = [card.project.pk for card in cards]
    jobs = Job.objects.filter(Q(project_id__in=within) | Q(project__isnull=True))
    return {
        "cards": cards,
        "serving": deployments.serving(),
        "runs": TrainingRun.objects.filter(project_id__in=within)
        .select_related("dataset_version", "output_checkpoint", "project")
        .order_by("-id")[:6],
        "running": RunStatus.RUNNING,
        "jobs": jobs.aggregate(
            waiting=Count("pk", filter=Q(status__in=[JobStatus.PENDING, JobStatus.SENT])),
            failed=Count("pk", filter=Q(status=JobStatus.FAILED)),
        ),
        "section": "overview",
    }


def _card(project: Any) -> ProjectCard:
    newest = Round.objects.filter(project=project, status=RoundStatus.OPEN).first()
    return ProjectCard(
        project=project,
        num_images=project.num_images,
        num_versions=project.num_versions,
        round=newest,
        picks=yields(project.pk).get(newest.pk, NO_PICKS) if newest else NO_PICKS,
    )
