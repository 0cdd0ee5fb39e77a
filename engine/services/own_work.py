"""Reads what a submit must know of the person's own assignment, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import JSONObject

from engine import access
from engine.errors import BadInput, NoAccess, NotFound
from engine.models import (
    Assignment,
    Candidate,
    LayoutProposal,
    Membership,
    Project,
    Round,
    TargetObject,
    TaxonomyEntry,
)
from engine.selectors import hidden_gold
from engine.states import AssignmentStatus, RoundStatus, Stage, TargetStatus


@dataclass(frozen=True, kw_only=True)
class OpenRound:
    """The project's open round."""

    id: int
    alpha: float
    num_candidates: int
    source_mix: dict[str, int]
    num_draws: int | None
    reward: str


@dataclass(frozen=True, kw_only=True)
class KnownTarget:
    """A target that the photograph has already."""

    id: int
    status: str
    mask_sha256: str


@dataclass(frozen=True, kw_only=True)
class OwnWork:
    """A person's assignment (with project, task, image, in stage 3 point map) and what its stage asks about it."""

    row: Assignment
    round: OpenRound | None  # stages 1 and 2
    taxonomy: Mapping[str, int]  # key > id; stage 1
    targets: Sequence[KnownTarget]  # of the image; stages 1 and 2
    candidates: Sequence[int]  # of the batch, by index; stage 2
    newest_proposal: int | None  # of the candidate; stage 3
    was_taken_back: bool = False  # an answer to this task was; stage 2

    @property
    def project(self) -> Project:
        return self.row.project

    @property
    def round_id(self) -> int | None:
        return self.round.id if self.round else None


def read_own_work(*, user_id: int, assignment: UUID, stage: Stage) -> OwnWork:
    """The person's assignment of ``stage``. One statement.

    Raises NotFound for other people's, NoAccess when the person may no longer annotate, BadInput when it is of
    another stage.
    """
    surroundings = _SURROUNDINGS[stage]
    found = (
        Assignment.objects.filter(annotator_id=user_id, uuid=assignment)
        .select_related("project", "gold", "task__image__point_map" if stage == Stage.POSE else "task__image")
        .annotate(may_annotate=_may_annotate(user_id), **surroundings)
        .first()
    )
    if found is None:
        raise NotFound("There is no such assignment of yours.")
    if not found.may_annotate:
        raise NoAccess("You may no longer annotate in this project.")
    if found.stage != stage:
        raise BadInput(
            f"This assignment is of the stage {found.stage}; what was sent is not of this stage but of {stage}."
        )
    around: dict[str, Any] = {name: found.__dict__[name] for name in surroundings}
    open_round = around.get("open_round")
    return OwnWork(
        row=found,
        round=OpenRound(**open_round) if open_round else None,
        taxonomy={entry["key"]: entry["id"] for entry in around.get("taxonomy", ())},
        targets=_known_targets(found, around),
        candidates=tuple(around.get("batch_candidates", ())),
        newest_proposal=around.get("newest_proposal"),
        was_taken_back=around.get("was_taken_back", False),
    )


def _known_targets(held: Assignment, around: Mapping[str, Any]) -> tuple[KnownTarget, ...]:
    """Of hidden gold those that its screen shows: what was proposed before anybody had marked anything."""
    targets = around.get("image_targets", ())
    if held.gold_id is None or held.stage != Stage.OBJECT:
        return tuple(
            KnownTarget(id=each["id"], status=each["status"], mask_sha256=each["mask_sha256"])
            for each in targets
        )
    shown = [each for each in targets if each["source"]]
    own = [each for sent in around["gold_taken_back"] for each in sent.get("targets", ())]
    masks = {each["mask_sha256"]: each["id"] for each in (*own, *shown)}
    return tuple(
        KnownTarget(id=number, status=TargetStatus.PROPOSED, mask_sha256=sha256)
        for sha256, number in masks.items()
    )


def _may_annotate(user_id: int) -> Exists:
    roles = access.MAY_ANNOTATE | access.ALWAYS
    return Exists(
        Membership.objects.filter(user_id=user_id, project_id=OuterRef("project_id"), role__in=roles)
    )


def _open_round() -> Subquery:
    rounds = Round.objects.filter(project_id=OuterRef("project_id"), status=RoundStatus.OPEN)
    names = [one.name for one in fields(OpenRound)]
    return Subquery(rounds.values(row=JSONObject(**{name: name for name in names}))[:1])


def _taxonomy() -> ArraySubquery:
    entries = TaxonomyEntry.objects.filter(project_id=OuterRef("project_id")).order_by()
    return ArraySubquery(entries.values(row=JSONObject(id="id", key="key")))


def _image_targets() -> ArraySubquery:
    targets = TargetObject.objects.filter(image_id=OuterRef("task__image_id"))
    return ArraySubquery(
        targets.values(row=JSONObject(id="id", status="status", mask_sha256="mask_sha256", source="source"))
    )


def _batch_candidates() -> ArraySubquery:
    candidates = Candidate.objects.filter(batch_id=OuterRef("task__batch_id")).order_by("index")
    return ArraySubquery(candidates.values("id"))


def _was_taken_back() -> Exists:
    return Exists(
        Assignment.objects.filter(
            task_id=OuterRef("task_id"), status=AssignmentStatus.RETRACTED, gold__isnull=True
        )
    )


def _newest_proposal() -> Subquery:
    proposals = LayoutProposal.objects.filter(candidate_id=OuterRef("task__candidate_id")).order_by("-id")
    return Subquery(proposals.values("id")[:1])


#: Building these costs more CPU than running them: each stage has its own few, made once.
_SURROUNDINGS: Mapping[Stage, Mapping[str, Any]] = {
    Stage.OBJECT: {
        "open_round": _open_round(),
        "taxonomy": _taxonomy(),
        "image_targets": _image_targets(),
        "gold_taken_back": hidden_gold.taken_back(
            gold=OuterRef("gold_id"), annotator=OuterRef("annotator_id")
        ),
    },
    Stage.PICK: {
        "open_round": _open_round(),
        "image_targets": _image_targets(),
        "batch_candidates": _batch_candidates(),
        "was_taken_back": _was_taken_back(),
    },
    Stage.POSE: {"newest_proposal": _newest_proposal()},
}
