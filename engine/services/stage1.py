"""Stage 1: confirms targets with their masks (or that there is none), and asks for help with a mask."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from engine import blobs, jobs
from engine.errors import BadInput
from engine.models import Assignment, CandidateBatch, Image, Job, MaskEdit, TargetObject
from engine.services import submissions
from engine.services.candidates import add_batches
from engine.services.hidden_gold import Hidden, marked, unused_ids
from engine.services.masks import MaskStats, read_mask, read_png
from engine.services.mix import mix_of
from engine.services.own_work import OwnWork, read_own_work
from engine.services.submissions import Judged, Submission
from engine.states import Stage, TargetStatus
from engine.transitions import Actor, Move, record_creations

MAX_TARGETS = 20
MAX_FLAGS = 10
MAX_POINTS = 100
PNG = "image/png"
#: A drawing at working size may be off by a pixel or so from the photograph's aspect.
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class ObjectChoice:
    """One object a person confirmed: mask and name; ``proposal_id`` when it began as a proposed target."""

    mask_png: bytes
    label: str
    taxonomy_key: str | None = None
    flags: tuple[str, ...] = ()
    proposal_id: int | None = None
    warnings: tuple[str, ...] = ()  # the checks that stood, by name; they never refuse a mask


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A point in photo pixels that surely belongs to the object, or surely does not."""

    x: float
    y: float
    is_object: bool


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What to refine a mask from: a box and points in photo pixels, a rough mask, strokes; drawings may be smaller."""

    box: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1
    points: tuple[Prompt, ...] = ()
    mask_png: bytes | None = None
    foreground_png: bytes | None = None
    background_png: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A choice whose mask was read and stored."""

    choice: ObjectChoice
    mask: MaskStats
    mask_key: str


def submit_object(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    key: str,
    seconds: float,
    targets: Sequence[ObjectChoice],
    discard: str | None,
    now: datetime,
) -> dict[str, Any]:
    """Confirms the targets and asks for a candidate batch of each, or records that nothing here is worth it.

    The answer names the targets and batches. Raises as ``submissions.settle`` does, and BadInput (bad_mask,
    bad_request) for a mask, name or proposal that will not do; nothing is written then.
    """
    submission = Submission(
        user_id=user_id, assignment=assignment, lease_token=lease_token, key=key, seconds=seconds, now=now
    )

    def prepare(work: OwnWork) -> Callable[[], Judged]:
        _check_choices(work, targets, discard)
        if discard is not None and work.row.gold_id is not None:
            sent = _as_sent(targets, discard)
            return partial(_discard_hidden, write=marked(work, Hidden(sent=sent, kept=sent)))
        if discard is not None:
            return partial(_discard, work.row, because=discard.strip())
        # A question of a quiz may be answered with a mask that is known already, and is not kept.
        stored = _store(work, targets) if work.row.question_id is None else ()
        if work.row.gold_id is not None:
            return _hidden(work, stored, sent=_as_sent(targets, discard))
        return partial(_confirm, work, stored, by=Actor(user_id=user_id))

    return submissions.settle(
        submission, stage=Stage.OBJECT, unsent=_as_sent(targets, discard), prepare=prepare
    )


def request_refinement(
    *, user_id: int, assignment: UUID, lease_token: UUID, request: Refinement, now: datetime
) -> Job:
    """Stores the drawings and asks a worker for a better mask; the job's result names the mask's blob.

    Raises LeaseLost without a live lease and BadInput (bad_mask, bad_request) for drawings that will not do.
    """
    held = read_own_work(user_id=user_id, assignment=assignment, stage=Stage.OBJECT).row
    submissions.require_live(held, lease_token=lease_token, now=now, unsent=None)
    image = held.task.image
    _check_box(request.box, image)
    _check_points(request.points, image)
    has_object_point = any(point.is_object for point in request.points)
    drawn = request.mask_png is not None or request.foreground_png is not None
    if request.box is None and not drawn and not has_object_point:
        raise BadInput(
            "Send a box, a point on the object, a rough mask or foreground strokes: without one there is nothing "
            "to refine."
        )
    payload = {
        "image_key": image.key,
        "mask_key": _store_drawing(request.mask_png, image, what="mask"),
        "foreground_key": _store_drawing(request.foreground_png, image, what="foreground drawing"),
        "background_key": _store_drawing(request.background_png, image, what="background drawing"),
        "box": list(request.box) if request.box else None,
        "points": [[point.x, point.y, point.is_object] for point in request.points],
        "project_id": held.project_id,
    }
    with transaction.atomic():
        order = jobs.Order(
            kind="refine_mask", key=f"refine-{uuid4()}", payload=payload, project_id=held.project_id
        )
        [job] = jobs.enqueue_new([order])
    return job


