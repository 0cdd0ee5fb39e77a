"""Point maps: read from the file that came with a photograph, or estimated by the small depth network."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

import cv2
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from engine import blobs
from engine.errors import BadInput, EngineError
from engine.jobs import Hold
from engine.models import PointMap
from engine.services import images
from engine.states import PointMapStatus
from modelzoo.contracts import PointMapData, PointMapSource
from modelzoo.depth_files import read_point_map as read_file
from workers import pixels, policy
from workers.model_inputs import STORED_SIDE, point_map_bytes
from workers.point_cloud import cloud_from_point_map, encoded


def _refuse(payload: dict[str, Any], error: str) -> None:
    images.refuse_point_map(image_id=payload["image_id"], detail=error)


@policy.job("read_point_map", abandon=_refuse)
def read_point_map(hold: Hold) -> dict[str, Any]:
    point_map = _pending(hold)
    if point_map is None:
        return {"point_map": "ended"}
    image = point_map.image
    form = {str(name): str(value) for name, value in point_map.upload_form.items()}
    data = blobs.get(point_map.upload_key)
    filename = form.pop("filename", "") or point_map.upload_key
    try:
        read = read_file(data, filename=filename, form=form, width=image.width, height=image.height)
    except ValueError as error:
        raise BadInput(str(error), code="bad_point_map") from error
    return _record(point_map, read)


@policy.job("estimate_point_map", abandon=_refuse)
def estimate_point_map(hold: Hold) -> dict[str, Any]:
    point_map = _pending(hold)
    if point_map is None:
        return {"point_map": "ended"}
    photograph = _at_most(pixels.photograph(point_map.image.key), STORED_SIDE)
    return _record(point_map, _estimator().estimate(photograph))


def _pending(hold: Hold) -> PointMap | None:
    point_map = PointMap.objects.select_related("image").get(image_id=hold.payload["image_id"])
    return point_map if point_map.status == PointMapStatus.PENDING else None


def _record(point_map: PointMap, made: PointMapData) -> dict[str, Any]:
    image = point_map.image
    height, width = made.points.shape[:2]
    photograph = _resized(pixels.photograph(image.key), (width, height))
    cloud = cloud_from_point_map(made.points, photograph, approximate=made.approximate)
    if not len(cloud.points):
        raise BadInput("The point map holds no point in front of the camera.", code="bad_point_map")
    images.record_point_map(
        image_id=point_map.image_id,
        npz_key=blobs.put(point_map_bytes(made), suffix=".npz", content_type="application/octet-stream"),
        cloud_key=blobs.put(encoded(cloud), suffix=".c8pc", content_type="application/octet-stream"),
        num_points=len(cloud.points),
        intrinsics=asdict(made.intrinsics.resized(width=image.width, height=image.height)),
        source=made.source,
        approximate=made.approximate,
        metric=made.metric,
    )
    return {"num_points": len(cloud.points)}


def _at_most(photograph: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = photograph.shape[:2]
    shrink = side / max(height, width)
    if shrink >= 1:
        return photograph
    return _resized(photograph, (max(1, round(width * shrink)), max(1, round(height * shrink))))


def _resized(photograph: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(photograph, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@cache
def _estimator() -> PointMapSource:
    from modelzoo.depth import SmallDepthNet  # torch, which other workers do without
    from modelzoo.ports.point_map_sources import point_map_source
    from workers import slots

    if settings.POINT_MAP_ESTIMATOR:
        try:
            return point_map_source(settings.POINT_MAP_ESTIMATOR, device=slots.device())
        except ValueError as error:
            raise EngineError(f"POINT_MAP_ESTIMATOR cannot be used: {error}", code="no_estimator") from error
    if not settings.SHIPPED_DEPTH_CHECKPOINT.exists():
        raise EngineError("No depth network is installed: give the photograph a point map of its own.")
    return SmallDepthNet.load(settings.SHIPPED_DEPTH_CHECKPOINT)
