"""What people judged: append-only, each naming its assignment. A database trigger refuses any update.

Read ``standing``, not ``objects``, for what counts: a judgement that its author took back, or that a reviewer sent back
or fixed, stays and says nothing.
"""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint

from engine.models.candidate import Candidate, CandidateBatch, LayoutProposal
from engine.models.image import TargetObject
from engine.models.project import Project
from engine.models.round import Round
from engine.models.task import Assignment
from engine.states import AssignmentStatus, ReviewStatus

#: Turns about a shape's upright axis after which it may look the same; 1 says that its heading matters.
ANY_HEADING = 0
SYMMETRIES = (ANY_HEADING, 1, 2, 3, 4, 5, 6)
FIVE = [MinValueValidator(1), MaxValueValidator(5)]


class StandingJudgements(models.Manager[Any]):
    """The judgements that count: neither taken back, nor sent back, nor fixed by a reviewer."""

    def get_queryset(self) -> models.QuerySet[Any]:
        retracted = Q(assignment__status=AssignmentStatus.RETRACTED)
        overruled = Q(assignment__review__status__in=[ReviewStatus.SENT_BACK, ReviewStatus.FIXED])
        return super().get_queryset().exclude(retracted | overruled)


class MaskEdit(models.Model):
    """Stage 1: a target and mask somebody confirmed, or a photograph somebody found nothing in."""

    project = models.ForeignKey(Project, models.CASCADE)
    assignment = models.ForeignKey(Assignment, models.PROTECT, related_name="mask_edits")
    target = models.ForeignKey(TargetObject, models.PROTECT, null=True, blank=True, related_name="mask_edits")
    discarded_because = models.CharField(max_length=200, blank=True)
    warnings = models.JSONField(
        default=list, blank=True, help_text="Which checks of the mask stood when the person submitted it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager()
    standing = StandingJudgements()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(target__isnull=False) | ~Q(discarded_because=""), name="mask_edit_says_something"
            ),
        ]


class Comparison(models.Model):
    """Stage 2: one pair really shown side by side."""

    class Outcome(models.TextChoices):
        LEFT = "left"
        RIGHT = "right"
        EQUAL = "equal"

    project = models.ForeignKey(Project, models.CASCADE)
    assignment = models.ForeignKey(Assignment, models.PROTECT, related_name="comparisons")
    order = models.PositiveSmallIntegerField()
    left = models.ForeignKey(Candidate, models.PROTECT, related_name="+")
    right = models.ForeignKey(Candidate, models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    milliseconds = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager()
    standing = StandingJudgements()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["assignment", "order"], name="comparison_order_once"),
            CheckConstraint(condition=~Q(left=F("right")), name="comparison_of_two"),
        ]


class Selection(models.Model):
    """Stage 2: the winner and its rating r in [0, 1]; no winner means none was good enough."""

    class Mode(models.TextChoices):
        GRID = "grid"
        KING = "king"

    project = models.ForeignKey(Project, models.CASCADE)
    assignment = models.OneToOneField(Assignment, models.PROTECT, related_name="selection")
    batch = models.ForeignKey(CandidateBatch, models.PROTECT, related_name="selections")
    round = models.ForeignKey(Round, models.PROTECT, null=True, blank=True, related_name="selections")
    winner = models.ForeignKey(Candidate, models.PROTECT, null=True, blank=True, related_name="selections")
    mode = models.CharField(max_length=8, choices=Mode.choices)
    shape_rating = models.PositiveSmallIntegerField(null=True, blank=True, validators=FIVE)
    texture_rating = models.PositiveSmallIntegerField(null=True, blank=True, validators=FIVE)
    rating = models.FloatField(null=True, blank=True)
    shown_order = models.JSONField(
        default=list, help_text="Candidate ids in the order of this person's cells."
    )
    inspected = models.JSONField(default=dict, help_text="Milliseconds each candidate was looked at large.")
    not_loaded = models.JSONField(
        default=list, help_text="Candidate ids that this person's browser could not show."
    )
    attention = models.JSONField(
        default=dict,
        help_text="How the person looked at them: dwell, orbits, looks, the photograph's camera.",
    )
    none_because = models.CharField(max_length=40, blank=True)
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager()
    standing = StandingJudgements()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(
                    winner__isnull=False,
                    rating__gte=0,
                    rating__lte=1,
                    shape_rating__gte=1,
                    shape_rating__lte=5,
                    texture_rating__gte=1,
                    texture_rating__lte=5,
                )
                | (Q(winner__isnull=True, rating__isnull=True) & ~Q(none_because="")),
                name="selection_rates_its_winner_or_says_why_none",
            ),
        ]


class Alignment(models.Model):
    """Stage 3: the annotator's T_camera_object for a chosen shape."""

    project = models.ForeignKey(Project, models.CASCADE)
    assignment = models.OneToOneField(Assignment, models.PROTECT, related_name="alignment")
    candidate = models.ForeignKey(Candidate, models.PROTECT, related_name="alignments")
    proposal = models.ForeignKey(LayoutProposal, models.PROTECT, null=True, blank=True)
    pose = models.JSONField(help_text="rotation_wxyz, translation, scale, unit")
    approximate = models.BooleanField(help_text="Aligned to a point map that is only approximate.")
    mask_iou = models.FloatField(null=True, blank=True, help_text="As the person saw it when submitting.")
    depth_residual = models.FloatField(null=True, blank=True)
    actions = models.JSONField(default=dict)
    symmetry = models.PositiveSmallIntegerField(
        default=1, help_text="Equal headings about the shape's upright axis, as declared: 1 none, 0 any."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager()
    standing = StandingJudgements()

    class Meta:
        constraints = [
            CheckConstraint(condition=Q(symmetry__in=SYMMETRIES), name="alignment_symmetry_known"),
            CheckConstraint(
                condition=Q(mask_iou__isnull=True) | Q(mask_iou__gte=0, mask_iou__lte=1),
                name="alignment_iou_in_range",
            ),
        ]
