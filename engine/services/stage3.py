"""Stage 3: the model's layout proposal for a chosen shape, and the pose that a person gave it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from engine import jobs
from engine.errors import BadInput, NotFound
from engine.models import Alignment, Assignment, Candidate, Job, LayoutProposal, PointMap
from engine.models.judgement import SYMMETRIES
from engine.services import submissions
from engine.services.attention import NOT_TOLD, Looked
from engine.services.hard_cases import MASK_WRONG, Report, hand_over
from engine.services.hidden_gold import Hidden, marked, unused_ids
from engine.services.own_work import OwnWork, read_own_work
from engine.services.submissions import Judged, Submission
from engine.services.tasks import open_pose_task
from engine.states import PointMapStatus, Stage
from engine.transitions import Actor
from modelzoo.contracts import Pose

WORKER = Actor(name="worker")
MAX_ACTIONS = 100
#: Why a shape cannot be placed.
CANNOT_BE_PLACED = ("shape_wrong", MASK_WRONG, "ambiguous")


@dataclass(frozen=True, kw_only=True)
class PoseResult:
    """A pose as it was sent: T_camera_object, the mask IoU the person saw, and what they did how often.

    ``symmetry`` is how many turns about the shape's upright axis the person declared to look the same: 1 for a shape
    whose heading matters, ANY_HEADING for one that looks the same from every side.
    """

    rotation_wxyz: Sequence[float]
    translation: Sequence[float]
    scale: float
    mask_iou: float | None = None
    depth_residual: float | None = None
    actions: Mapping[str, int] | None = None
    symmetry: int = 1


def record_layout_proposal(
    *,
    candidate_id: int,
    checkpoint_id: int | None,
    source: str,
    pose: Pose,
    mask_iou: float | None,
    fallbacks: Sequence[str],
) -> LayoutProposal:
    """Stores the model's pose for the candidate and opens its pose task, each once.

    A second proposal of the same maker and checkpoint for the candidate changes nothing and gives the first.
    """
    with transaction.atomic():
        candidate = (
            Candidate.objects.select_for_update(of=("self",))  # two runs of one job must not both propose
            .select_related("target")
            .filter(pk=candidate_id)
            .first()
        )
        if candidate is None:
            raise NotFound(f"There is no candidate {candidate_id}.")
        same_maker = LayoutProposal.objects.filter(
            candidate=candidate, checkpoint=checkpoint_id, source=source
        )
        proposal = same_maker.first() or LayoutProposal.objects.create(
            project_id=candidate.project_id,
            candidate=candidate,
            checkpoint_id=checkpoint_id,
            source=source,
            pose=pose_json(pose),
            mask_iou=mask_iou,
            fallbacks=list(fallbacks),
        )
        open_pose_task(candidate=candidate, by=WORKER)
    return proposal


def submit_pose(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    key: str,
    seconds: float,
    result: PoseResult,
    now: datetime,
) -> dict[str, Any]:
    """Records the alignment; the answer names it. Raises as ``submissions.settle`` does, and BadInput for no pose."""
    submission = Submission(
        user_id=user_id, assignment=assignment, lease_token=lease_token, key=key, seconds=seconds, now=now
    )

    def prepare(work: OwnWork) -> Callable[[], Judged]:
        _check_numbers(result)
        point_map = _point_map_of(work.row)
        unit = "m" if point_map is not None and point_map.metric else "pointmap"
        pose = _read_pose(result, unit=unit)
        if work.row.gold_id is not None:
            sent = _as_sent(result)
            return partial(_answer_hidden, write=marked(work, Hidden(sent=sent, kept=sent)))
        return partial(
            _record_alignment,
            work,
            result,
            pose=pose,
            approximate=point_map is None or point_map.approximate,
        )

    return submissions.settle(submission, stage=Stage.POSE, unsent=_as_sent(result), prepare=prepare)


def report_pose(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    reason: str,
    note: str,
    now: datetime,
    looked: Looked = NOT_TOLD,
) -> Assignment:
    """Records that the shape cannot be placed and why; twice is once. Goes on as ``hard_cases.hand_over``.

    The pick before it stands: that was somebody else's judgement.
    """
    report = Report(
        user_id=user_id,
        assignment=assignment,
        lease_token=lease_token,
        reason=reason,
        note=note,
        now=now,
        looked=looked,
    )
    return hand_over(report, stage=Stage.POSE, reasons=CANNOT_BE_PLACED, judge=lambda work: None)


def request_snap(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    pose: PoseResult,
    with_scale: bool,
    now: datetime,
) -> Job:
    """Asks a worker to snap the pose to the scene's points; the job's result has the pose and what it gained.

    Raises LeaseLost without a live lease, and BadInput for no pose (bad_request) or a photograph without measured
    points (no_points, points_approximate).
    """
    held = read_own_work(user_id=user_id, assignment=assignment, stage=Stage.POSE).row
    submissions.require_live(held, lease_token=lease_token, now=now, unsent=None)
    point_map = _point_map_of(held)
    if point_map is None:
        raise BadInput("This photo has no points to snap to: place the shape by the photo.", code="no_points")
    if point_map.approximate:
        raise BadInput(
            "The points of this photo are only estimated, so snapping to them would copy the estimate's errors: "
            "place the shape by the photo.",
            code="points_approximate",
        )
    start = _read_pose(pose, unit="m" if point_map.metric else "pointmap")
    payload = {"candidate_id": held.task.candidate_id, "pose": pose_json(start), "with_scale": with_scale}
    with transaction.atomic():
        order = jobs.Order(
            kind="snap_pose", key=f"snap-{uuid4()}", payload=payload, project_id=held.project_id
        )
        [job] = jobs.enqueue_new([order])
    return job


def pose_json(pose: Pose) -> dict[str, Any]:
    """The pose as rows and the wire carry it."""
    return {
        "rotation_wxyz": list(pose.rotation_wxyz),
        "translation": list(pose.translation),
        "scale": pose.scale,
        "unit": pose.unit,
    }


def pose_of_json(document: Mapping[str, Any]) -> Pose:
    """The pose that ``pose_json`` wrote."""
    w, x, y, z = document["rotation_wxyz"]
    along, down, away = document["translation"]
    return Pose(
        rotation_wxyz=(w, x, y, z),
        translation=(along, down, away),
        scale=document["scale"],
        unit=document["unit"],
    )


def _record_alignment(work: OwnWork, result: PoseResult, *, pose: Pose, approximate: bool) -> Judged:
    held = work.row
    assert held.task.candidate_id is not None, "the database refuses a pose task without a candidate"
    alignment = Alignment.objects.create(
        project_id=held.project_id,
        assignment=held,
        candidate_id=held.task.candidate_id,
        proposal_id=work.newest_proposal,
        pose=pose_json(pose),
        approximate=approximate,
        mask_iou=result.mask_iou,
        depth_residual=result.depth_residual,
        actions=dict(result.actions or {}),
        symmetry=result.symmetry,
    )
    return Judged(answer={"alignment": alignment.pk})


def _answer_hidden(*, write: Callable[[], None]) -> Judged:
    write()
    [number] = unused_ids(Alignment, how_many=1)
    return Judged(answer={"alignment": number})


def _read_pose(result: PoseResult, *, unit: str) -> Pose:
    if len(result.rotation_wxyz) != 4:
        raise BadInput(f"rotation_wxyz must be four numbers (w, x, y, z), not {len(result.rotation_wxyz)}.")
    if len(result.translation) != 3:
        raise BadInput(f"translation must be three numbers (x, y, z), not {len(result.translation)}.")
    w, x, y, z = (float(value) for value in result.rotation_wxyz)
    right, down, forward = (float(value) for value in result.translation)
    try:
        pose = Pose(
            rotation_wxyz=(w, x, y, z),
            translation=(right, down, forward),
            scale=float(result.scale),
            unit=unit,
        )
    except ValueError as error:
        raise BadInput(f"This is no pose: {error}.") from error
    if forward <= 0:
        raise BadInput(
            f"translation z must be positive: the object lies in front of the camera (OpenCV axes), not at {forward}."
        )
    return pose


def _check_numbers(result: PoseResult) -> None:
    if result.mask_iou is not None and not 0 <= result.mask_iou <= 1:
        raise BadInput(f"mask_iou must be between 0 and 1, or null, not {result.mask_iou}.")
    if result.depth_residual is not None and not (
        math.isfinite(result.depth_residual) and result.depth_residual >= 0
    ):
        raise BadInput(
            f"depth_residual must be a finite number not below 0, or null, not {result.depth_residual}."
        )
    if result.symmetry not in SYMMETRIES:
        raise BadInput(f"symmetry must be one of {sorted(SYMMETRIES)}, not {result.symmetry}.")
    actions = result.actions or {}
    if len(actions) > MAX_ACTIONS or any(len(name) > 40 or count < 0 for name, count in actions.items()):
        raise BadInput(f"actions must map at most {MAX_ACTIONS} names of up to 40 characters to counts.")


def _point_map_of(held: Assignment) -> PointMap | None:
    try:
        point_map = held.task.image.point_map
    except PointMap.DoesNotExist:
        return None
    return point_map if point_map.status == PointMapStatus.READY else None


def _as_sent(result: PoseResult) -> dict[str, Any]:
    """The result in its wire form, to be kept in the draft when the lease was lost."""
    return {
        **asdict(result),
        "rotation_wxyz": list(result.rotation_wxyz),
        "translation": list(result.translation),
        "actions": dict(result.actions or {}),
    }
