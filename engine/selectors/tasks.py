"""What an annotator's page must know to do one piece of work; the field names are the wire's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from engine import blobs
from engine.models import (
    AnnotationTask,
    Assignment,
    Candidate,
    Image,
    LayoutProposal,
    PointMap,
    TargetObject,
)
from engine.selectors import hidden_gold
from engine.states import PointMapStatus, Stage, TargetStatus


@dataclass(frozen=True, kw_only=True)
class PhotoRef:
    id: int
    url: str
    thumbnail_url: str
    width: int
    height: int
    name: str
    attribution: str


@dataclass(frozen=True, kw_only=True)
class TargetRef:
    """``mask_url`` is a 1-bit PNG at the photo's size, white = object; ``bbox`` is x, y, width, height."""

    id: int
    label: str
    taxonomy_key: str | None
    mask_url: str
    bbox: list[int]
    flags: list[str]


@dataclass(frozen=True, kw_only=True)
class ProposalRef:
    id: int
    mask_url: str
    label: str


@dataclass(frozen=True, kw_only=True)
class IntrinsicsRef:
    """A pinhole camera in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class PoseRef:
    """T_camera_object: OpenCV camera, object in the Z-up unit cube; ``unit`` is "m" or "pointmap"."""

    rotation_wxyz: list[float]
    translation: list[float]
    scale: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class PointCloudRef:
    url: str
    num_points: int
    approximate: bool
    unit: str


@dataclass(frozen=True, kw_only=True)
class CandidateRef:
    """Nothing here tells who or what made it, not even how many triangles it has."""

    id: int
    mesh_url: str
    preview_url: str
    splat_url: str
    pose: PoseRef | None


@dataclass(frozen=True, kw_only=True)
class ShapeRef:
    id: int
    mesh_url: str
    preview_url: str
    num_faces: int


@dataclass(frozen=True, kw_only=True)
class ObjectTask:
    kind: str = Stage.OBJECT.value
    photo: PhotoRef
    proposals: list[ProposalRef]
    taken: list[TargetRef]


@dataclass(frozen=True, kw_only=True)
class PickTask:
    """``candidates`` are in this annotator's random order."""

    kind: str = Stage.PICK.value
    photo: PhotoRef
    target: TargetRef
    intrinsics: IntrinsicsRef | None
    mode: str
    candidates: list[CandidateRef]


@dataclass(frozen=True, kw_only=True)
class PoseTask:
    """``proposal`` is the newest layout that the model proposed."""

    kind: str = Stage.POSE.value
    photo: PhotoRef
    target: TargetRef
    intrinsics: IntrinsicsRef | None
    point_cloud: PointCloudRef | None
    candidate: ShapeRef
    proposal: PoseRef | None


#: What each stage reads of a task, in the statement that reads the task.
_NEEDED: dict[Stage, tuple[str, ...]] = {
    Stage.OBJECT: ("image",),
    Stage.PICK: ("image__point_map", "target__taxonomy_entry"),
    Stage.POSE: ("image__point_map", "target__taxonomy_entry", "candidate"),
}


def task_payload(assignment: Assignment) -> ObjectTask | PickTask | PoseTask:
    """The assignment's task with presigned URLs. Two queries, however much work there is."""
    tasks = AnnotationTask.objects.select_related(*_NEEDED[Stage(assignment.stage)])
    if assignment.stage == Stage.OBJECT and assignment.gold_id is not None:
        return _hidden_object_task(tasks, assignment)
    task = tasks.get(pk=assignment.task_id)
    if assignment.stage == Stage.OBJECT:
        return _object_task(task, with_targets=assignment.question_id is None)
    if assignment.stage == Stage.PICK:
        return _pick_task(task, assignment)
    return _pose_task(task)


def shown_order(seed: UUID, candidates: Iterable[int]) -> list[int]:
    """The random order in which this person sees the candidates: the same after every reload, on every machine.

    ``seed`` is the assignment's order_seed, which an answer that was taken back leaves to its successor.
    """
    return sorted(candidates, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())


def photo_ref(image: Image) -> PhotoRef:
    return PhotoRef(
        id=image.pk,
        url=blobs.url(image.key),
        thumbnail_url=blobs.url(image.thumbnail_key),
        width=image.width,
        height=image.height,
        name=image.name,
        attribution=image.attribution,
    )


def target_ref(target: TargetObject) -> TargetRef:
    """Reads the taxonomy entry too: select it along."""
    return TargetRef(
        id=target.pk,
        label=target.label,
        taxonomy_key=target.taxonomy_entry.key if target.taxonomy_entry else None,
        mask_url=blobs.url(target.mask_key),
        bbox=target.bbox,
        flags=target.flags,
    )


