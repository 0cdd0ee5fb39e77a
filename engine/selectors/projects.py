"""Reads: the projects of a person, and one project at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.access import ALWAYS, MAY_ANNOTATE, MAY_REVIEW
from engine.models import ArtistCase, Image, Membership, Project, Round, TaxonomyEntry
from engine.selectors.arena_match import num_matches_for
from engine.selectors.queues import QueueDepth, queue_depths
from engine.states import CASE_IS_OVER, Role, RoundStatus


@dataclass(frozen=True, kw_only=True)
class ProjectMembership:
    """A project as one of its members sees it in a list."""

    id: int
    slug: str
    name: str
    roles: Sequence[Role]

    @property
    def role_labels(self) -> list[str]:
        return [str(role.label) for role in self.roles]


@dataclass(frozen=True, kw_only=True)
class ProjectOverview:
    """One project at a glance: how it is run and what waits in it."""

    id: int
    slug: str
    name: str
    roles: Sequence[Role]
    num_candidates: int
    stage2_mode: str
    lease_seconds: int
    paused: bool
    alpha: float
    taxonomy: Sequence[TaxonomyEntry]
    queues: Mapping[str, QueueDepth]
    artist_cases_open: int
    round_number: int | None
    num_images: int
    arena_matches: int


def projects_of(*, user_id: int) -> list[ProjectMembership]:
    """The person's projects by name, each with all of their roles. One query."""
    memberships = (
        Membership.objects.filter(user_id=user_id).select_related("project").order_by("project__name", "role")
    )
    roles: dict[Project, list[Role]] = {}
    for membership in memberships:
        roles.setdefault(membership.project, []).append(Role(membership.role))
    return [
        ProjectMembership(id=project.pk, slug=project.slug, name=project.name, roles=held)
        for project, held in roles.items()
    ]


def overview(*, project: Project, roles: frozenset[Role], user_id: int, now: datetime) -> ProjectOverview:
    """The project with its queues; alpha is the open round's when there is one, for that is the bar that counts.

    ``arena_matches`` are the pairs that wait for this person, none for who may not judge.
    """
    may_judge = bool(roles & (MAY_ANNOTATE | MAY_REVIEW | ALWAYS))
    open_round = Round.objects.filter(project=project, status=RoundStatus.OPEN).first()
    unsolved = ArtistCase.objects.filter(project=project).exclude(status__in=CASE_IS_OVER)
    return ProjectOverview(
        id=project.pk,
        slug=project.slug,
        name=project.name,
        roles=sorted(roles),
        num_candidates=project.num_candidates,
        stage2_mode=project.stage2_mode,
        lease_seconds=project.lease_seconds,
        paused=project.paused,
        alpha=open_round.alpha if open_round else project.alpha,
        taxonomy=list(project.taxonomy.all()),
        queues=queue_depths(project.pk),
        artist_cases_open=unsolved.count(),
        round_number=open_round.number if open_round else None,
        num_images=Image.objects.filter(project=project).count(),
        arena_matches=num_matches_for(project_id=project.pk, user_id=user_id, now=now) if may_judge else 0,
    )
