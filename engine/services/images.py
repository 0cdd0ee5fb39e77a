"""Takes photographs in with what is known of their depth, proposes targets in them, and records their point maps."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import zipfile
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from engine import blobs, jobs
from engine.errors import BadInput, NotFound
from engine.models import Image, PointMap, Project, StateChange, TargetObject
from engine.services.masks import read_mask
from engine.services.photographs import Photograph, read_photograph
from engine.services.tasks import open_object_task
from engine.states import ImageStatus, PointMapStatus, TargetStatus
from engine.transitions import Actor, record_creation, record_creations, transition
from modelzoo.contracts import Intrinsics

log = logging.getLogger(__name__)

WORKER = Actor(name="worker")
JPEG = "image/jpeg"
CAMERA = ("fx", "fy", "cx", "cy")
#: What a form may say of a point-map file; modelzoo.depth_files reads it.
NUMBERS = (*CAMERA, "depth_scale", "baseline", "doffs", "fill_px")
MAY_BE_NEGATIVE = frozenset({"cx", "cy", "doffs"})
TEXTS = ("calibration", "T_camera_cloud")
MAX_TEXT = 20_000
ARRAYS = frozenset({"points", "depth", "disparity"})
#: First bytes > suffix of the files that may bring a point map.
POINT_MAP_MAGIC = {
    b"PK\x03\x04": ".npz",
    b"ply\n": ".ply",
    b"ply\r": ".ply",
    b"\x89PNG": ".png",
    b"\x93NUM": ".npy",
    b"Pf\n": ".pfm",
    b"PF\n": ".pfm",
    b"# .P": ".pcd",
    b"VERS": ".pcd",
    b"LASF": ".las",
}


@dataclass(frozen=True, kw_only=True)
class PointMapUpload:
    """A file that gives a photograph's depth, and the form beside it: fx, fy, cx, cy, depth_scale, ..."""

    data: bytes
    filename: str
    form: dict[str, Any] = field(default_factory=dict)


def ingest_image(
    *,
    project_id: int,
    data: bytes,
    name: str,
    attribution: str = "",
    licence: str = "",
    point_map: PointMapUpload | None = None,
    user_id: int | None,
) -> tuple[Image, bool]:
    """The photograph as a row with its stage 1 task and a job for its point map, and whether it is new.

    The same file in the same project is the same image; a point map that comes with it replaces one that was only
    estimated. Raises BadInput (bad_image, image_too_large, bad_point_map, point_map_too_large) and writes nothing.
    """
    upload = _read_upload(point_map)
    by = Actor(user_id=user_id, name="" if user_id else "ingest")
    sha256 = hashlib.sha256(data).hexdigest()
    known = Image.objects.filter(project_id=project_id, sha256=sha256).first()
    if known is None:
        photograph = read_photograph(
            data,
            max_bytes=settings.MAX_IMAGE_BYTES,
            max_pixels=settings.MAX_IMAGE_PIXELS,
            min_side=settings.MIN_IMAGE_SIDE,
            max_side=settings.MAX_IMAGE_SIDE,
        )
        row = Image(
            project_id=project_id,
            name=_short(name, 200) or "photograph",
            sha256=sha256,
            attribution=_short(attribution, 300),
            licence=_short(licence, 80),
            uploaded_by_id=user_id,
        )
        try:
            return _write(row, photograph, upload, by=by), True
        except IntegrityError:
            known = Image.objects.filter(project_id=project_id, sha256=sha256).first()
            if known is None:
                raise NotFound(f"There is no project {project_id}.") from None
    if upload is not None:
        _replace_estimate(known, upload, by=by)
    return known, False


def propose_target(
    *, image_id: int, mask_png: bytes, label: str = "", source: str = "ingest"
) -> TargetObject:
    """A target that ``source`` proposes; the same mask of the same photograph is the same target."""
    image = Image.objects.filter(pk=image_id).first()
    if image is None:
        raise NotFound(f"There is no image {image_id}.")
    mask = read_mask(mask_png, width=image.width, height=image.height)
    mask_key = blobs.put(mask.png, suffix=".png", content_type="image/png")
    with transaction.atomic():
        target, is_new = TargetObject.objects.get_or_create(
            image=image,
            mask_sha256=mask.sha256,
            defaults={
                "project_id": image.project_id,
                "mask_key": mask_key,
                "bbox": list(mask.bbox),
                "area_px": mask.area_px,
                "label": _short(label, 120),
                "source": _short(source, 60),
                "status": TargetStatus.PROPOSED,
            },
        )
        if is_new:
            record_creation(target, by=Actor(name=source.partition(":")[0]))
    return target


