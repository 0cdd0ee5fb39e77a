"""Reads the newest judgements of a project as plain answers, for measuring how far people agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from django.db.models import Count, Q
from numpy.typing import NDArray

from engine.models import Alignment, MaskEdit, SampledReview, Selection
from engine.ranking.pose_distance import Placed, medoid, pairwise
from engine.services.attention import num_orbits
from engine.states import ReviewStatus, Stage

#: Of each stage so many of the newest judgements are read: what a page can measure while somebody waits.
RECENT = 10_000
#: Two masks pick out the same object when their boxes overlap by this much.
SAME_OBJECT = 0.5
#: Two poses are the same when the box's corners lie this near, as a share of its size.
POSE_TOLERANCE = 0.1
#: Masks and poses do not meet by luck: as if each were picked out of so many.
UNLIKELY = 1000

Label = tuple[int, int, int, int]  # task, person, label, options


@dataclass(frozen=True, kw_only=True)
class PickAnswer:
    """A pick: ``label`` is the winner's index in the batch, ``cell`` its place on this person's screen, or None.

    ``looked``: a candidate was opened large or turned; None where nobody said, as of tasks handed over in older times.
    """

    task_id: int
    user_id: int
    label: int | None
    cell: int | None
    num_options: int
    rating: float | None
    looked: bool | None
    seconds: float | None
    class_name: str
    day: date


@dataclass(frozen=True, kw_only=True)
class PoseAnswer:
    """An alignment; untouched when nothing was done to the proposal."""

    task_id: int
    user_id: int
    pose: Placed
    is_untouched: bool
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class MaskAnswer:
    """One object somebody confirmed, with its box (x, y, width, height); None for a photograph discarded."""

    task_id: int
    user_id: int
    assignment_id: int
    box: tuple[float, float, float, float] | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ReviewCount:
    """How a person's reviewed judgements fared."""

    accepted: int
    rejected: int

    @property
    def total(self) -> int:
        return self.accepted + self.rejected


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The newest judgements of the three stages."""

    picks: tuple[PickAnswer, ...]
    poses: tuple[PoseAnswer, ...]
    masks: tuple[MaskAnswer, ...]

    def people(self) -> set[int]:
        return {user for stage in Stage for user in self.people_in(stage)}

    def people_in(self, stage: Stage) -> set[int]:
        return set(self.numbers(stage))

    def numbers(self, stage: Stage) -> dict[int, int]:
        """Judgements by person; a photograph with its objects is one."""
        found: dict[int, int] = defaultdict(int)
        for user in self._users(stage):
            found[user] += 1
        return dict(found)

    def seconds(self, stage: Stage) -> dict[int, list[float]]:
        """How long each person took, where that is known."""
        found: dict[int, list[float]] = defaultdict(list)
        for user, seconds in self._times(stage):
            if seconds is not None:
                found[user].append(seconds)
        return dict(found)

    def pose_labels(self) -> list[Label]:
        """Who lies within the tolerance of the task's middle pose says 0, anybody else something of their own."""
        rows: list[Label] = []
        for task, poses in _by_task(self.poses).items():
            distances = pairwise([answer.pose for answer in poses])
            centre = medoid(distances)
            rows += [
                (task, answer.user_id, 0 if distance <= POSE_TOLERANCE else 1 + index, UNLIKELY)
                for index, (answer, distance) in enumerate(zip(poses, distances[centre], strict=True))
            ]
        return rows

    def pose_distances(self) -> list[float]:
        """Of every pose of a task with several to their middle one, itself left out."""
        found: list[float] = []
        for poses in _by_task(self.poses).values():
            if len(poses) > 1:
                distances = pairwise([answer.pose for answer in poses])
                centre = medoid(distances)
                found += [float(each) for index, each in enumerate(distances[centre]) if index != centre]
        return found

    def mask_labels(self) -> list[Label]:
        """Per person and photograph, for the first object of the first person: whether they took it too.

        Stage 1 asks for any objects, so that people may rightly differ in which; this says how often they meet.
        """
        rows: list[Label] = []
        for task, masks in _by_task(self.masks).items():
            reference = next((answer.box for answer in masks if answer.box is not None), None)
            own = sorted({answer.user_id for answer in masks})
            for index, user in enumerate(own):
                boxes = [answer.box for answer in masks if answer.user_id == user]
                meets = (
                    any(box is not None and _box_iou(box, reference) >= SAME_OBJECT for box in boxes)
                    if reference is not None
                    else True
                )
                rows.append((task, user, 0 if meets else 1 + index, UNLIKELY))
        return rows

    def rating_table(self) -> NDArray[np.float64]:
        """Ratings (people, winners): a unit is one candidate that several people picked, in one task."""
        units: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for pick in self.picks:
            if pick.label is not None and pick.rating is not None:
                units[(pick.task_id, pick.label)][pick.user_id] = pick.rating
        shared = [ratings for ratings in units.values() if len(ratings) > 1]
        people = {user: row for row, user in enumerate(sorted({u for each in shared for u in each}))}
        table = np.full((len(people), len(shared)), np.nan)
        for column, ratings in enumerate(shared):
            for user, rating in ratings.items():
                table[people[user], column] = rating
        return table

    def _users(self, stage: Stage) -> list[int]:
        return [user for user, _ in self._times(stage)]

    def _times(self, stage: Stage) -> list[tuple[int, float | None]]:
        if stage == Stage.OBJECT:
            photographs = {answer.assignment_id: answer for answer in self.masks}
            return [(answer.user_id, answer.seconds) for answer in photographs.values()]
        answers: Sequence[PickAnswer | PoseAnswer] = self.picks if stage == Stage.PICK else self.poses
        return [(answer.user_id, answer.seconds) for answer in answers]


