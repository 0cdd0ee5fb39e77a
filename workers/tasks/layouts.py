"""The model's pose proposal for a chosen shape: what stage 3 starts from."""

from __future__ import annotations

from dataclasses import dataclass
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
#: A batch of eight would be filled up with four that nobody asks for.
SETTINGS = SamplerSettings(batch_rows=NUM_DRAWS)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a pose is held against; without a camera nobody can tell how well it meets the mask."""

    request: CandidateRequest
    shape: Shape
    camera: Intrinsics | None

    def mask_iou(self, pose: Pose) -> float | None:
        """Of the shape's silhouette there with the mask, in [0, 1]."""
        if self.camera is None:
            return None
        vertices = np.asarray(frames.camera_from_object(pose, self.shape.vertices))
        return mask_iou(vertices, self.shape.faces, self.camera, self.request.mask)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A pose, how well it meets the mask, and who made it."""

    pose: Pose
    mask_iou: float | None
    source: str
    checkpoint_id: int | None


def _open_without_proposal(payload: dict[str, Any], error: str) -> None:
    """The pose can be found by hand: better a task without a proposal than none."""
    with transaction.atomic():
        candidate = Candidate.objects.select_related("target").get(pk=payload["candidate_id"])
        open_pose_task(candidate=candidate, by=jobs.WORKER)


@policy.job("propose_layout", abandon=_open_without_proposal)
def propose_layout(hold: Hold) -> dict[str, Any]:
    candidate = Candidate.objects.select_related("target__image").get(pk=hold.payload["candidate_id"])
    seeds = tuple(candidate.pk * NUM_DRAWS + index for index in range(NUM_DRAWS))
    may_wait = hold.attempt < settings.JOB_MAX_ATTEMPTS - 1
    request = model_input(candidate.target, seeds=seeds, may_wait=may_wait, settings=SETTINGS)
    shape = mesh_files.shape_from_glb(blobs.get(candidate.mesh_key))
    scene = Scene(request=request, shape=shape, camera=_camera(candidate, request))
    proposal = _drawn_with_the_shape(candidate, scene) or _drawn_for_the_shape(candidate, scene)
    stage3.record_layout_proposal(
        candidate_id=candidate.pk,
        checkpoint_id=proposal.checkpoint_id,
        source=proposal.source,
        pose=proposal.pose,
        mask_iou=proposal.mask_iou,
        fallbacks=() if candidate.latents_key else ("shape_encoded_from_mesh",),
    )
    return {"mask_iou": proposal.mask_iou}


def _drawn_with_the_shape(candidate: Candidate, scene: Scene) -> Proposal | None:
    """The pose that the candidate came with, as it was refined then; nothing for one without, or in other units.

    It is as good as the best of four that are drawn for the shape afterwards (docs/log.md), and people need not wait.
    """
    if not candidate.latents_key or candidate.pose is None:
        return None
    pose = stage3.pose_of_json(candidate.pose)
    if pose.unit != scene.request.unit:  # the point map came, or changed, since
        return None
    return Proposal(
        pose=pose,
        mask_iou=scene.mask_iou(pose),
        source=candidate.source,
        checkpoint_id=candidate.checkpoint_id,
    )


def _drawn_for_the_shape(candidate: Candidate, scene: Scene) -> Proposal:
    """Of some poses that what serves draws for the shape, the one whose silhouette meets the mask best."""
    from workers import slots  # torch, which other workers do without

    loaded = slots.ensure_current()
    pipeline = loaded.serving.pipeline
    latents = _latents(candidate, scene.shape, resolution=pipeline.models.preset.geometry.resolution)
    drawn = [
        Proposal(
            pose=pose,
            mask_iou=scene.mask_iou(pose),
            source=pipeline.name,
            checkpoint_id=loaded.checkpoint_id,
        )
        for pose in pipeline.propose_layout(scene.request, latents=latents)
    ]
    return max(drawn, key=lambda each: each.mask_iou or 0.0)


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