def ask_for_proposals(image: Image) -> bool:
    """Asks a worker to propose masks, when the operator has a segmenter; False when there is none.

    A photograph is proposed for once by the same segmenter: asking again is harmless. Expects a transaction.
    """
    if not settings.SEGMENTER_ENCODER:
        return False
    files = f"{settings.SEGMENTER_ENCODER}\0{settings.SEGMENTER_DECODER}"
    jobs.enqueue(
        kind="propose_masks",
        key=f"masks-{image.pk}-{hashlib.sha256(files.encode()).hexdigest()[:12]}",
        payload={"image_id": image.pk},
        project_id=image.project_id,
    )
    return True


def record_point_map(
    *,
    image_id: int,
    npz_key: str,
    cloud_key: str,
    num_points: int,
    intrinsics: dict[str, Any],
    source: str,
    approximate: bool,
    metric: bool,
) -> None:
    """Makes the PENDING point map READY; one that is not PENDING stays as it is (a second run changes nothing)."""
    camera = _read_camera(intrinsics)
    with transaction.atomic():
        row = _locked_map(image_id)
        if row.status != PointMapStatus.PENDING:
            log.info("a point map was recorded that is not waited for any more", extra={"image": image_id})
            return
        transition(
            row,
            PointMapStatus.READY,
            by=WORKER,
            changes={
                "key": npz_key,
                "cloud_key": cloud_key,
                "num_points": num_points,
                "intrinsics": camera,
                "source": source,
                "approximate": approximate,
                "metric": metric,
                "detail": "",
            },
        )


def refuse_point_map(*, image_id: int, detail: str) -> None:
    """Makes the PENDING point map REFUSED and says why; one that is not PENDING stays as it is."""
    with transaction.atomic():
        row = _locked_map(image_id)
        if row.status == PointMapStatus.PENDING:
            transition(row, PointMapStatus.REFUSED, by=WORKER, reason=detail, changes={"detail": detail})


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """A point-map file that looked right, stored."""

    key: str
    form: dict[str, Any]


def _write(row: Image, photograph: Photograph, upload: _Upload | None, *, by: Actor) -> Image:
    row.width, row.height = photograph.width, photograph.height
    row.key = blobs.put(photograph.jpeg, suffix=".jpg", content_type=JPEG)
    row.thumbnail_key = blobs.put(photograph.thumbnail, suffix=".jpg", content_type=JPEG)
    row.status = ImageStatus.READY
    with transaction.atomic():
        if not Project.objects.filter(pk=row.project_id).exists():
            raise NotFound(f"There is no project {row.project_id}.")
        row.save(force_insert=True)
        point_map = PointMap.objects.create(
            project_id=row.project_id,
            image=row,
            upload_key=upload.key if upload else "",
            upload_form=upload.form if upload else {},
        )
        record_creations([row, point_map], by=by)
        _ask_for_map(point_map, key=f"point-map-{row.pk}")
        open_object_task(image=row, by=by)
        ask_for_proposals(row)
    return row


def _replace_estimate(image: Image, upload: _Upload, *, by: Actor) -> None:
    """A file replaces an estimate or a refused file; a point map that came from a file stays."""
    with transaction.atomic():
        row = _locked_map(image.pk)
        if row.status == PointMapStatus.PENDING or (row.status == PointMapStatus.READY and row.upload_key):
            return
        changes = {"upload_key": upload.key, "upload_form": upload.form, "detail": ""}
        transition(row, PointMapStatus.PENDING, by=by, reason="a file was handed in", changes=changes)
        times = StateChange.objects.filter(model=row._meta.model_name, object_id=row.pk).count()
        _ask_for_map(row, key=f"point-map-{image.pk}-{times}")


