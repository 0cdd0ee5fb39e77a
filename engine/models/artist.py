"""The hard cases nobody could solve by picking."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.candidate import Candidate
from engine.models.image import TargetObject
from engine.models.project import Project
from engine.models.task import Assignment
from engine.states import CASE_IS_OVER, ArtistCaseStatus


class ArtistCase(models.Model):
    """One target for a 3D artist: brief, upload, validation report, and the candidate it became."""

    EVENT = "artist_case"

    project = models.ForeignKey(Project, models.CASCADE, related_name="artist_cases")
    target = models.ForeignKey(TargetObject, models.PROTECT, related_name="artist_cases")
    assignment = models.ForeignKey(
        Assignment, models.PROTECT, null=True, blank=True, help_text="Who escalated it."
    )
    reason = models.CharField(max_length=40)
    note = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=ArtistCaseStatus.choices, default=ArtistCaseStatus.OPEN)
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    upload_key = models.CharField(max_length=200, blank=True)
    report = models.JSONField(null=True, blank=True, help_text="What the validation found.")
    candidate = models.ForeignKey(Candidate, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["target"],
                condition=~Q(status__in=CASE_IS_OVER),
                name="artist_case_one_open_per_target",
            ),
            CheckConstraint(
                condition=~Q(status=ArtistCaseStatus.ACCEPTED) | Q(candidate__isnull=False),
                name="artist_case_accepted_has_candidate",
            ),
        ]

    def __str__(self) -> str:
        return f"artist case {self.pk}"
