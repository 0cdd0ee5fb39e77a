"""Reads what waits in a stage and what was done of each class, and how far what was sampled is from what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FloatField,
    JSONField,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Lower

from engine.models import AnnotationTask, LayoutProposal, Selection, TargetObject
from engine.ranking.sampling import (
    TOP_BAND,
    ClassRecord,
    Waiting,
    class_shares,
    difficulty,
    total_variation,
)
from engine.states import Stage, TargetStatus, TaskStatus

#: Of a stage's open tasks so many of the oldest are put in order at a time.
CONSIDERED = 20_000
MOST_CLASSES = 40
NO_NAME = "(no name)"
#: A proposed pose whose silhouette covers less of the mask is the model's doubt.
DOUBTFUL_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class ClassSampling:
    """One class: shares of the targets there, of those judged and of those accepted; the share that it should get."""

    label: str
    num_there: int
    num_sampled: int
    num_accepted: int
    share_there: float
    share_sampled: float
    wanted: float | None  # None where nothing of it waits


@dataclass(frozen=True, kw_only=True)
class SamplingFigures:
    """``drift`` is the total variation between targets there and targets judged, by class; 0 is none."""

    classes: tuple[ClassSampling, ...]
    num_classes: int
    drift: float | None
    drift_accepted: float | None
    levels: Mapping[int, int]  # open picks by difficulty


def waiting_in(project_id: int, stage: Stage) -> list[Waiting]:
    """The oldest CONSIDERED open tasks whose priority is of sampling. One query."""
    tasks = AnnotationTask.objects.filter(
        project_id=project_id, stage=stage, status=TaskStatus.OPEN, priority__gte=0, priority__lte=TOP_BAND
    )
    if stage == Stage.OBJECT:  # by the first thing that a machine proposed in the photograph
        proposed = TargetObject.objects.filter(image=OuterRef("image_id")).order_by("-area_px", "pk")
        tasks = tasks.annotate(
            name=Coalesce(Lower(Subquery(proposed.values("label")[:1])), Value("")),
            area=Subquery(proposed.values("area_px")[:1]),
            marks=Value([], output_field=JSONField()),
            iou=Value(None, output_field=FloatField()),
        )
    else:
        newest = LayoutProposal.objects.filter(candidate=OuterRef("candidate_id")).order_by("-pk")
        tasks = tasks.annotate(
            name=_name("target__"),
            area=F("target__area_px"),
            marks=F("target__flags"),
            iou=Subquery(newest.values("mask_iou")[:1]),
        )
    rows = tasks.order_by("pk").values_list(
        "pk", "name", "area", "marks", "image__width", "image__height", "num_judgements", "iou"
    )
    return [_waiting(row) for row in rows[:CONSIDERED]]


def records_of(project_id: int, stage: Stage) -> dict[str, ClassRecord]:
    """By class, of everything judged in the stage. Two queries."""
    judged = dict(_by_class(_done(project_id, stage), "target__")) if stage != Stage.OBJECT else {}
    picks = {
        name: (tried, passing)
        for name, tried, passing in Selection.standing.filter(project_id=project_id)
        .annotate(name=_name("batch__target__"))
        .values_list("name")
        .annotate(tried=Count("pk"), passing=Count("pk", filter=Q(rating__gte=F("round__alpha"))))
    }
    return {
        name: ClassRecord(
            num_judged=judged.get(name, 0),
            num_tried=picks.get(name, (0, 0))[0],
            num_passing=picks.get(name, (0, 0))[1],
        )
        for name in {*judged, *picks}
    }


def sampling_figures(project_id: int) -> SamplingFigures:
    """Five queries, however much there is."""
    targets = TargetObject.objects.filter(project_id=project_id, status=TargetStatus.CONFIRMED)
    picks = Selection.standing.filter(batch__target=OuterRef("pk"))
    there = _by_class(targets)
    sampled = _by_class(targets.filter(Exists(picks)))
    passing = picks.filter(rating__gte=F("round__alpha"))
    accepted = _by_class(targets.filter(Exists(passing)))
    waiting = waiting_in(project_id, Stage.PICK)
    wanted = class_shares(
        {
            name: ClassRecord(num_tried=sampled.get(name, 0), num_passing=accepted.get(name, 0))
            for name in there
        },
        present={task.class_name for task in waiting},
    )
    levels: dict[int, int] = {1: 0, 2: 0, 3: 0}
    for task in waiting:
        levels[task.level] += 1
    total, judged = sum(there.values()) or 1, sum(sampled.values()) or 1
    return SamplingFigures(
        classes=tuple(
            ClassSampling(
                label=name or NO_NAME,
                num_there=count,
                num_sampled=sampled.get(name, 0),
                num_accepted=accepted.get(name, 0),
                share_there=count / total,
                share_sampled=sampled.get(name, 0) / judged,
                wanted=wanted.get(name),
            )
            for name, count in sorted(there.items(), key=lambda each: (-each[1], each[0]))[:MOST_CLASSES]
        ),
        num_classes=len(there),
        drift=total_variation(there, sampled),
        drift_accepted=total_variation(there, accepted),
        levels=levels,
    )


def _waiting(row: tuple[Any, ...]) -> Waiting:
    pk, name, area, flags, width, height, num_judgements, iou = row
    return Waiting(
        id=pk,
        class_name=name,
        level=difficulty(area_share=(area or 0) / (width * height), flags=flags or ()),
        is_unsettled=num_judgements > 0,
        is_uncertain=iou is not None and iou < DOUBTFUL_IOU,
    )


def _by_class(rows: Any, target: str = "") -> dict[str, int]:
    found = rows.annotate(name=_name(target)).order_by().values_list("name").annotate(number=Count("pk"))
    return dict(found)


def _name(target: str) -> Any:
    """The class of a target: its entry of the taxonomy, else the name that was typed."""
    entry, label = f"{target}taxonomy_entry", f"{target}label"
    return Case(When(**{f"{entry}__isnull": False}, then=Lower(f"{entry}__label")), default=Lower(label))


def _done(project_id: int, stage: Stage) -> Any:
    return AnnotationTask.objects.filter(
        project_id=project_id, stage=stage, status__in=[TaskStatus.DONE, TaskStatus.ESCALATED]
    )