def _ask_for_map(row: PointMap, *, key: str) -> None:
    jobs.enqueue_new(
        [
            jobs.Order(
                kind="read_point_map" if row.upload_key else "estimate_point_map",
                key=key,
                payload={"image_id": row.image_id},
                project_id=row.project_id,
            )
        ]
    )


def _read_upload(upload: PointMapUpload | None) -> _Upload | None:
    """A cheap look at the file and its form; the worker reads it in earnest."""
    if upload is None:
        return None
    if len(upload.data) > settings.MAX_POINT_MAP_BYTES:
        raise BadInput(
            f"The point map has {len(upload.data) / 1e6:.1f} MB; it may have "
            f"{settings.MAX_POINT_MAP_BYTES / 1e6:.0f} MB at most.",
            code="point_map_too_large",
        )
    form = _read_form(upload.form)
    suffix = _suffix(upload, form)
    if suffix is None:
        raise BadInput(
            f"{upload.filename or 'The point map'} is none of .npz and .npy (points or depth), .pfm, .ply, .pcd, .las, "
            "a 16-bit depth .png, or a KITTI .bin with its calibration.",
            code="bad_point_map",
        )
    if suffix == ".npz":
        _check_npz(upload.data)
    if suffix == ".png" and not set(CAMERA) <= form.keys():
        raise BadInput(
            "A depth .png needs the camera's fields fx, fy, cx and cy in pixels (and depth_scale, units per metre, "
            "unless it holds millimetres).",
            code="bad_point_map",
        )
    key = blobs.put(upload.data, suffix=suffix, content_type="application/octet-stream")
    return _Upload(key=key, form=form)


def _suffix(upload: PointMapUpload, form: dict[str, Any]) -> str | None:
    """What kind of file it is by its first bytes; KITTI's .bin has none, so its name and calibration must say it."""
    for magic, suffix in POINT_MAP_MAGIC.items():
        if upload.data.startswith(magic):
            return suffix
    return ".bin" if upload.filename.lower().endswith(".bin") and form.get("calibration") else None


def _read_form(form: dict[str, Any]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    if str(form.get("metric", "true")).lower() == "false":
        numbers["metric"] = "false"
    for name in NUMBERS:
        value = form.get(name)
        if value in (None, ""):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise BadInput(f"{name} must be a number, not {value!r}.", code="bad_point_map") from error
        if not math.isfinite(number) or (number <= 0 and name not in MAY_BE_NEGATIVE):
            raise BadInput(f"{name} must be a positive finite number, not {value!r}.", code="bad_point_map")
        numbers[name] = number
    if 0 < len(numbers.keys() & set(CAMERA)) < len(CAMERA):
        raise BadInput("Send all of fx, fy, cx and cy, or none of them.", code="bad_point_map")
    for name in TEXTS:
        text = str(form.get(name) or "").strip()
        if len(text) > MAX_TEXT:
            raise BadInput(f"{name} may have {MAX_TEXT} characters at most.", code="bad_point_map")
        if text:
            numbers[name] = text
    return numbers


def _check_npz(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise BadInput("The .npz is damaged; save it anew with numpy.savez.", code="bad_point_map") from error
    if not names & ARRAYS:
        raise BadInput(
            f"The .npz must hold an array named points (H x W x 3), depth or disparity (H x W), "
            f"not {', '.join(sorted(names)) or 'none'}.",
            code="bad_point_map",
        )


def _read_camera(intrinsics: dict[str, Any]) -> dict[str, Any]:
    try:
        camera = Intrinsics(
            **{name: float(intrinsics[name]) for name in CAMERA},
            width=int(intrinsics["width"]),
            height=int(intrinsics["height"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"Intrinsics are fx, fy, cx, cy, width and height in pixels: {error}.") from error
    return {
        **{name: float(intrinsics[name]) for name in CAMERA},
        "width": camera.width,
        "height": camera.height,
    }


def _locked_map(image_id: int) -> PointMap:
    row = PointMap.objects.select_for_update().filter(image_id=image_id).first()
    if row is None:
        raise NotFound(f"There is no point map of image {image_id}.")
    return row


def _short(text: str, length: int) -> str:
    return text.replace("\x00", "").strip()[:length]