def _object_task(task: AnnotationTask, *, with_targets: bool) -> ObjectTask:
    """Without its targets in a quiz: the known mask is one of them."""
    known = TargetObject.objects.filter(image=task.image).exclude(status=TargetStatus.DISCARDED)
    targets = list(known.select_related("taxonomy_entry").order_by("id")) if with_targets else []
    return ObjectTask(
        photo=photo_ref(task.image),
        proposals=[
            ProposalRef(id=target.pk, mask_url=blobs.url(target.mask_key), label=target.label)
            for target in targets
            if target.status == TargetStatus.PROPOSED
        ],
        taken=[target_ref(target) for target in targets if target.status == TargetStatus.CONFIRMED],
    )


def _hidden_object_task(tasks: Any, held: Assignment) -> ObjectTask:
    """Hidden gold as it was before anybody had marked anything, with what this person drew and took back."""
    assert held.gold_id is not None, "only hidden gold is shown so"
    took_back = hidden_gold.taken_back(gold=held.gold_id, annotator=held.annotator_id)
    task = tasks.annotate(took_back=took_back).get(pk=held.task_id)
    proposed = TargetObject.objects.filter(image=task.image).exclude(source="").order_by("id")
    own = {each["id"]: each for sent in task.took_back for each in sent.get("targets", ())}
    shown = [(target.pk, target.mask_key, target.label) for target in proposed if target.pk not in own]
    shown += [(number, each["mask_key"], each["label"]) for number, each in own.items()]
    return ObjectTask(
        photo=photo_ref(task.image),
        proposals=[
            ProposalRef(id=number, mask_url=blobs.url(key), label=label)
            for number, key, label in sorted(shown)
        ],
        taken=[],
    )


def _pick_task(task: AnnotationTask, held: Assignment) -> PickTask:
    assert task.target is not None
    candidates = {one.pk: one for one in Candidate.objects.filter(batch_id=task.batch_id)}
    return PickTask(
        photo=photo_ref(task.image),
        target=target_ref(task.target),
        intrinsics=_intrinsics(_point_map(task.image)),
        mode=held.project.stage2_mode,
        candidates=[_candidate_ref(candidates[pk]) for pk in shown_order(held.order_seed, candidates)],
    )


def _pose_task(task: AnnotationTask) -> PoseTask:
    target, candidate = task.target, task.candidate
    assert target is not None and candidate is not None
    point_map = _point_map(task.image)
    proposal = LayoutProposal.objects.filter(candidate=candidate).order_by("-id").first()
    return PoseTask(
        photo=photo_ref(task.image),
        target=target_ref(target),
        intrinsics=_intrinsics(point_map),
        point_cloud=_cloud(point_map),
        candidate=ShapeRef(
            id=candidate.pk,
            mesh_url=blobs.url(candidate.mesh_key),
            preview_url=blobs.url(candidate.preview_key),
            num_faces=candidate.num_faces,
        ),
        proposal=_pose(proposal.pose) if proposal else None,
    )


def _candidate_ref(candidate: Candidate) -> CandidateRef:
    return CandidateRef(
        id=candidate.pk,
        mesh_url=blobs.url(candidate.mesh_key),
        preview_url=blobs.url(candidate.preview_key),
        splat_url=blobs.url(candidate.splat_key),
        pose=_pose(candidate.pose),
    )


def _pose(pose: dict[str, Any] | None) -> PoseRef | None:
    if pose is None:
        return None
    return PoseRef(
        rotation_wxyz=pose["rotation_wxyz"],
        translation=pose["translation"],
        scale=pose["scale"],
        unit=pose["unit"],
    )


def _point_map(image: Image) -> PointMap | None:
    """The image's point map when it is READY."""
    try:
        point_map = image.point_map
    except PointMap.DoesNotExist:
        return None
    return point_map if point_map.status == PointMapStatus.READY else None


def _intrinsics(point_map: PointMap | None) -> IntrinsicsRef | None:
    if point_map is None or point_map.intrinsics is None:
        return None
    return IntrinsicsRef(**{name: point_map.intrinsics[name] for name in IntrinsicsRef.__dataclass_fields__})


def _cloud(point_map: PointMap | None) -> PointCloudRef | None:
    if point_map is None or not point_map.cloud_key:
        return None
    return PointCloudRef(
        url=blobs.url(point_map.cloud_key),
        num_points=point_map.num_points,
        approximate=point_map.approximate,
        unit="m" if point_map.metric else "pointmap",
    )