def _confirm(work: OwnWork, stored: Sequence[_Stored], *, by: Actor) -> Judged:
    held = work.row
    known = {target.mask_sha256: target for target in work.targets}
    rows: list[TargetObject] = []
    moves: list[Move] = []
    for one in stored:
        row = _target_row(held, one, taxonomy_id=work.taxonomy.get(one.choice.taxonomy_key or ""))
        twin = known.get(one.mask.sha256)
        if twin is not None:  # a proposal, confirmed as it stands; _check_choices refused every other twin
            row.pk, row.status = twin.id, TargetStatus.PROPOSED
            fields = {"label": row.label, "taxonomy_entry_id": row.taxonomy_entry_id, "flags": row.flags}
            moves.append(Move(row=row, to=TargetStatus.CONFIRMED, changes=fields))
        rows.append(row)
    redrawn = {one.choice.proposal_id for one in stored} - {None} - {row.pk for row in rows}
    set_aside = sorted(filter(None, redrawn))
    moves += [Move(row=_proposal(held, pk), to=TargetStatus.DISCARDED, reason="redrawn") for pk in set_aside]
    new = [row for row in rows if row.pk is None]
    TargetObject.objects.bulk_create(new)
    MaskEdit.objects.bulk_create(
        MaskEdit(
            project_id=held.project_id, assignment=held, target_id=row.pk, warnings=list(one.choice.warnings)
        )
        for row, one in zip(rows, stored, strict=True)
    )
    batches = add_batches(
        targets=rows,
        round_id=work.round_id,
        mix=mix_of(work.round or work.project),
    )
    record_creations([*new, *batches], by=by)
    answer = {
        "targets": [row.pk for row in rows],
        "batches": [batch.pk for batch in batches],
        **({"redrawn": set_aside} if set_aside else {}),
    }
    return Judged(answer=answer, moves=moves)


def _discard(held: Assignment, *, because: str) -> Judged:
    MaskEdit.objects.create(project_id=held.project_id, assignment=held, discarded_because=because)
    return Judged(answer={"targets": [], "batches": []})


def _hidden(work: OwnWork, stored: Sequence[_Stored], *, sent: dict[str, Any]) -> Callable[[], Judged]:
    """Marks what was drawn on hidden gold. An undo shows the masks again: they are kept, under numbers of no rows."""
    known = {target.mask_sha256: target.id for target in work.targets}
    unused = iter(unused_ids(TargetObject, how_many=sum(one.mask.sha256 not in known for one in stored)))
    numbers = [known.get(one.mask.sha256) or next(unused) for one in stored]
    redrawn = {one.choice.proposal_id for one in stored} - {None, *numbers}
    kept = {
        "targets": [
            {
                "id": number,
                "mask_key": one.mask_key,
                "mask_sha256": one.mask.sha256,
                "bbox": list(one.mask.bbox),
                "label": one.choice.label.strip(),
                "taxonomy_key": one.choice.taxonomy_key,
                "flags": list(one.choice.flags),
            }
            for number, one in zip(numbers, stored, strict=True)
        ]
    }
    write = marked(work, Hidden(sent=sent, kept=kept))
    answer: dict[str, Any] = {"targets": numbers, "batches": []}
    if redrawn:
        answer["redrawn"] = sorted(filter(None, redrawn))
    return partial(_answer_hidden, answer, write=write)


def _answer_hidden(answer: dict[str, Any], *, write: Callable[[], None]) -> Judged:
    write()
    batches = unused_ids(CandidateBatch, how_many=len(answer["targets"]))
    return Judged(answer={**answer, "batches": batches})


def _discard_hidden(*, write: Callable[[], None]) -> Judged:
    write()
    return Judged(answer={"targets": [], "batches": []})


def _target_row(held: Assignment, one: _Stored, *, taxonomy_id: int | None) -> TargetObject:
    return TargetObject(
        project_id=held.project_id,
        image_id=held.task.image_id,
        mask_key=one.mask_key,
        mask_sha256=one.mask.sha256,
        bbox=list(one.mask.bbox),
        area_px=one.mask.area_px,
        label=one.choice.label.strip(),
        taxonomy_entry_id=taxonomy_id,
        flags=list(one.choice.flags),
        status=TargetStatus.CONFIRMED,
    )


def _proposal(held: Assignment, pk: int) -> TargetObject:
    """Enough of the proposed target's row to move it."""
    return TargetObject(
        pk=pk, project_id=held.project_id, image_id=held.task.image_id, status=TargetStatus.PROPOSED
    )