def read_judged(project_id: int) -> Judged:
    """The newest RECENT judgements of each stage, oldest first. Three queries."""
    return Judged(
        picks=tuple(map(_pick, _newest(_of(Selection, project_id), *PICK_FIELDS))),
        poses=tuple(map(_pose, _newest(_of(Alignment, project_id), *POSE_FIELDS))),
        masks=tuple(map(_mask, _newest(_of(MaskEdit, project_id), *MASK_FIELDS))),
    )


def review_counts(project_id: int) -> Mapping[tuple[int, str], ReviewCount]:
    """By person and stage. One query."""
    rows = (
        SampledReview.objects.filter(project_id=project_id)
        .exclude(status=ReviewStatus.WAITING)
        .values_list("assignment__annotator_id", "assignment__stage")
        .annotate(
            accepted=Count("pk", filter=Q(status=ReviewStatus.ACCEPTED)),
            rejected=Count("pk", filter=~Q(status=ReviewStatus.ACCEPTED)),
        )
    )
    return {
        (user, stage): ReviewCount(accepted=accepted, rejected=rejected)
        for user, stage, accepted, rejected in rows
    }


COMMON_FIELDS = ("assignment__task_id", "assignment__annotator_id", "assignment__seconds")
PICK_FIELDS = (
    *COMMON_FIELDS,
    "winner_id",
    "winner__index",
    "shown_order",
    "batch__num_candidates",
    "rating",
    "inspected",
    "attention",
    "mode",
    "batch__target__label",
    "created_at",
)
POSE_FIELDS = (*COMMON_FIELDS, "pose", "actions")
MASK_FIELDS = (*COMMON_FIELDS, "assignment_id", "target__bbox")


def _of(model: Any, project_id: int) -> Any:
    return model.standing.filter(project_id=project_id)


def _newest(rows: Any, *fields: str) -> list[Any]:
    return list(reversed(rows.order_by("-pk").values_list(*fields)[:RECENT]))


def _pick(row: tuple[Any, ...]) -> PickAnswer:
    task, user, seconds, winner, index, shown, options, rating, inspected, attention, mode, label, at = row
    assert isinstance(at, datetime)
    has_compared = winner is not None and mode == Selection.Mode.KING
    has_looked = bool(inspected) or has_compared or num_orbits(attention) > 0
    is_grid_pick = winner is not None and mode == Selection.Mode.GRID and winner in shown
    return PickAnswer(
        task_id=task,
        user_id=user,
        label=index if winner is not None and options >= 2 else None,
        cell=shown.index(winner) if is_grid_pick else None,
        num_options=max(2, options),
        rating=rating,
        looked=None if winner is None and not attention else has_looked,
        seconds=seconds,
        class_name=label or "(no name)",
        day=at.date(),
    )


def _pose(row: tuple[Any, ...]) -> PoseAnswer:
    task, user, seconds, pose, actions = row
    w, x, y, z = pose["rotation_wxyz"]
    right, down, forward = pose["translation"]
    return PoseAnswer(
        task_id=task,
        user_id=user,
        pose=Placed(
            rotation_wxyz=(w, x, y, z), translation=(right, down, forward), scale=float(pose["scale"])
        ),
        is_untouched=not any(actions.values()),
        seconds=seconds,
    )


def _mask(row: tuple[Any, ...]) -> MaskAnswer:
    task, user, seconds, assignment, box = row
    return MaskAnswer(
        task_id=task,
        user_id=user,
        assignment_id=assignment,
        box=(box[0], box[1], box[2], box[3]) if box else None,
        seconds=seconds,
    )


def _by_task(answers: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for answer in answers:
        found[answer.task_id].append(answer)
    return found


def _box_iou(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float] | None
) -> float:
    if second is None:
        return 0.0
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    union = first[2] * first[3] + second[2] * second[3] - shared
    return shared / union if union else 0.0
