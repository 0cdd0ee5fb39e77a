"""Weights with their lineage, and where they serve."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.states import CheckpointStatus, DeploymentStatus


class Checkpoint(models.Model):
    """Safetensors weights and a JSON manifest, by hash; ``run`` and ``parent`` are its lineage."""

    EVENT = "checkpoint"

    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64, unique=True, help_text="Of the weights.")
    weights_key = models.CharField(max_length=200)
    manifest = models.JSONField()
    preset = models.CharField(max_length=20)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    status = models.CharField(
        max_length=12, choices=CheckpointStatus.choices, default=CheckpointStatus.REGISTERED
    )
    evaluation = models.JSONField(null=True, blank=True, help_text="Against the parent, with intervals.")
    detail = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Deployment(models.Model):
    """A checkpoint that serves, served, or is tried in a role; ``generation`` grows with every deployment of the role.

    A canary makes ``canary_share`` of the batches beside what serves.
    """

    EVENT = "deployment"

    class DeploymentRole(models.TextChoices):
        GENERATOR = "generator", "Candidates and layouts"

    role = models.CharField(max_length=20, choices=DeploymentRole.choices, default=DeploymentRole.GENERATOR)
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="deployments")
    status = models.CharField(
        max_length=12, choices=DeploymentStatus.choices, default=DeploymentStatus.STAGED
    )
    generation = models.PositiveIntegerField()
    canary_share = models.FloatField(default=0.0, help_text="Of the batches; 0 unless it is a canary.")
    serving_since = models.DateTimeField(
        null=True, blank=True, help_text="When it began to serve; a canary that was given up never did."
    )
    swap_error = models.TextField(
        blank=True, help_text="Why a worker refused to load it; the old one went on serving."
    )
    deployed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-generation"]
        constraints = [
            UniqueConstraint(
                fields=["role"], condition=Q(status=DeploymentStatus.SERVING), name="deployment_one_serving"
            ),
            UniqueConstraint(
                fields=["role"], condition=Q(status=DeploymentStatus.CANARY), name="deployment_one_canary"
            ),
            UniqueConstraint(fields=["role", "generation"], name="deployment_generation_once"),
            CheckConstraint(
                condition=Q(status=DeploymentStatus.CANARY, canary_share__gt=0, canary_share__lt=1)
                | (~Q(status=DeploymentStatus.CANARY) & Q(canary_share=0)),
                name="deployment_canary_share",
            ),
            CheckConstraint(
                condition=~Q(status=DeploymentStatus.SERVING) | Q(serving_since__isnull=False),
                name="deployment_serving_has_since",
            ),
        ]

    def __str__(self) -> str:
        return f"generation {self.generation} ({self.role})"


class WorkerSwap(models.Model):
    """When a worker process last loaded, or failed to load, a deployment; only the newest of them are kept."""

    worker = models.CharField(max_length=120, help_text="Machine and process.")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="swaps")
    at = models.DateTimeField()
    seconds = models.FloatField(help_text="Fetching, loading and checking the golden outputs.")
    error = models.TextField(blank=True, help_text="Why it could not be loaded.")

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [UniqueConstraint(fields=["worker", "deployment"], name="worker_swap_once")]

    def __str__(self) -> str:
        return f"{self.worker}: deployment {self.deployment_id}"