def _check_choices(work: OwnWork, targets: Sequence[ObjectChoice], discard: str | None) -> None:
    if discard is not None and targets:
        raise BadInput("Send targets or a discard, not both.")
    if discard is not None and not 0 < len(discard.strip()) <= 200:
        raise BadInput("A discard needs a reason of 1 to 200 characters.")
    if discard is None and not 0 < len(targets) <= MAX_TARGETS:
        raise BadInput(f"Send 1 to {MAX_TARGETS} targets, or a discard with its reason.")
    proposed = {target.id for target in work.targets if target.status == TargetStatus.PROPOSED}
    for choice in targets:
        if not 0 < len(choice.label.strip()) <= 120:
            raise BadInput("Each target needs a label of 1 to 120 characters: name the object.")
        if choice.taxonomy_key is not None and choice.taxonomy_key not in work.taxonomy:
            raise BadInput(
                f"There is no taxonomy entry {choice.taxonomy_key!r}; send one of "
                f"{', '.join(sorted(work.taxonomy))}, or null."
            )
        if choice.proposal_id is not None and choice.proposal_id not in proposed:
            raise BadInput(
                f"{choice.proposal_id} is not an open proposal of this photograph; send its id, or null."
            )
        if len(choice.flags) > MAX_FLAGS or any(not 0 < len(flag) <= 40 for flag in choice.flags):
            raise BadInput(f"A target has at most {MAX_FLAGS} flags of 1 to 40 characters each.")
        if len(choice.warnings) > MAX_FLAGS or any(not 0 < len(name) <= 40 for name in choice.warnings):
            raise BadInput(f"A target has at most {MAX_FLAGS} warnings of 1 to 40 characters each.")


def _store(work: OwnWork, choices: Sequence[ObjectChoice]) -> list[_Stored]:
    """Reads all masks, refuses twins, then stores them; nothing is stored when one of them will not do."""
    image = work.row.task.image
    known = {target.mask_sha256: target for target in work.targets}
    masks = [read_mask(choice.mask_png, width=image.width, height=image.height) for choice in choices]
    if len({mask.sha256 for mask in masks}) < len(masks):
        raise BadInput(
            "Two targets have the same mask; each object needs a mask of its own.", code="bad_mask"
        )
    for mask in masks:
        twin = known.get(mask.sha256)
        if twin is not None and twin.status != TargetStatus.PROPOSED:
            raise BadInput(
                "A target with exactly this mask was already taken from this photograph, or set aside: "
                "choose another object, or draw the mask anew.",
                code="bad_mask",
            )
    return [
        _Stored(choice=choice, mask=mask, mask_key=blobs.put(mask.png, suffix=".png", content_type=PNG))
        for choice, mask in zip(choices, masks, strict=True)
    ]


def _check_box(box: tuple[float, float, float, float] | None, image: Image) -> None:
    if box is None:
        return
    x0, y0, x1, y1 = box
    inside = 0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height
    if not all(math.isfinite(value) for value in box) or not inside:
        raise BadInput(
            "The box must be [x0, y0, x1, y1] in photo pixels with x0 < x1 and y0 < y1, inside "
            f"{image.width} x {image.height}."
        )


def _check_points(points: Sequence[Prompt], image: Image) -> None:
    if len(points) > MAX_POINTS:
        raise BadInput(f"Send {MAX_POINTS} points at most.")
    if not all(0 <= point.x <= image.width and 0 <= point.y <= image.height for point in points):
        raise BadInput(f"Points must lie in the photograph, inside {image.width} x {image.height}.")


def _store_drawing(png: bytes | None, image: Image, *, what: str) -> str:
    """The key of the drawing's blob; empty for none."""
    if png is None:
        return ""
    drawing = read_png(png, what=what, code="bad_mask", max_pixels=image.width * image.height)
    if not _has_aspect_of(image, drawing.width, drawing.height):
        raise BadInput(
            f"The {what} is {drawing.width} x {drawing.height}; it must have the photograph's aspect, "
            f"{image.width} : {image.height}.",
            code="bad_mask",
        )
    return blobs.put(png, suffix=".png", content_type=PNG)


def _has_aspect_of(image: Image, width: int, height: int) -> bool:
    """Small drawings of long photographs are off by more than two percent, but never by more than a pixel."""
    if abs(width * image.height / (height * image.width) - 1) <= ASPECT_TOLERANCE:
        return True
    return (
        abs(height - width * image.height / image.width) <= 1
        or abs(width - height * image.width / image.height) <= 1
    )


def _as_sent(targets: Sequence[ObjectChoice], discard: str | None) -> dict[str, Any]:
    """The result in its wire form, to be kept in the draft when the lease was lost."""
    if discard is not None:
        return {"discard": {"reason": discard}}
    return {
        "targets": [
            {
                "mask_png": base64.b64encode(choice.mask_png).decode("ascii"),
                "label": choice.label,
                "taxonomy_key": choice.taxonomy_key,
                "flags": list(choice.flags),
                "proposal_id": choice.proposal_id,
                "warnings": list(choice.warnings),
            }
            for choice in targets
        ]
    }
