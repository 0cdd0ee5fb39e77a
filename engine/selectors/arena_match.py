"""What a person must see to judge a blind pair; the field names are the wire's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from engine import blobs
from engine.models import ArenaMatch, Candidate
from engine.selectors.tasks import PhotoRef, TargetRef, photo_ref, target_ref


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
