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
from engine.states import JobStatus, RoundStatus


@dataclass(frozen=True, kw_only=True)
class ProjectCard:
    """One project at a glance."""

    project: Project
    num_images: int
    num_versions: int
    round: Round | None
    picks: Yield


def overview(request: HttpRequest) -> dict[str, Any]:
    """Seven queries, however many projects there are."""
    reach = reach_of(request)
    within = Project.objects.all()
    if not reach.all_projects:
        within = within.filter(pk__in=reach.projects_for(MAY_LOOK))
    projects = list(
        within.annotate(
            num_images=Count("images", distinct=True),
            num_versions=Count("dataset_versions", distinct=True),
        ).order_by("name")
    )
    ids = [project.pk for project in projects]
    rounds = {
        each.project_id: each for each in Round.objects.filter(project_id__in=ids, status=RoundStatus.OPEN)
    }
    picks = yields(*ids)
    return {
        "cards": [_card(project, rounds.get(project.pk), picks) for project in projects],
        "serving": deployments.serving(),
        "runs": TrainingRun.objects.filter(project_id__in=ids)
        .select_related("dataset_version", "base_checkpoint", "output_checkpoint")
        .order_by("-id")[:6],
        "jobs": Job.objects.filter(Q(project_id__in=ids) | Q(project__isnull=True)).aggregate(
            waiting=Count("pk", filter=Q(status__in=[JobStatus.PENDING, JobStatus.SENT])),
            failed=Count("pk", filter=Q(status=JobStatus.FAILED)),
        ),
        "section": "overview",
    }


def _card(project: Any, newest: Round | None, picks: dict[int, Yield]) -> ProjectCard:
    return ProjectCard(
        project=project,
        num_images=project.num_images,
        num_versions=project.num_versions,
        round=newest,
        picks=picks.get(newest.pk, NO_PICKS) if newest else NO_PICKS,
    )
