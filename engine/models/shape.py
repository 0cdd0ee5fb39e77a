"""What a candidate's shape looks like in a few numbers, for telling whether shapes crowd together."""

from __future__ import annotations

from django.db import models
from django.db.models import UniqueConstraint

from engine.models.candidate import Candidate
from engine.models.project import Project


class ShapeDescriptor(models.Model):
    """One candidate's shape as a row of numbers (training.metrics.descriptor), made by a worker when it was asked for.

    ``values`` is empty for a mesh that could not be read; ``detail`` says why.
    """

    project = models.ForeignKey(Project, models.CASCADE)
    candidate = models.ForeignKey(Candidate, models.CASCADE, related_name="descriptors")
    version = models.PositiveSmallIntegerField(help_text="Of the way the numbers are made.")
    values = models.JSONField(default=list)
    detail = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["candidate", "version"], name="descriptor_once_per_candidate"),
        ]

    def __str__(self) -> str:
        return f"shape of candidate {self.candidate_id}"
