"""Where the checkpoints of an arena meet: targets that are given, drawn, or have a candidate of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from django.db.models import QuerySet

from engine.errors import BadInput
from engine.models import Candidate, Checkpoint, GoldItem, TargetObject
from engine.services.arena_pairs import first_of_each
from engine.states import ImageStatus, TargetStatus

MOST_TARGETS = 500


def drawn(
    project_id: int, target_ids: Sequence[int] | None, num_targets: int | None, *, seed: int
) -> list[int]:
    """The given targets, or so many of those that may be shown, drawn by ``seed``, in order."""
    may_be = _may_be_shown(project_id)
    if target_ids is not None:
        given = sorted(set(target_ids))
        other = sorted(set(given) - set(may_be.filter(pk__in=given).values_list("pk", flat=True)))
        if other or not given:
            raise BadInput(
                f"These cannot be shown: {', '.join(map(str, other[:10])) or 'none is given'}. Name confirmed targets "
                "of this project, outside photographs that gold is asked of.",
                code="bad_targets",
            )
        return given
    if num_targets is None or not 1 <= num_targets <= MOST_TARGETS:
        raise BadInput(f"An arena takes 1 to {MOST_TARGETS} targets, not {num_targets}.")
    there = list(may_be.order_by("pk").values_list("pk", flat=True))
    if not there:
        raise BadInput(
            "There is no confirmed target to show: let people mark objects first.", code="nothing_to_show"
        )
    rng = np.random.default_rng([seed, len(there)])
    chosen = rng.choice(len(there), size=min(num_targets, len(there)), replace=False)
    return sorted(there[index] for index in chosen)


def _may_be_shown(project_id: int) -> QuerySet[TargetObject]:
    """Confirmed targets, but for photographs of live gold: who has met one in an arena knows it when it is asked.

    Targets of the audit set are among them. What people say here trains nothing, and a target that no version was
    trained on tells more.
    """
    gold = GoldItem.objects.filter(project_id=project_id, retired_at__isnull=True)
    return TargetObject.objects.filter(
        project_id=project_id, status=TargetStatus.CONFIRMED, image__status=ImageStatus.READY
    ).exclude(image_id__in=gold.values("task__image_id"))


def candidates_on_confirmed(project_id: int, checkpoint_ids: Sequence[int]) -> QuerySet[Candidate]:
    return Candidate.objects.filter(
        project_id=project_id, checkpoint_id__in=checkpoint_ids, target__status=TargetStatus.CONFIRMED
    )


def shown_by_all(project_id: int, checkpoints: Sequence[Checkpoint]) -> dict[int, dict[int, Candidate]]:
    """Target > checkpoint > candidate, of the targets where every checkpoint has one; BadInput for none."""
    found = first_of_each(candidates_on_confirmed(project_id, [each.pk for each in checkpoints]))
    shown = {target: made for target, made in found.items() if len(made) == len(checkpoints)}
    if not shown:
        names = ", ".join(each.name for each in checkpoints)
        raise BadInput(
            f"No target has a candidate of each of {names}: say on how many targets they should meet, and they "
            "are made.",
            code="nothing_to_show",
        )
    return shown
