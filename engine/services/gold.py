"""Gold tasks: made from judgements that a lead confirms, and the marking of answers to them."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction
from PIL import Image as Pillow

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import Alignment, AnnotationTask, Candidate, GoldItem, MaskEdit, Selection
from engine.ranking import gold as marks
from engine.selectors.gold import is_source
from engine.selectors.tasks import shown_order
from engine.services.masks import read_mask
from engine.services.own_work import OwnWork
from engine.states import Stage
from engine.transitions import Actor

MAX_WHY = 2000
MAX_PROMPT = 200
NUM_POINTS = 200
FLOAT32 = 5126


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How near the known answer one must come; each stage reads its own."""

    iou_at_least: float = 0.85
    rotation_deg: float = 20.0
    translation_share: float = 0.25
    add_s_share: float = 0.15
    symmetry_order: int = 1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What an answer is worth; ``figures`` and ``reference`` are told to the person."""

    is_right: bool
    figures: dict[str, Any]
    reference: dict[str, Any]


def make(
    *,
    project_id: int,
    stage: Stage,
    source_id: int,
    why: str,
    also_best: Sequence[int],
    avoid: Sequence[int],
    bar: Bar,
    actor: Actor,
) -> GoldItem:
    """Makes gold of the project's judgement ``source_id`` of the stage, which reads its own of the rest.

    Raises NotFound when the project has no such judgement, BadInput for what makes no gold.
    """
    if not is_source(project_id, stage, source_id):
        raise NotFound("There is no such judgement in this project.")
    if stage == Stage.OBJECT:
        return make_from_mask(mask_edit_id=source_id, why=why, bar=bar, actor=actor)
    if stage == Stage.POSE:
        return make_from_alignment(alignment_id=source_id, why=why, bar=bar, actor=actor)
    return make_from_selection(selection_id=source_id, also_best=also_best, avoid=avoid, why=why, actor=actor)


def make_from_mask(*, mask_edit_id: int, why: str, bar: Bar, actor: Actor) -> GoldItem:
    """Stage 1: the mask that somebody confirmed is the known one."""
    edit = MaskEdit.objects.select_related("target", "assignment").filter(pk=mask_edit_id).first()
    if edit is None or edit.target is None:
        raise NotFound("There is no such mask.")
    if not 0 < bar.iou_at_least < 1:
        raise BadInput("The overlap asked for must lie between 0 and 1.")
    answer = {"mask_key": edit.target.mask_key, "iou_at_least": bar.iou_at_least}
    prompt = f"Mark this object: {edit.target.label}"[:MAX_PROMPT]
    return _make(
        edit.project_id,
        edit.assignment.task_id,
        answer,
        stage=Stage.OBJECT,
        prompt=prompt,
        why=why,
        actor=actor,
    )


def make_from_selection(
    *, selection_id: int, also_best: Sequence[int], avoid: Sequence[int], why: str, actor: Actor
) -> GoldItem:
    """Stage 2: the winner is best, ``also_best`` with it; ``avoid`` are clearly wrong.

    Without a best one (nobody was good enough), any pick that avoids the wrong ones is right; handing over is right
    when all are to be avoided.
    """
    selection = Selection.objects.select_related("assignment").filter(pk=selection_id).first()
    if selection is None:
        raise NotFound("There is no such pick.")
    ids = set(Candidate.objects.filter(batch_id=selection.batch_id).values_list("pk", flat=True))
    best = {*also_best, *([selection.winner_id] if selection.winner_id else [])}
    if selection.winner_id is None and not best and not avoid:
        avoid = sorted(ids)
    if not best | set(avoid) <= ids or best & set(avoid):
        raise BadInput("Best and clearly wrong ones must be different candidates of this pick.")
    answer = {"best": sorted(best), "avoid": sorted(avoid)}
    return _make(
        selection.project_id,
        selection.assignment.task_id,
        answer,
        stage=Stage.PICK,
        prompt="Pick the best candidate and rate it.",
        why=why,
        actor=actor,
    )


def make_from_alignment(*, alignment_id: int, why: str, bar: Bar, actor: Actor) -> GoldItem:
    """Stage 3: the pose that somebody gave is the known one."""
    alignment = Alignment.objects.select_related("assignment", "candidate").filter(pk=alignment_id).first()
    if alignment is None:
        raise NotFound("There is no such pose.")
    if (
        min(bar.rotation_deg, bar.translation_share, bar.add_s_share) <= 0
        or not 0 <= bar.symmetry_order <= 36
    ):
        raise BadInput("The errors allowed must be positive, and the symmetry a whole number from 0 to 36.")
    points, source = _surface_points(alignment.candidate.mesh_key)
    answer = {
        "pose": alignment.pose,
        "rotation_deg": bar.rotation_deg,
        "translation_share": bar.translation_share,
        "add_s_share": bar.add_s_share,
        "symmetry_order": bar.symmetry_order,
        "points": np.round(points, 4).tolist(),
        "points_from": source,
    }
    return _make(
        alignment.project_id,
        alignment.assignment.task_id,
        answer,
        stage=Stage.POSE,
        prompt="Place the shape where it stands in the photo.",
        why=why,
        actor=actor,
    )


def retire(*, project_id: int, gold_id: int, now: datetime) -> None:
    """Asks the item no more; answers given stay. Raises NotFound when the project has no such live item."""
    live = GoldItem.objects.filter(pk=gold_id, project_id=project_id, retired_at__isnull=True)
    if not live.update(retired_at=now):
        raise NotFound("There is no such gold task in this project.")


def mark(work: OwnWork, gold: GoldItem, sent: Mapping[str, Any]) -> Mark:
    """Marks an answer in its wire form. Raises BadInput for one that the stage would not take either."""
    if gold.stage == Stage.OBJECT:
        return _mark_masks(work, gold.answer, sent)
    if gold.stage == Stage.PICK:
        return _mark_pick(work, gold.answer, sent)
    return _mark_pose(gold.answer, sent)


def _mark_masks(work: OwnWork, answer: Mapping[str, Any], sent: Mapping[str, Any]) -> Mark:
    """The best of the masks that were drawn counts."""
    image = work.row.task.image
    known = _bits(blobs.get(answer["mask_key"]))
    drawn = [
        read_mask(base64.b64decode(target["mask_png"]), width=image.width, height=image.height)
        for target in sent.get("targets", ())
    ]
    overlap = max((marks.mask_iou(known, _bits(mask.png)) for mask in drawn), default=0.0)
    return Mark(
        is_right=overlap >= answer["iou_at_least"],
        figures={"overlap": round(overlap, 3), "overlap_needed": answer["iou_at_least"]},
        reference={"mask_key": answer["mask_key"]},
    )


def _mark_pick(work: OwnWork, answer: Mapping[str, Any], sent: Mapping[str, Any]) -> Mark:
    winner: int | None = sent["winner"]
    places = {pk: place for place, pk in enumerate(shown_order(work.row.uuid, work.candidates), start=1)}
    is_right = marks.is_right_pick(winner, best=answer["best"], avoid=answer["avoid"], shown=work.candidates)
    return Mark(
        is_right=is_right,
        figures={"pick": "none" if winner is None else places[winner]},
        reference={
            "best": sorted(places[pk] for pk in answer["best"] if pk in places),
            "avoid": sorted(places[pk] for pk in answer["avoid"] if pk in places),
        },
    )


def _mark_pose(answer: Mapping[str, Any], sent: Mapping[str, Any]) -> Mark:
    pose = answer["pose"]
    error = marks.pose_error(
        known=(pose["rotation_wxyz"], pose["translation"], pose["scale"]),
        given=(sent["rotation_wxyz"], sent["translation"], sent["scale"]),
        points=np.asarray(answer["points"], dtype=float),
        symmetry_order=answer["symmetry_order"],
    )
    is_right = (
        error.rotation_deg <= answer["rotation_deg"]
        and error.translation_share <= answer["translation_share"]
        and error.add_s_share <= answer["add_s_share"]
    )
    figures = {
        "rotation_deg": round(error.rotation_deg, 1),
        "rotation_deg_allowed": answer["rotation_deg"],
        "translation_share": round(error.translation_share, 3),
        "translation_share_allowed": answer["translation_share"],
        "add_s_share": round(error.add_s_share, 3),
        "add_s_share_allowed": answer["add_s_share"],
    }
    return Mark(is_right=is_right, figures=figures, reference={})


def _make(
    project_id: int,
    task_id: int,
    answer: dict[str, Any],
    *,
    stage: Stage,
    prompt: str,
    why: str,
    actor: Actor,
) -> GoldItem:
    why = why.strip()
    if not 0 < len(why) <= MAX_WHY or "\x00" in why:
        raise BadInput(
            f"Say in 1 to {MAX_WHY} characters why this is the right answer: people read it after theirs."
        )
    if not AnnotationTask.objects.filter(pk=task_id, project_id=project_id, stage=stage).exists():
        raise NotFound("There is no such task in this project.")
    try:
        with transaction.atomic():
            return GoldItem.objects.create(
                project_id=project_id,
                stage=stage,
                task_id=task_id,
                answer=answer,
                prompt=prompt,
                why=why,
                added_by_id=actor.user_id,
            )
    except IntegrityError as error:
        raise BadInput("This task is gold already; retire that item first.") from error


def _bits(png: bytes) -> Any:
    with Pillow.open(io.BytesIO(png), formats=["PNG"]) as mask:
        return np.asarray(mask.convert("1"), dtype=bool)


def _surface_points(mesh_key: str) -> tuple[Any, str]:
    """Points of the mesh in the object frame (Z-up), and what they are from: "mesh", or "cube" for a packed one."""
    points = _positions(blobs.get(mesh_key))
    if (
        points is None
        or len(points) < 4
        or not np.isfinite(points).all()
        or np.ptp(points, axis=0).max() <= 0
    ):
        return marks.cube_points(), "cube"
    step = max(1, len(points) // NUM_POINTS)
    x, y, z = points[::step][:NUM_POINTS].T
    return np.stack([x, -z, y], axis=1), "mesh"


def _positions(glb: bytes) -> Any:
    """The vertex positions [N, 3] of plain float meshes of a GLB, in the file's axes; None for anything packed."""
    try:
        length = struct.unpack_from("<I", glb, 12)[0]
        document = json.loads(glb[20 : 20 + length])
        binary = glb[28 + length :]
        found = []
        for mesh in document["meshes"]:
            for primitive in mesh["primitives"]:
                accessor = document["accessors"][primitive["attributes"]["POSITION"]]
                view = document["bufferViews"][accessor["bufferView"]]
                if accessor["componentType"] != FLOAT32 or "extensions" in view:
                    return None
                start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
                stride = view.get("byteStride", 12)
                rows = np.ndarray((accessor["count"], 3), "<f4", binary, start, (stride, 4))
                found.append(rows.astype(float))
        return np.concatenate(found)
    except (KeyError, ValueError, TypeError, IndexError, struct.error):
        return None


def bar_of(values: Mapping[str, Any]) -> Bar:
    """The bar with those of its fields that ``values`` give."""
    return Bar(**{name: values[name] for name in asdict(Bar()) if values.get(name) is not None})
