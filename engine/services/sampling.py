"""Puts open tasks into bands of priority, so that the claim, which knows nothing of classes, takes them in turn."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Case, Q, QuerySet, When

from engine.errors import NotFound
from engine.models import AnnotationTask, Project
from engine.ranking.sampling import TOP_BAND, bands, order
from engine.selectors.sampling import records_of, waiting_in
from engine.states import Stage, TaskStatus


def reband(*, project_id: int) -> int:
    """Gives the project's open tasks their bands; how many have another one than before.

    Only priorities from 0 to TOP_BAND are of sampling: what was reopened, or put first by hand, stays where it is.
    Safe beside claims and beside itself: tasks that somebody holds locked are left for the next time.
    """
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return sum(_reband(project, stage) for stage in Stage)


def reband_all() -> int:
    """reband() for every project that is not paused and has open work."""
    busy = AnnotationTask.objects.filter(status=TaskStatus.OPEN).values("project_id")
    projects = Project.objects.filter(pk__in=busy, paused=False)
    return sum(reband(project_id=pk) for pk in projects.values_list("pk", flat=True))


def _reband(project: Project, stage: Stage) -> int:
    if project.sampling == Project.Sampling.ARRIVAL:
        return _open(project, stage).filter(priority__gt=0).update(priority=0)
    waiting = waiting_in(project.pk, stage)
    ordered = order(waiting, records_of(project.pk, stage), easy_first=project.easy_first)
    wanted = bands(ordered)
    head = [task for tasks in wanted.values() for task in tasks]
    with transaction.atomic():
        # In one order, so that this and a sweep never wait for each other in a ring.
        tasks = _open(project, stage).filter(Q(pk__in=head) | Q(priority__gt=0)).order_by("pk")
        free = dict(tasks.select_for_update(skip_locked=True).values_list("pk", "priority"))
        moved = {band: [pk for pk in ids if free.get(pk, band) != band] for band, ids in wanted.items()}
        cases = [When(pk__in=ids, then=band) for band, ids in moved.items() if ids]
        fallen = [pk for pk in set(free) - set(head) if free[pk] != 0]
        ids = [*fallen, *(pk for each in moved.values() for pk in each)]
        if not ids:
            return 0
        return AnnotationTask.objects.filter(pk__in=ids).update(priority=Case(*cases, default=0))


def _open(project: Project, stage: Stage) -> QuerySet[AnnotationTask]:
    return AnnotationTask.objects.filter(
        project=project, stage=stage, status=TaskStatus.OPEN, priority__gte=0, priority__lte=TOP_BAND
    )
