"""A target's photograph, mask and point map from their blobs, as the request that the model takes."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray

from engine import blobs
from engine.errors import EngineError
from engine.models import PointMap, TargetObject
from engine.states import PointMapStatus
from modelzoo.contracts import CandidateRequest, PointMapData, RequestRefused, SamplerSettings
from workers import pixels

WORKING_SIDE = 1536  # the model looks at small crops; a larger photograph only costs memory
STORED_SIDE = 1024  # of a stored point map


def model_input(
    target: TargetObject, *, seeds: tuple[int, ...], may_wait: bool, settings: SamplerSettings | None = None
) -> CandidateRequest:
    """Fetches what the model needs of ``target``, which carries its image; with the usual ``settings`` by default.

    While the point map is still being made, raises a passing EngineError when the job ``may_wait``, and goes on
    without it when not; the candidates then name that as a fallback.
    """
    point_map = PointMap.objects.filter(image_id=target.image_id).first()
    if point_map is not None and point_map.status == PointMapStatus.PENDING and may_wait:
        raise EngineError("The point map is not ready yet.", code="point_map_pending", permanent=False)
    image, mask = pixels.photograph(target.image.key), pixels.mask(target.mask_key)
    height, width = image.shape[:2]
    shrink = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    points, unit = None, "pointmap"
    if point_map is not None and point_map.status == PointMapStatus.READY:
        points = _resized_points(stored_points(point_map.key), size)
        unit = "m" if point_map.metric else "pointmap"
        points = points if np.isfinite(points).any() else None
    try:
        return CandidateRequest(
            image=np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)),
            mask=_shrunk_mask(mask, size),
            points=points,
            unit=unit,
            approximate=point_map is not None and point_map.approximate,
            seeds=seeds,
            settings=settings or SamplerSettings(),
        )
    except RequestRefused as refused:
        raise EngineError(
            f"No candidate can be made of this target: {refused}", code=refused.code
        ) from refused


def stored_points(key: str) -> NDArray[np.float32]:
    """(h, w, 3) of a stored point map."""
    with np.load(BytesIO(blobs.get(key)), allow_pickle=False) as arrays:
        return np.asarray(arrays["points"], dtype=np.float32)


def point_map_bytes(point_map: PointMapData) -> bytes:
    """The .npz to store: ``points`` on a grid of at most STORED_SIDE, ``intrinsics`` of that grid."""
    height, width = point_map.points.shape[:2]
    shrink = min(1.0, STORED_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    camera = point_map.intrinsics.resized(width=size[0], height=size[1])
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        points=_resized_points(point_map.points, size),
        intrinsics=np.array([camera.fx, camera.fy, camera.cx, camera.cy, *size], dtype=np.float64),
    )
    return buffer.getvalue()


def _resized_points(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Nearest neighbour: a mean over an outline would be a point in empty space."""
    if (points.shape[1], points.shape[0]) == size:
        return points
    return np.asarray(cv2.resize(points, size, interpolation=cv2.INTER_NEAREST), dtype=np.float32)


def _shrunk_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    shrunk = np.asarray(share >= 0.5)
    return shrunk if shrunk.any() else np.asarray(share > 0)
