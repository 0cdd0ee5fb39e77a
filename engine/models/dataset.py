"""What a model may train on: D+ and preference pairs, frozen by hash."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.project import Project
from engine.models.round import Round
from engine.states import DatasetStatus


class DatasetVersion(models.Model):
    """A projection of all judgements so far under alpha; immutable once frozen."""

    EVENT = "dataset"

    project = models.ForeignKey(Project, models.CASCADE, related_name="dataset_versions")
    round = models.ForeignKey(Round, models.PROTECT, null=True, blank=True, related_name="dataset_versions")
    number = models.PositiveIntegerField()
    alpha = models.FloatField()
    status = models.CharField(max_length=12, choices=DatasetStatus.choices, default=DatasetStatus.DRAFT)
    manifest_key = models.CharField(
        max_length=200, blank=True, help_text="JSON lines, one judged example each."
    )
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    num_demonstrations = models.PositiveIntegerField(default=0)
    num_preference_pairs = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict, help_text="By label, source, rating, annotator.")
    exclusions = models.JSONField(default=list, help_text="What was left out, each with its reason.")
    frozen_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    frozen_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            UniqueConstraint(fields=["project", "number"], name="dataset_number_once"),
            CheckConstraint(
                condition=~Q(status=DatasetStatus.FROZEN) | (~Q(manifest_sha256="") & ~Q(manifest_key="")),
                name="dataset_frozen_has_hash",
            ),
        ]

    def __str__(self) -> str:
        return f"dataset v{self.number}"
