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
    """A checkpoint that serves, or served, in a role; ``generation`` grows with every deployment of the role."""

    EVENT = "deployment"

    class DeploymentRole(models.TextChoices):
        GENERATOR = "generator", "Candidates and layouts"

    role = models.CharField(max_length=20, choices=DeploymentRole.choices, default=DeploymentRole.GENERATOR)
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="deployments")
    status = models.CharField(
        max_length=12, choices=DeploymentStatus.choices, default=DeploymentStatus.STAGED
    )
    generation = models.PositiveIntegerField()
    canary_share = models.FloatField(default=0.0)
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
            UniqueConstraint(fields=["role", "generation"], name="deployment_generation_once"),
            CheckConstraint(
                condition=Q(canary_share__gte=0, canary_share__lte=1), name="deployment_canary_share"
            ),
        ]

    def __str__(self) -> str:
        return f"generation {self.generation} ({self.role})"
