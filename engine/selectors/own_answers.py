"""What a person said in an assignment, as a draft that brings it back onto the screen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.models import Alignment, Assignment, Selection
from engine.selectors import hidden_gold
from engine.states import AssignmentStatus, Stage

#: After this an answer stands: others may have seen it by then, in figures if not in rows.
UNDO_WITHIN = timedelta(minutes=10)

#: The draft's key for an answer that was taken back, in the form of a submit's result. Masks are named, not sent:
#: each target of a stage-1 answer is a proposal of the photograph again.
TAKEN_BACK = "taken_back"


def answer_of(ended: Assignment) -> dict[str, Any] | None:
    """The draft to begin again with; the last one saved where there was nothing to submit."""
    if ended.status != AssignmentStatus.SUBMITTED:
        return _without_old_answers(ended.draft)
    stage = Stage(ended.stage)
    result = (
        _RESULT_OF[stage](ended)
        if ended.gold_id is None
        else hidden_gold.draft_of(stage, ended.gold_answer.sent)
    )
    return {TAKEN_BACK: result} if result else _without_old_answers(ended.draft)


def _objects(ended: Assignment) -> dict[str, Any] | None:
    edits = ended.mask_edits.filter(target__isnull=False).select_related("target__taxonomy_entry")
    targets = [edit.target for edit in edits.order_by("id") if edit.target is not None]
    if not targets:
        return None
    return {
        "targets": [
            {
                "label": target.label,
                "taxonomy_key": target.taxonomy_entry.key if target.taxonomy_entry else None,
                "flags": target.flags,
                "proposal_id": target.pk,
            }
            for target in targets
        ]
    }


def _pick(ended: Assignment) -> dict[str, Any]:
    said: Selection = ended.selection
    pairs = ended.comparisons.order_by("order").values("left_id", "right_id", "outcome", "milliseconds")
    return {
        "winner": said.winner_id,
        "mode": said.mode,
        "shape_rating": said.shape_rating,
        "texture_rating": said.texture_rating,
        "comparisons": [
            {
                "left": pair["left_id"],
                "right": pair["right_id"],
                "outcome": pair["outcome"],
                "milliseconds": pair["milliseconds"],
            }
            for pair in pairs
        ],
        "inspected": said.inspected,
    }


def _pose(ended: Assignment) -> dict[str, Any]:
    said: Alignment = ended.alignment
    return {
        "rotation_wxyz": said.pose["rotation_wxyz"],
        "translation": said.pose["translation"],
        "scale": said.pose["scale"],
        "mask_iou": said.mask_iou,
        "depth_residual": said.depth_residual,
        "actions": said.actions,
    }


_RESULT_OF = {Stage.OBJECT: _objects, Stage.PICK: _pick, Stage.POSE: _pose}


def _without_old_answers(draft: dict[str, Any] | None) -> dict[str, Any] | None:
    kept = {name: value for name, value in (draft or {}).items() if name not in (TAKEN_BACK, "unsent_result")}
    return kept or None
