"""Where an example came from, and where it went: both ways along image, mask, candidate, judgement, version, run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Prefetch, Q

from engine import blobs
from engine.errors import NotFound
from engine.models import (
    Alignment,
    Candidate,
    Checkpoint,
    DatasetVersion,
    MaskEdit,
    Selection,
    TargetObject,
    TrainingRun,
)
from engine.selectors.datasets import manifest_lines
from engine.services.attention import num_orbits
from engine.states import AssignmentStatus, DatasetStatus

#: How many of a project's newest frozen versions are looked through for a target.
VERSIONS_SEARCHED = 20


@dataclass(frozen=True, kw_only=True)
class CandidateTrace:
    """A candidate with what made it, and how it fared. ``checkpoint_id`` is None for others than our own model."""

    id: int
    index: int
    batch_id: int | None
    arena_id: int | None  # which asked for it; nobody picks from it then
    source: str
    checkpoint_id: int | None
    checkpoint_name: str
    generation: int | None
    seed: int | None
    settings: dict[str, Any]
    fallbacks: list[str]
    mesh_url: str
    preview_url: str
    num_faces: int


@dataclass(frozen=True, kw_only=True)
class PickTrace:
    """A stage-2 judgement of the target."""

    id: int
    annotator: str
    winner_id: int | None
    rating: float | None
    shape_rating: int | None
    texture_rating: int | None
    mode: str
    none_because: str
    note: str
    round: int | None
    alpha: float | None
    seconds: float | None
    shown_order: list[int]
    not_loaded: list[int]
    inspected: dict[str, int]
    attention: dict[str, Any]
    at: datetime

    @property
    def num_orbits(self) -> int | None:
        """How often the person turned the candidates; None when the page did not say."""
        if not self.attention:
            return None
        return num_orbits(self.attention)


@dataclass(frozen=True, kw_only=True)
class PoseTrace:
    """A stage-3 judgement of one of the target's candidates."""

    id: int
    annotator: str
    candidate_id: int
    pose: dict[str, Any]
    approximate: bool
    mask_iou: float | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class RunTrace:
    """A run on a version and the checkpoint it made, if it has."""

    id: int
    objective: str
    status: str
    checkpoint_id: int | None
    checkpoint_name: str


@dataclass(frozen=True, kw_only=True)
class VersionTrace:
    """A frozen version that holds examples of the target, and what learnt from it."""

    id: int
    number: int
    alpha: float
    demonstrations: tuple[int, ...]  # candidates
    num_pairs: int
    runs: tuple[RunTrace, ...]


@dataclass(frozen=True, kw_only=True)
class TargetLineage:
    """Everything known of one target (I, M)."""

    id: int
    label: str
    flags: list[str]
    masked_by: tuple[str, ...]
    mask_url: str
    image_id: int
    image_name: str
    image_url: str
    thumbnail_url: str
    attribution: str
    licence: str
    point_map_source: str
    point_map_approximate: bool | None
    candidates: tuple[CandidateTrace, ...]
    picks: tuple[PickTrace, ...]
    poses: tuple[PoseTrace, ...]
    versions: tuple[VersionTrace, ...]


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A checkpoint of a line of descent, with the run that made it."""

    checkpoint: Checkpoint
    run: TrainingRun | None


@dataclass(frozen=True, kw_only=True)
class Offspring:
    """What a checkpoint made and what became of it."""

    num_candidates: int
    num_picked: int


def target_lineage(target_id: int) -> TargetLineage:
    """The target's whole story in at most eight queries. Raises NotFound."""
    target = (
        TargetObject.objects.select_related("image__point_map")
        .prefetch_related(
            Prefetch("mask_edits", MaskEdit.standing.select_related("assignment__annotator").order_by("pk"))
        )
        .filter(pk=target_id)
        .first()
    )
    if target is None:
        raise NotFound("There is no such target.")
    image = target.image
    point_map = getattr(image, "point_map", None)
    return TargetLineage(
        id=target.pk,
        label=target.label,
        flags=list(target.flags),
        masked_by=tuple(edit.assignment.annotator.get_username() for edit in target.mask_edits.all()),
        mask_url=blobs.url(target.mask_key),
        image_id=image.pk,
        image_name=image.name,
        image_url=blobs.url(image.key),
        thumbnail_url=blobs.url(image.thumbnail_key),
        attribution=image.attribution,
        licence=image.licence,
        point_map_source=point_map.source if point_map else "",
        point_map_approximate=point_map.approximate if point_map else None,
        candidates=_candidates(target_id),
        picks=_picks(target_id),
        poses=_poses(target_id),
        versions=_versions(target),
    )


