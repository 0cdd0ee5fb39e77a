"""Whether a person may go on judging, and which judgements a second pair of eyes looked at."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint

from engine.models.project import Project
from engine.models.task import Assignment
from engine.states import ReviewStatus, StandingStatus


class Standing(models.Model):
    """A person's leave to take work in a project; without a row they are ACTIVE."""

    EVENT = "standing"

    project = models.ForeignKey(Project, models.CASCADE, related_name="standings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="standings")
    status = models.CharField(max_length=12, choices=StandingStatus.choices, default=StandingStatus.ACTIVE)
    reason = models.CharField(max_length=300, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["project", "user"], name="standing_once"),
            CheckConstraint(
                condition=~Q(status=StandingStatus.PAUSED) | ~Q(reason=""), name="standing_paused_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.status}"


class SampledReview(models.Model):
    """One judgement that was drawn for review, and what the reviewer made of it.

    What was SENT_BACK or FIXED counts no more (``standing`` of the judgements); ``correction`` is the reviewer's own
    judgement.
    """

    EVENT = "review"

    project = models.ForeignKey(Project, models.CASCADE, related_name="reviews")
    assignment = models.OneToOneField(Assignment, models.PROTECT, related_name="review")
    status = models.CharField(max_length=12, choices=ReviewStatus.choices, default=ReviewStatus.WAITING)
    risk = models.FloatField(help_text="The weight with which it was drawn.")
    because = models.CharField(max_length=200, help_text="What makes it risky.")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=300, blank=True)
    correction = models.OneToOneField(
        Assignment, models.PROTECT, null=True, blank=True, related_name="corrects"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [Index(fields=["project", "status", "-risk"], name="review_next")]
        constraints = [
            CheckConstraint(condition=Q(risk__gt=0), name="review_has_risk"),
            CheckConstraint(
                condition=Q(status=ReviewStatus.WAITING)
                | Q(reviewer__isnull=False, decided_at__isnull=False),
                name="review_decided_by_somebody",
            ),
            CheckConstraint(
                condition=~Q(status=ReviewStatus.SENT_BACK) | ~Q(note=""), name="review_sent_back_says_why"
            ),
            CheckConstraint(
                condition=~Q(status=ReviewStatus.FIXED) | Q(correction__isnull=False),
                name="review_fixed_has_correction",
            ),
        ]

    def __str__(self) -> str:
        return f"review of assignment {self.assignment_id}"
