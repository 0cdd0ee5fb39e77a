"""One turn of the loop."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.mix import Mixed
from engine.models.project import Project
from engine.states import RoundStatus


class Round(Mixed):
    """Round k: its bar alpha, how many candidates from which sources, and what served when it began."""

    EVENT = "round"

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    alpha = models.FloatField()
    num_candidates = models.PositiveSmallIntegerField()
    deployment = models.ForeignKey(
        "engine.Deployment", models.PROTECT, null=True, blank=True, related_name="+"
    )
    status = models.CharField(max_length=12, choices=RoundStatus.choices, default=RoundStatus.OPEN)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta(Mixed.Meta):
        abstract = False
        ordering = ["-number"]
        constraints = [
            *Mixed.Meta.constraints,
            UniqueConstraint(fields=["project"], condition=Q(status=RoundStatus.OPEN), name="round_one_open"),
            UniqueConstraint(fields=["project", "number"], name="round_number_once"),
            CheckConstraint(condition=Q(alpha__gte=0, alpha__lte=1), name="round_alpha"),
        ]

    def __str__(self) -> str:
        return f"round {self.number} of {self.project_id}"
