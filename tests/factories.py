"""Makes projects, photographs and work for tests, through the services wherever there is one."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime
from itertools import count

from PIL import Image as Pillow

from engine.models import (
    AnnotationTask,
    Assignment,
    Candidate,
    CandidateBatch,
    Checkpoint,
    Image,
    PointMap,
    Project,
    TargetObject,
)
from engine.selectors.queues import NothingToClaim
from engine.services import candidates, images, leases, stage3
from engine.services.new_candidate import NewCandidate
from engine.services.projects import create_project
from engine.services.rounds import current_round
from engine.states import Stage, TargetStatus
from engine.transitions import Actor, record_creation
from modelzoo.contracts import Pose

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TESTER = Actor(name="test")
WIDTH, HEIGHT = 64, 48
TAXONOMY = (("mug", "Mug"), ("toy", "Toy"))
CAMERA = {"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0, "width": WIDTH, "height": HEIGHT}
POSE = Pose(rotation_wxyz=(1.0, 0.0, 0.0, 0.0), translation=(0.0, 0.0, 2.0), scale=0.5)

_numbers = count(1)


def make_project(slug: str = "desk", **settings: object) -> Project:
    """A project with a taxonomy and round 1 open; three candidates a batch unless told otherwise."""
    return create_project(
        slug=slug, name=slug.capitalize(), taxonomy=TAXONOMY, **{"num_candidates": 3, **settings}
    )  # type: ignore[arg-type]


def photo_bytes(*, width: int = WIDTH, height: int = HEIGHT, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """A photograph unlike any other of the run."""
    number = next(_numbers)
    colour = (number % 256, number // 256 % 256, 120)
    return encode(Pillow.new("RGB", (width, height), colour).convert(mode), kind)


def mask_bytes(
    *, box: tuple[int, int, int, int] = (10, 10, 30, 30), width: int = WIDTH, height: int = HEIGHT
) -> bytes:
    """A mask that is white within ``box`` (left, top, right, bottom)."""
    mask = Pillow.new("L", (width, height), 0)
    mask.paste(255, box)
    return encode(mask, "PNG")


def encode(image: Pillow.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def glb_bytes(*, document: dict[str, object] | None = None, version: int = 2) -> bytes:
    """A GLB of one triangle."""
    content = document or {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 3,
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [1, 1, 0],
            }
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    chunks = (
        struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    )
    return struct.pack("<III", 0x46546C67, version, 12 + len(chunks)) + chunks


def make_image(project: Project, *, with_points: bool = True) -> Image:
    """An ingested photograph with its object task; its point map is READY unless told otherwise."""
    image, _ = images.ingest_image(project_id=project.pk, data=photo_bytes(), name="a photo", user_id=None)
    if with_points:
        images.record_point_map(
            image_id=image.pk,
            npz_key="aa/points.npz",
            cloud_key="aa/cloud.c8pc",
            num_points=1000,
            intrinsics=CAMERA,
            source="test sensor",
            approximate=False,
            metric=True,
        )
    return image


def make_bare_images(project: Project, *, how_many: int) -> list[Image]:
    """Rows of photographs with object tasks, without blobs: for tests that need much work and no pictures."""
    rows = Image.objects.bulk_create(
        Image(
            project=project,
            name=f"photo {number}",
            sha256=f"{next(_numbers):064x}",
            key="aa/none.jpg",
            thumbnail_key="aa/none.jpg",
            width=WIDTH,
            height=HEIGHT,
            status="READY",
        )
        for number in range(how_many)
    )
    PointMap.objects.bulk_create(PointMap(project=project, image=row) for row in rows)
    AnnotationTask.objects.bulk_create(
        AnnotationTask(project=project, stage=Stage.OBJECT, image=row) for row in rows
    )
    return rows


def make_target(
    image: Image, *, label: str = "mug", box: tuple[int, int, int, int] = (10, 10, 30, 30)
) -> TargetObject:
    """A confirmed target."""
    number = next(_numbers)
    target = TargetObject.objects.create(
        project=image.project,
        image=image,
        mask_key="aa/mask.png",
        mask_sha256=f"{number:064x}",
        bbox=[box[0], box[1], box[2] - box[0], box[3] - box[1]],
        area_px=(box[2] - box[0]) * (box[3] - box[1]),
        label=label,
        status=TargetStatus.CONFIRMED,
    )
    record_creation(target, by=TESTER)
    return target


def make_batch(target: TargetObject) -> CandidateBatch:
    """A REQUESTED batch with its job."""
    return candidates.request_batch(target=target, round=current_round(target.project_id), by=TESTER)


def make_checkpoint(name: str = "tiny") -> Checkpoint:
    number = next(_numbers)
    return Checkpoint.objects.create(
        name=name,
        sha256=f"{number:064x}",
        weights_key="aa/weights",
        manifest={},
        preset="nano",
        status="VERIFIED",
    )


def new_candidates(batch: CandidateBatch, *, checkpoint: Checkpoint | None = None) -> list[NewCandidate]:
    """As many candidates as the batch asks for; of our own model when a checkpoint is given."""
    return [
        NewCandidate(
            index=index,
            source="candid8" if checkpoint else "retrieval",
            checkpoint_id=checkpoint.pk if checkpoint else None,
            generation=1 if checkpoint else None,
            seed=batch.seed + index,
            settings={"geometry_steps": 8},
            pose=stage3.pose_json(POSE),
            latents_key="aa/latents.safetensors",
            mesh_key=f"aa/mesh{index}.glb",
            preview_key=f"aa/preview{index}.glb",
            splat_key=f"aa/splat{index}.ply",
            num_vertices=100,
            num_faces=200,
            num_splats=300,
        )
        for index in range(batch.num_requested)
    ]


def make_ready_batch(target: TargetObject, *, checkpoint: Checkpoint | None = None) -> CandidateBatch:
    """A READY batch with its pick task."""
    batch = make_batch(target)
    candidates.begin_batch(batch_id=batch.pk)
    return candidates.complete_batch(
        batch_id=batch.pk, candidates=new_candidates(batch, checkpoint=checkpoint), seconds=1.0
    )


def make_pick_task(project: Project) -> AnnotationTask:
    """A pick task with its whole past."""
    batch = make_ready_batch(make_target(make_image(project)))
    return AnnotationTask.objects.get(batch=batch)


def make_pose_task(project: Project) -> AnnotationTask:
    """A pose task with its whole past."""
    batch = make_ready_batch(make_target(make_image(project)))
    candidate = Candidate.objects.filter(batch=batch).order_by("index")[0]
    stage3.record_layout_proposal(
        candidate_id=candidate.pk, checkpoint_id=None, source="test", pose=POSE, mask_iou=0.6, fallbacks=[]
    )
    return AnnotationTask.objects.get(candidate=candidate)


def claim(
    user_id: int, project: Project, stage: Stage, *, prefetch: bool = False, now: datetime = NOW
) -> Assignment:
    """The lease the person gets; fails when there is none to get."""
    held = leases.claim(user_id=user_id, project_id=project.pk, stage=stage, prefetch=prefetch, now=now)
    assert not isinstance(held, NothingToClaim), held
    return held
