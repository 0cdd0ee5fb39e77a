"""The photographs of a project, newest first, with their point maps; the field names are the wire's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from engine import blobs
from engine.errors import NotFound
from engine.models import Image, PointMap
from engine.states import TargetStatus

MAX_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class PointMapRow:
    status: str
    approximate: bool
    metric: bool
    source: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    id: int
    uuid: UUID
    name: str
    width: int
    height: int
    status: str
    url: str
    thumbnail_url: str
    attribution: str
    licence: str
    point_map: PointMapRow | None
    num_targets: int


@dataclass(frozen=True, kw_only=True)
class ImagePage:
    """``next`` is what to pass as ``before`` for the page after this one."""

    results: list[ImageRow]
    next: int | None


def image_page(*, project_id: int, before: int | None = None, limit: int = 50) -> ImagePage:
    """A page of the project's photographs, those with ids below ``before``. One query."""
    size = max(1, min(limit, MAX_PAGE))
    images = _with_all().filter(project_id=project_id).order_by("-id")
    if before is not None:
        images = images.filter(pk__lt=before)
    found = list(images[: size + 1])
    return ImagePage(
        results=[_row(image) for image in found[:size]],
        next=found[size - 1].pk if len(found) > size else None,
    )


def image_row(image_id: int) -> ImageRow:
    """One photograph. Raises NotFound. One query."""
    image = _with_all().filter(pk=image_id).first()
    if image is None:
        raise NotFound("There is no such photograph.")
    return _row(image)


def _with_all() -> QuerySet[Image]:
    confirmed = Q(targets__status=TargetStatus.CONFIRMED)
    return Image.objects.select_related("point_map").annotate(num_targets=Count("targets", filter=confirmed))


def _row(image: Image) -> ImageRow:
    return ImageRow(
        id=image.pk,
        uuid=image.uuid,
        name=image.name,
        width=image.width,
        height=image.height,
        status=image.status,
        url=blobs.url(image.key),
        thumbnail_url=blobs.url(image.thumbnail_key),
        attribution=image.attribution,
        licence=image.licence,
        point_map=_point_map(image),
        num_targets=image.num_targets,  # type: ignore[attr-defined]  # annotated by _with_all
    )


def _point_map(image: Image) -> PointMapRow | None:
    try:
        found = image.point_map
    except PointMap.DoesNotExist:
        return None
    return PointMapRow(
        status=found.status,
        approximate=found.approximate,
        metric=found.metric,
        source=found.source,
        detail=found.detail,
    )


def unmarked_image(image_id: int) -> Image | None:
    """The photograph while nobody has marked anything in it; a proposal would come too late after that."""
    return (
        Image.objects.filter(pk=image_id).exclude(targets__status=TargetStatus.CONFIRMED).distinct().first()
    )
