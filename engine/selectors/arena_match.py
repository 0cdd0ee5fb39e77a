"""What a person must see to judge a blind pair; the field names are the wire's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from engine import blobs
from engine.models import ArenaMatch, Candidate
from engine.selectors.tasks import PhotoRef, TargetRef, photo_ref, target_ref
from engine.states import ArenaStatus, MatchStatus

#: More need not be told apart.
MOST_COUNTED = 100


@dataclass(frozen=True, kw_only=True)
class ShownShape:
    """Nothing here tells who made it, not even a candidate's number, which grows with time."""

    mesh_url: str
    preview_url: str
    splat_url: str


@dataclass(frozen=True, kw_only=True)
class MatchView:
    match: UUID
    claimed_until: datetime | None
    photo: PhotoRef
    target: TargetRef
    left: ShownShape
    right: ShownShape


def matches_for(
    *, project_id: int, user_id: int, now: datetime, without: Collection[UUID] = ()
) -> QuerySet[ArenaMatch]:
    """What the person may still judge, in order: a pair of checkpoints on a target is theirs once."""
    judged = ArenaMatch.objects.filter(
        Q(left_checkpoint=OuterRef("left_checkpoint"), right_checkpoint=OuterRef("right_checkpoint"))
        | Q(left_checkpoint=OuterRef("right_checkpoint"), right_checkpoint=OuterRef("left_checkpoint")),
        arena=OuterRef("arena"),
        target=OuterRef("target"),
        annotator_id=user_id,
        status=MatchStatus.ANSWERED,
    )
    free = Q(status=MatchStatus.WAITING) | Q(status=MatchStatus.CLAIMED, claimed_until__lte=now)
    return (
        ArenaMatch.objects.filter(
            ~Exists(judged), free, project_id=project_id, arena__status=ArenaStatus.OPEN
        )
        .exclude(uuid__in=without)
        .order_by("arena_id", "place")
    )


def num_matches_for(*, project_id: int, user_id: int, now: datetime) -> int:
    """How many pairs wait for the person, what they hold included; counted up to MOST_COUNTED. Two queries."""
    held = ArenaMatch.objects.filter(
        project_id=project_id,
        annotator_id=user_id,
        status=MatchStatus.CLAIMED,
        claimed_until__gt=now,
        arena__status=ArenaStatus.OPEN,
    )
    waiting = matches_for(project_id=project_id, user_id=user_id, now=now)
    return held.count() + waiting[:MOST_COUNTED].count()


def match_view(match_id: int) -> MatchView:
    """The pair with photograph and mask. One query."""
    match = ArenaMatch.objects.select_related("target__image", "target__taxonomy_entry", "left", "right").get(
        pk=match_id
    )
    with_splats = bool(match.left.splat_key and match.right.splat_key)  # alike for both, or it would tell
    return MatchView(
        match=match.uuid,
        claimed_until=match.claimed_until,
        photo=photo_ref(match.target.image),
        target=target_ref(match.target),
        left=_shape(match.left, with_splats=with_splats),
        right=_shape(match.right, with_splats=with_splats),
    )


def _shape(candidate: Candidate, *, with_splats: bool) -> ShownShape:
    return ShownShape(
        mesh_url=blobs.url(candidate.mesh_key),
        preview_url=blobs.url(candidate.preview_key),
        splat_url=blobs.url(candidate.splat_key) if with_splats else "",
    )