def ancestry(checkpoint_id: int) -> tuple[Ancestor, ...]:
    """The checkpoint, its parent, and so on to the first. Three queries, however long the line."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE line(id, parent_id, depth) AS ("
            " SELECT id, parent_id, 0 FROM engine_checkpoint WHERE id = %s"
            " UNION ALL SELECT c.id, c.parent_id, depth + 1"
            " FROM engine_checkpoint c JOIN line ON c.id = line.parent_id"
            ") SELECT id FROM line ORDER BY depth",
            [checkpoint_id],
        )
        line = [pk for (pk,) in cursor.fetchall()]
    checkpoints = Checkpoint.objects.in_bulk(line)
    makers = {
        run.output_checkpoint_id: run
        for run in TrainingRun.objects.filter(output_checkpoint_id__in=line).select_related(
            "dataset_version__round", "project"
        )
    }
    return tuple(Ancestor(checkpoint=checkpoints[pk], run=makers.get(pk)) for pk in line)


def offspring(checkpoint_id: int) -> Offspring:
    """How many candidates the checkpoint made for people to pick from, and how many somebody picked. One query."""
    made = Candidate.objects.filter(checkpoint_id=checkpoint_id, batch__arena__isnull=True).aggregate(
        num_candidates=Count("pk", distinct=True),
        num_picked=Count(
            "pk", distinct=True, filter=Q(selections__assignment__status=AssignmentStatus.SUBMITTED)
        ),
    )
    return Offspring(**made)


def _candidates(target_id: int) -> tuple[CandidateTrace, ...]:
    rows = Candidate.objects.filter(target_id=target_id).select_related("checkpoint", "batch")
    return tuple(
        CandidateTrace(
            id=row.pk,
            index=row.index,
            batch_id=row.batch_id,
            arena_id=row.batch.arena_id if row.batch else None,
            source=row.source,
            checkpoint_id=row.checkpoint_id,
            checkpoint_name=row.checkpoint.name if row.checkpoint else "",
            generation=row.generation,
            seed=row.seed,
            settings=row.settings,
            fallbacks=list(row.fallbacks),
            mesh_url=blobs.url(row.mesh_key),
            preview_url=blobs.url(row.preview_key),
            num_faces=row.num_faces,
        )
        for row in rows.order_by("batch_id", "index", "pk")
    )


def _picks(target_id: int) -> tuple[PickTrace, ...]:
    rows = Selection.standing.filter(batch__target_id=target_id)
    return tuple(
        PickTrace(
            id=row.pk,
            annotator=row.assignment.annotator.get_username(),
            winner_id=row.winner_id,
            rating=row.rating,
            shape_rating=row.shape_rating,
            texture_rating=row.texture_rating,
            mode=row.mode,
            none_because=row.none_because,
            note=row.note,
            round=row.round.number if row.round else None,
            alpha=row.round.alpha if row.round else None,
            seconds=row.assignment.seconds,
            shown_order=row.shown_order,
            not_loaded=row.not_loaded,
            inspected=row.inspected,
            attention=row.attention,
            at=row.created_at,
        )
        for row in rows.select_related("assignment__annotator", "round").order_by("pk")
    )


def _poses(target_id: int) -> tuple[PoseTrace, ...]:
    rows = Alignment.standing.filter(candidate__target_id=target_id)
    return tuple(
        PoseTrace(
            id=row.pk,
            annotator=row.assignment.annotator.get_username(),
            candidate_id=row.candidate_id,
            pose=row.pose,
            approximate=row.approximate,
            mask_iou=row.mask_iou,
            at=row.created_at,
        )
        for row in rows.select_related("assignment__annotator").order_by("pk")
    )


def _versions(target: TargetObject) -> tuple[VersionTrace, ...]:
    versions = (
        DatasetVersion.objects.filter(project_id=target.project_id, status=DatasetStatus.FROZEN)
        .prefetch_related(Prefetch("runs", TrainingRun.objects.select_related("output_checkpoint")))
        .order_by("-number")[:VERSIONS_SEARCHED]
    )
    traces = (_version(version, target.pk) for version in versions)
    return tuple(trace for trace in traces if trace.demonstrations or trace.num_pairs)


def _version(version: DatasetVersion, target_id: int) -> VersionTrace:
    lines = [line for line in manifest_lines(version.manifest_key) if line.get("target") == target_id]
    return VersionTrace(
        id=version.pk,
        number=version.number,
        alpha=version.alpha,
        demonstrations=tuple(line["candidate"] for line in lines if line["kind"] == "demonstration"),
        num_pairs=sum(line["kind"] == "preference" for line in lines),
        runs=_runs(list(version.runs.all())),
    )


def _runs(runs: Sequence[TrainingRun]) -> tuple[RunTrace, ...]:
    return tuple(
        RunTrace(
            id=run.pk,
            objective=run.objective,
            status=run.status,
            checkpoint_id=run.output_checkpoint_id,
            checkpoint_name=run.output_checkpoint.name if run.output_checkpoint else "",
        )
        for run in runs
    )
