"""How much work waits in each stage, and why somebody gets none."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, Sum

from engine.jobs import LAST
from engine.models import AnnotationTask, ArtistCase, Assignment, Job
from engine.states import ArtistCaseStatus, AssignmentStatus, JobStatus, Stage, TaskStatus

EMPTY_RETRY_S = 15
LEASED_RETRY_S = 5


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """Slots still to be taken, and leases that people hold now."""

    open: int
    leased: int


@dataclass(frozen=True, kw_only=True)
class WorkLeft:
    """What still has to happen in a project before everything handed in is judged: by people, and by workers."""

    tasks: int  # slots that wait or are leased
    cases: int  # of artists, not accepted yet
    jobs: int  # of workers, training aside


@dataclass(frozen=True, kw_only=True)
class NothingToClaim:
    """Why there is no work now: empty, all_leased, not_qualified, paused, guidelines_changed or quiz_needed."""

    reason: str
    retry_after_s: int


def queue_depths(project_id: int) -> dict[str, QueueDepth]:
    """Stage > depth, for every stage. Two queries."""
    waiting = dict(
        AnnotationTask.objects.filter(project_id=project_id, status=TaskStatus.OPEN, open_slots__gt=0)
        .values_list("stage")
        .annotate(Sum("open_slots"))
    )
    leased = dict(
        Assignment.objects.filter(
            project_id=project_id, status=AssignmentStatus.LEASED, question__isnull=True
        )
        .values_list("stage")
        .annotate(Count("id"))
    )
    return {
        stage.value: QueueDepth(open=waiting.get(stage.value, 0), leased=leased.get(stage.value, 0))
        for stage in Stage
    }


def work_left(project_id: int) -> WorkLeft:
    """What an arena asked for is not among it: no round waits for that. Four queries, however much there is."""
    depths = queue_depths(project_id)
    cases = ArtistCase.objects.filter(project_id=project_id).exclude(status=ArtistCaseStatus.ACCEPTED)
    under_way = Job.objects.filter(project_id=project_id, status__in=[JobStatus.PENDING, JobStatus.SENT])
    return WorkLeft(
        tasks=sum(depth.open + depth.leased for depth in depths.values()),
        cases=cases.count(),
        jobs=under_way.exclude(queue="train").exclude(kind__in=LAST).count(),
    )


def why_nothing(*, user_id: int, project_id: int, stage: Stage) -> NothingToClaim:
    """Whether others hold all that is left for this person ("all_leased") or nothing is left ("empty"). One query."""
    judged = Assignment.objects.filter(
        task=OuterRef("pk"), annotator_id=user_id, question__isnull=True
    ).exclude(
        status__in=[
            AssignmentStatus.RELEASED,
            AssignmentStatus.EXPIRED,
            AssignmentStatus.LEASED,
            AssignmentStatus.RETRACTED,
        ]
    )
    left = AnnotationTask.objects.filter(
        ~Exists(judged), Q(project_id=project_id, stage=stage, status=TaskStatus.OPEN)
    )
    if left.exists():
        return NothingToClaim(reason="all_leased", retry_after_s=LEASED_RETRY_S)
    return NothingToClaim(reason="empty", retry_after_s=EMPTY_RETRY_S)
