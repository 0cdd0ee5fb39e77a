"""The one door for "this cannot be done as it is", whichever stage the assignment is of."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from engine import access
from engine.errors import BadInput
from engine.models import Assignment
from engine.services.attention import NOT_TOLD, Looked
from engine.services.stage2 import NONE_BECAUSE, escalate_pick
from engine.services.stage3 import CANNOT_BE_PLACED, report_pose
from engine.states import Stage

WAYS = {Stage.PICK: escalate_pick, Stage.POSE: report_pose}
REASONS = tuple(dict.fromkeys((*NONE_BECAUSE, *CANNOT_BE_PLACED)))


def escalate(
    *,
    user_id: int,
    assignment: UUID,
    lease_token: UUID,
    reason: str,
    note: str,
    now: datetime,
    looked: Looked = NOT_TOLD,
) -> Assignment:
    """Hands the task over as its stage does it. Raises BadInput for stage 1, which discards instead."""
    own = access.access_assignment(user_id=user_id, assignment=assignment)
    way = WAYS.get(Stage(own.stage))
    if way is None:
        raise BadInput(
            "A photograph in which nothing can be marked is submitted with a discard and its reason."
        )
    return way(
        user_id=user_id,
        assignment=assignment,
        lease_token=lease_token,
        reason=reason,
        note=note,
        now=now,
        looked=looked,
    )
