"""Lists of what models learn from and become, of jobs, and of the journal: read-only; the console acts."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from engine.admin.rows import Rows, link
from engine.models import Checkpoint, DatasetVersion, Deployment, Job, StateChange, TrainingRun


@admin.register(DatasetVersion)
class DatasetRows(Rows):
    list_display = [
        "console", "project", "round", "status", "alpha", "num_demonstrations", "num_preference_pairs", "frozen_by",
        "frozen_at",
    ]  # fmt: skip
    list_filter = ["status"]
    list_select_related = ("project", "round", "frozen_by")

    @admin.display(description="Version", ordering="number")
    def console(self, row: DatasetVersion) -> SafeString | str:
        return link("dataset", f"v{row.number}", version_id=row.pk)


@admin.register(TrainingRun)
class RunRows(Rows):
    list_display = [
        "id", "console", "project", "objective", "status", "step", "total_steps", "dataset_version",
        "base_checkpoint", "output_checkpoint", "started_by", "created_at",
    ]  # fmt: skip
    list_filter = ["status", "objective"]
    list_select_related = ("project", "dataset_version", "base_checkpoint", "output_checkpoint", "started_by")

    @admin.display(description="Console")
    def console(self, row: TrainingRun) -> SafeString | str:
        return link("run", "curves", run_id=row.pk)


@admin.register(Checkpoint)
class CheckpointRows(Rows):
    project_path = None
    list_display = ["id", "console", "status", "preset", "parent", "sha256", "created_at"]
    list_filter = ["status", "preset"]
    list_select_related = ("parent",)
    search_fields = ["name", "sha256"]

    @admin.display(description="Checkpoint", ordering="name")
    def console(self, row: Checkpoint) -> SafeString | str:
        return link("checkpoint", row.name, checkpoint_id=row.pk)


@admin.register(Deployment)
class DeploymentRows(Rows):
    project_path = None
    list_display = [
        "generation", "role", "status", "canary_share", "checkpoint", "deployed_by", "serving_since", "swap_error",
        "created_at",
    ]  # fmt: skip
    list_filter = ["status"]
    list_select_related = ("checkpoint", "deployed_by")


@admin.register(Job)
class JobRows(Rows):
    list_display = [
        "id",
        "kind",
        "queue",
        "key",
        "status",
        "attempts",
        "created_at",
        "sent_at",
        "ended_at",
        "error",
    ]
    list_filter = ["status", "kind", "queue"]
    list_select_related = ("project",)
    search_fields = ["key", "uuid"]


@admin.register(StateChange)
class JournalRows(Rows):
    """Everybody's: the journal names rows by number, and holds nothing of their content."""

    project_path = None
    list_display = ["at", "model", "object_id", "old", "new", "who", "reason"]
    list_filter = ["model", "new"]
    list_select_related = ("actor",)
    search_fields = ["object_id"]
    ordering = ["-id"]

    @admin.display(description="Who")
    def who(self, row: StateChange) -> str:
        return row.actor.get_username() if row.actor else row.actor_name
