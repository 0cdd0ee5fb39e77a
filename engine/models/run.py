"""Training runs and the numbers they print."""

from __future__ import annotations

from django.conf import settings as django_settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.checkpoint import Checkpoint
from engine.models.dataset import DatasetVersion
from engine.models.project import Project
from engine.states import RunStatus


class TrainingRun(models.Model):
    """One objective on one frozen dataset version from one base checkpoint."""

    EVENT = "run"

    class Objective(models.TextChoices):
        SFT = "sft", "Supervised fine-tuning (D+)"
        DPO = "dpo", "Preference optimisation (pairs)"

    project = models.ForeignKey(Project, models.CASCADE, related_name="runs")
    dataset_version = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="runs")
    objective = models.CharField(max_length=8, choices=Objective.choices)
    base_checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="runs_from")
    settings = models.JSONField(default=dict, blank=True)
    seed = models.BigIntegerField(default=0)
    status = models.CharField(max_length=12, choices=RunStatus.choices, default=RunStatus.QUEUED)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    phase = models.CharField(
        max_length=40, blank=True, help_text="What it does now: fetching, training, evaluating."
    )
    output_checkpoint = models.ForeignKey(
        Checkpoint, models.PROTECT, null=True, blank=True, related_name="made_by_runs"
    )
    detail = models.TextField(blank=True, help_text="Why it failed or was cancelled.")
    log_tail = models.TextField(blank=True)
    started_by = models.ForeignKey(django_settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            CheckConstraint(
                condition=~Q(status=RunStatus.SUCCEEDED) | Q(output_checkpoint__isnull=False),
                name="run_succeeded_has_checkpoint",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.objective} run {self.pk}"


class RunMetric(models.Model):
    """One number of one step; written again by a resumed run without harm."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=60)
    step = models.PositiveIntegerField()
    value = models.FloatField()

    class Meta:
        constraints = [UniqueConstraint(fields=["run", "name", "step"], name="run_metric_once")]
