"""Snapping a pose to the scene's points, asked for in stage 3."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from engine import blobs
from engine.errors import EngineError
from engine.jobs import Hold
from engine.models import Candidate, PointMap
from engine.services import stage3
from engine.states import PointMapStatus
from modelzoo.contracts import Intrinsics, Pose
from workers import mesh_files, pixels, policy
from workers.model_inputs import stored_points


@policy.job("snap_pose", soft_time_limit=60, time_limit=120)
def snap_pose(hold: Hold) -> dict[str, Any]:
    """The pose that ICP finds from the one sent, with what was measured before and after."""
    from workers import pose_snap  # Open3D, which takes seconds to load: only a worker that snaps pays for it

    candidate = Candidate.objects.select_related("target").get(pk=hold.payload["candidate_id"])
    point_map = PointMap.objects.filter(
        image_id=candidate.target.image_id, status=PointMapStatus.READY
    ).first()
    if point_map is None or point_map.intrinsics is None:
        raise EngineError("This photo has no points to snap to any more.", code="no_points")
    points = stored_points(point_map.key)
    height, width = points.shape[:2]
    mask = pixels.mask(candidate.target.mask_key).astype(np.float32)
    scene = pose_snap.Scene(
        points=points,
        mask=np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) >= 0.5),
        intrinsics=Intrinsics(**point_map.intrinsics).resized(width=width, height=height),
    )
    found = pose_snap.snap(
        mesh_files.shape_from_glb(blobs.get(candidate.mesh_key)),
        Pose(**hold.payload["pose"]),
        scene,
        with_scale=hold.payload["with_scale"],
    )
    return {
        "pose": stage3.pose_json(found.pose),
        "found": found.found,
        "num_points": found.num_points,
        "before": asdict(found.before),
        "after": asdict(found.after),
    }
