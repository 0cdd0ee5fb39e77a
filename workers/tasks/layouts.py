"""The model's pose proposal for a chosen shape: what stage 3 starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction

from engine import blobs, jobs
from engine.jobs import Hold
from engine.models import Candidate, PointMap
from engine.services import stage3
from engine.services.tasks import open_pose_task
from modelzoo import frames
from modelzoo.contracts import CandidateRequest, Intrinsics, Pose, SamplerSettings
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.silhouette import mask_iou
from workers import mesh_files, policy
from workers.mesh_files import Shape
from workers.model_inputs import model_input

NUM_DRAWS = 4  # the one whose silhouette meets the mask best is proposed
SETTINGS = SamplerSettings(
    batch_rows=NUM_DRAWS
)  # a batch of eight would be filled up with four that nobody asks for


def _open_without_proposal(payload: dict[str, Any], error: str) -> None:
    """The pose can be found by hand: better a task without a proposal than none."""
    with transaction.atomic():
        candidate = Candidate.objects.select_related("target").get(pk=payload["candidate_id"])
        open_pose_task(candidate=candidate, by=jobs.WORKER)


@policy.job("propose_layout", abandon=_open_without_proposal)
def propose_layout(hold: Hold) -> dict[str, Any]:
    from workers import slots  # torch, which other workers do without

    candidate = Candidate.objects.select_related("target__image").get(pk=hold.payload["candidate_id"])
    loaded = slots.ensure_current()
    seeds = tuple(candidate.pk * NUM_DRAWS + index for index in range(NUM_DRAWS))
    may_wait = hold.attempt < settings.JOB_MAX_ATTEMPTS - 1
    request = model_input(candidate.target, seeds=seeds, may_wait=may_wait, settings=SETTINGS)
    shape = mesh_files.shape_from_glb(blobs.get(candidate.mesh_key))
    pipeline = loaded.serving.pipeline
    latents = _latents(candidate, shape, resolution=pipeline.models.preset.geometry.resolution)
    poses = pipeline.propose_layout(request, latents=latents)
    pose, iou = _best(poses, shape, request=request, camera=_camera(candidate, request))
    stage3.record_layout_proposal(
        candidate_id=candidate.pk,
        checkpoint_id=loaded.checkpoint_id,
        source=pipeline.name,
        pose=pose,
        mask_iou=iou,
        fallbacks=() if candidate.latents_key else ("shape_encoded_from_mesh",),
    )
    return {"mask_iou": iou}


def _latents(candidate: Candidate, shape: Shape, *, resolution: int) -> bytes:
    """What generation stored; for a shape that no model of ours made, its solid voxels."""
    if candidate.latents_key:
        return blobs.get(candidate.latents_key)
    nothing = CandidateLatents(
        occupancy=mesh_files.occupancy(shape, resolution=resolution),
        slat_coords=np.zeros((0, 3), np.uint8),
        slat_feats=np.zeros((0, 8), np.float16),
    )
    return latents_to_bytes(nothing)


def _camera(candidate: Candidate, request: CandidateRequest) -> Intrinsics | None:
    """The photograph's camera at the request's size, when the point map knows it."""
    known = PointMap.objects.filter(image_id=candidate.target.image_id, intrinsics__isnull=False).first()
    if known is None or known.intrinsics is None or request.points is None:
        return None
    height, width = request.mask.shape
    return Intrinsics(**known.intrinsics).resized(width=width, height=height)


def _best(
    poses: tuple[Pose, ...], shape: Shape, *, request: CandidateRequest, camera: Intrinsics | None
) -> tuple[Pose, float | None]:
    if camera is None:
        return poses[0], None
    ious = [
        mask_iou(
            np.asarray(frames.camera_from_object(pose, shape.vertices)), shape.faces, camera, request.mask
        )
        for pose in poses
    ]
    best = int(np.argmax(ious))
    return poses[best], ious[best]
