"""Rows of a project that people have judged, made directly: what curation, lineage and the console read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.utils import timezone

from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    Candidate,
    CandidateBatch,
    Checkpoint,
    Comparison,
    Image,
    Membership,
    PointMap,
    Project,
    Round,
    Selection,
    TargetObject,
)
from engine.services import rounds
from engine.states import (
    ArtistCaseStatus,
    AssignmentStatus,
    BatchStatus,
    CheckpointStatus,
    ImageStatus,
    PointMapStatus,
    Role,
    Stage,
    TargetStatus,
    TaskStatus,
)
from engine.transitions import Actor

TESTS = Actor(name="tests")
POSE = {"rotation_wxyz": [1.0, 0.0, 0.0, 0.0], "translation": [0.0, 0.0, 2.0], "scale": 0.5, "unit": "m"}
INTRINSICS = {"fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480}
_number = count(1)


def person(name: str, project: Project | None = None, *roles: Role) -> User:
    """The person called ``name``, with ``roles`` in the project."""
    user, is_new = get_user_model().objects.get_or_create(username=name)
    if is_new:
        user.set_password(name)
        user.save()
    for role in roles:
        Membership.objects.get_or_create(project=project, user=user, role=role)
    return user


def project(slug: str = "kitchen", *, alpha: float = 0.5, num_candidates: int = 4) -> Project:
    """A project with its first round open."""
    made = Project.objects.create(slug=slug, name=slug.title(), alpha=alpha, num_candidates=num_candidates)
    rounds.open_round(project_id=made.pk, alpha=alpha, num_candidates=num_candidates, actor=TESTS)
    return made


def checkpoint(
    name: str = "shipped",
    *,
    parent: Checkpoint | None = None,
    status: CheckpointStatus = CheckpointStatus.VERIFIED,
) -> Checkpoint:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    made, _ = Checkpoint.objects.get_or_create(
        sha256=sha256,
        defaults={
            "name": name,
            "weights_key": f"{sha256[:2]}/{sha256}.safetensors",
            "manifest": {"preset": "tiny"},
            "preset": "tiny",
            "parent": parent,
            "status": status,
        },
    )
    return made


def batch(
    of: Project,
    *,
    label: str = "mug",
    sources: Sequence[str] = ("candid8",) * 4,
    made_by: Checkpoint | None = None,
    with_point_map: bool = True,
    approximate: bool = False,
) -> CandidateBatch:
    """A photograph, a target in it, and a batch of one candidate per source, READY."""
    number = next(_number)
    photo = Image.objects.create(
        project=of,
        name=f"photo {number}.jpg",
        sha256=hashlib.sha256(f"photo {number}".encode()).hexdigest(),
        key=f"im/{number}.jpg",
        thumbnail_key=f"th/{number}.jpg",
        width=640,
        height=480,
        status=ImageStatus.READY,
    )
    if with_point_map:
        PointMap.objects.create(
            project=of,
            image=photo,
            status=PointMapStatus.READY,
            source="sensor",
            key=f"pm/{number}.npz",
            intrinsics=INTRINSICS,
            approximate=approximate,
        )
    target = TargetObject.objects.create(
        project=of,
        image=photo,
        mask_key=f"ma/{number}.png",
        mask_sha256=hashlib.sha256(f"mask {number}".encode()).hexdigest(),
        bbox=[10, 10, 50, 50],
        area_px=900,
        label=label,
        status=TargetStatus.CONFIRMED,
    )
    made = CandidateBatch.objects.create(
        project=of,
        target=target,
        round=Round.objects.filter(project=of).first(),
        num_requested=len(sources),
        num_candidates=len(sources),
        seed=number * 100,
        status=BatchStatus.READY,
    )
    maker = made_by or checkpoint()
    for index, source in enumerate(sources):
        ours = source == "candid8"
        Candidate.objects.create(
            project=of,
            target=target,
            batch=made,
            index=index,
            source=source,
            checkpoint=maker if ours else None,
            generation=1 if ours else None,
            seed=made.seed + index if ours else None,
            latents_key=f"la/{number}-{index}.safetensors" if ours else "",
            mesh_key=f"me/{number}-{index}.glb",
            preview_key=f"pr/{number}-{index}.glb",
        )
    return made


def candidates(of: CandidateBatch) -> list[Candidate]:
    return list(of.candidates.order_by("index"))


def pick(
    of: CandidateBatch,
    *,
    by: User,
    winner: int | None,
    ratings: tuple[int, int] = (4, 4),
    mode: str = Selection.Mode.GRID,
    shown: Sequence[int] | None = None,
    pairs: Sequence[tuple[int, int, str]] = (),
    none_because: str = "none_good",
) -> Selection:
    """A submitted pick. Winner, ``shown`` and ``pairs`` (left, right, outcome) name candidates by index."""
    cells = candidates(of)
    task, _ = AnnotationTask.objects.get_or_create(
        batch=of,
        stage=Stage.PICK,
        defaults={
            "project": of.project,
            "image": of.target.image,
            "target": of.target,
            "status": TaskStatus.DONE,
            "open_slots": 0,
        },
    )
    assignment = _assignment(task, by)
    for order, (left, right, outcome) in enumerate(pairs):
        Comparison.objects.create(
            project=of.project,
            assignment=assignment,
            order=order,
            left=cells[left],
            right=cells[right],
            outcome=outcome,
            milliseconds=1500,
        )
    rating = (sum(ratings) / 2 - 1) / 4
    verdict = (
        {"none_because": none_because}
        if winner is None
        else {
            "winner": cells[winner],
            "shape_rating": ratings[0],
            "texture_rating": ratings[1],
            "rating": rating,
        }
    )
    seen = range(len(cells)) if shown is None else shown
    return Selection.objects.create(
        project=of.project,
        assignment=assignment,
        batch=of,
        round=of.round,
        mode=mode,
        shown_order=[cells[index].pk for index in seen],
        **verdict,
    )


def alignment(of: Candidate, *, by: User, scale: float = 0.5) -> Alignment:
    task, _ = AnnotationTask.objects.get_or_create(
        candidate=of,
        stage=Stage.POSE,
        defaults={
            "project": of.project,
            "image": of.target.image,
            "target": of.target,
            "status": TaskStatus.DONE,
            "open_slots": 0,
        },
    )
    return Alignment.objects.create(
        project=of.project,
        assignment=_assignment(task, by),
        candidate=of,
        pose=POSE | {"scale": scale},
        approximate=False,
        mask_iou=0.8,
    )


def accepted_case(of: CandidateBatch, *, by: User) -> ArtistCase:
    """An artist's model for the batch's target, accepted."""
    number = next(_number)
    model = Candidate.objects.create(
        project=of.project,
        target=of.target,
        index=0,
        source="artist",
        mesh_key=f"me/artist-{number}.glb",
        preview_key=f"pr/artist-{number}.glb",
    )
    return ArtistCase.objects.create(
        project=of.project,
        target=of.target,
        reason="none_good",
        status=ArtistCaseStatus.ACCEPTED,
        claimed_by=by,
        candidate=model,
    )


def _assignment(task: AnnotationTask, by: User) -> Assignment:
    return Assignment.objects.create(
        project=task.project,
        task=task,
        annotator=by,
        stage=task.stage,
        status=AssignmentStatus.SUBMITTED,
        submit_key=str(uuid4()),
        answer={},
        expires_at=timezone.now() + timedelta(minutes=10),
        ended_at=timezone.now(),
        seconds=20.0,
    )
