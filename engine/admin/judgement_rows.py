"""Lists of candidates, of people's work, and of what they judged: all of it read-only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from engine.admin.rows import Rows, link
from engine.models import (
    Alignment,
    AnnotationTask,
    ArtistCase,
    Assignment,
    Candidate,
    CandidateBatch,
    Comparison,
    LayoutProposal,
    MaskEdit,
    Selection,
)


@admin.register(CandidateBatch)
class BatchRows(Rows):
    list_display = [
        "id",
        "story",
        "round",
        "arena",
        "status",
        "num_candidates",
        "num_requested",
        "from_sources",
        "short",
        "seconds",
        "seed",
        "created_at",
    ]
    list_filter = ["status"]
    list_select_related = ("target", "round", "project", "arena", "checkpoint")

    @admin.display(description="Target")
    def story(self, row: CandidateBatch) -> SafeString | str:
        return link("target", row.target.label or "object", target_id=row.target_id)

    @admin.display(description="From")
    def from_sources(self, row: CandidateBatch) -> str:
        mix = ", ".join(f"{source} {count}" for source, count in row.source_mix.items())
        return mix or (row.checkpoint.name if row.checkpoint else "candid8")

    @admin.display(description="Missing")
    def short(self, row: CandidateBatch) -> str:
        return "; ".join(
            f"{one['source']} gave {one['made']} of {one['asked']}: {one['why']}" for one in row.missing
        )


@admin.register(Candidate)
class CandidateRows(Rows):
    list_display = [
        "id",
        "story",
        "source",
        "maker",
        "generation",
        "seed",
        "num_faces",
        "fallbacks",
        "created_at",
    ]
    list_filter = ["source"]
    list_select_related = ("target", "checkpoint", "batch", "project")

    @admin.display(description="Target")
    def story(self, row: Candidate) -> SafeString | str:
        return link("target", row.target.label or "object", target_id=row.target_id)

    @admin.display(description="Checkpoint")
    def maker(self, row: Candidate) -> SafeString | str:
        return link("checkpoint", row.checkpoint, checkpoint_id=row.checkpoint_id)


@admin.register(LayoutProposal)
class LayoutRows(Rows):
    list_display = ["id", "candidate", "source", "checkpoint", "mask_iou", "fallbacks", "created_at"]
    list_select_related = ("candidate", "checkpoint", "project")


@admin.register(AnnotationTask)
class TaskRows(Rows):
    list_display = [
        "id",
        "project",
        "stage",
        "image",
        "target",
        "status",
        "open_slots",
        "priority",
        "created_at",
    ]
    list_filter = ["stage", "status"]
    list_select_related = ("project", "image", "target", "batch", "candidate")


@admin.register(Assignment)
class AssignmentRows(Rows):
    list_display = ["uuid", "annotator", "stage", "task", "status", "seconds", "expires_at", "created_at"]
    list_filter = ["stage", "status"]
    list_select_related = ("annotator", "task", "project")
    exclude = ["lease_token", "submit_key"]
    search_fields = ["uuid", "annotator__username"]


@admin.register(MaskEdit)
class MaskEditRows(Rows):
    list_display = ["id", "annotator", "target", "warnings", "discarded_because", "created_at"]
    list_select_related = ("assignment__annotator", "target", "project")

    @admin.display(description="Annotator")
    def annotator(self, row: MaskEdit) -> str:
        return row.assignment.annotator.get_username()


@admin.register(Comparison)
class ComparisonRows(Rows):
    list_display = ["id", "annotator", "order", "left", "right", "outcome", "milliseconds", "created_at"]
    list_filter = ["outcome"]
    list_select_related = ("assignment__annotator", "left", "right", "project")

    @admin.display(description="Annotator")
    def annotator(self, row: Comparison) -> str:
        return row.assignment.annotator.get_username()


@admin.register(Selection)
class SelectionRows(Rows):
    list_display = [
        "id", "annotator", "story", "winner", "rating", "shape_rating", "texture_rating", "mode", "none_because",
        "round", "created_at",
    ]  # fmt: skip
    list_filter = ["mode", "none_because"]
    list_select_related = ("assignment__annotator", "batch__target", "winner", "round", "project")

    @admin.display(description="Annotator")
    def annotator(self, row: Selection) -> str:
        return row.assignment.annotator.get_username()

    @admin.display(description="Target")
    def story(self, row: Selection) -> SafeString | str:
        target = row.batch.target
        return link("target", target.label or "object", target_id=target.pk)


@admin.register(Alignment)
class AlignmentRows(Rows):
    list_display = [
        "id",
        "annotator",
        "story",
        "candidate",
        "approximate",
        "mask_iou",
        "depth_residual",
        "created_at",
    ]
    list_filter = ["approximate"]
    list_select_related = ("assignment__annotator", "candidate__target", "proposal", "project")

    @admin.display(description="Annotator")
    def annotator(self, row: Alignment) -> str:
        return row.assignment.annotator.get_username()

    @admin.display(description="Target")
    def story(self, row: Alignment) -> SafeString | str:
        target = row.candidate.target
        return link("target", target.label or "object", target_id=target.pk)


@admin.register(ArtistCase)
class ArtistCaseRows(Rows):
    list_display = ["id", "story", "status", "reason", "claimed_by", "candidate", "created_at"]
    list_filter = ["status", "reason"]
    list_select_related = ("target", "claimed_by", "candidate", "project", "assignment")

    @admin.display(description="Target")
    def story(self, row: ArtistCase) -> SafeString | str:
        return link("target", row.target.label or "object", target_id=row.target_id)
