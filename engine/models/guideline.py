"""What people must know before they judge: guidelines in versions, examples of good and bad, and who read what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from engine.models.candidate import Candidate
from engine.models.project import Project
from engine.states import GuidelineStatus, Stage


class GuidelineVersion(models.Model):
    """The Markdown of one stage; a database trigger refuses any change of a published version."""

    EVENT = "guideline"

    project = models.ForeignKey(Project, models.CASCADE, related_name="guideline_versions")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, choices=GuidelineStatus.choices, default=GuidelineStatus.DRAFT)
    markdown = models.TextField(blank=True)
    summary = models.CharField(max_length=300, blank=True, help_text="What changed, in a sentence.")
    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # Also read by every claim: the newest published version of a stage.
            UniqueConstraint(fields=["project", "stage", "number"], name="guideline_number_once"),
            UniqueConstraint(
                fields=["project", "stage"],
                condition=Q(status=GuidelineStatus.DRAFT),
                name="guideline_one_draft",
            ),
            CheckConstraint(
                condition=Q(status=GuidelineStatus.DRAFT, published_at__isnull=True)
                | (Q(status=GuidelineStatus.PUBLISHED, published_at__isnull=False) & ~Q(markdown="")),
                name="guideline_published_says_something",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage} guidelines v{self.number}"


class GuidelineAcknowledgement(models.Model):
    """A person said that they have read a published version. Append-only."""

    version = models.ForeignKey(GuidelineVersion, models.CASCADE, related_name="acknowledgements")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [UniqueConstraint(fields=["version", "person"], name="guideline_acknowledged_once")]


class GuidelineExample(models.Model):
    """A shape that shows what is good or bad: a candidate of the project, or a file of its own.

    In stage 2 it may also stand for one value of the rating scale: then it is an anchor. Append-only; a wrong one is
    deleted.
    """

    class Verdict(models.TextChoices):
        GOOD = "good"
        BAD = "bad"

    class Aspect(models.TextChoices):
        SHAPE = "shape"
        TEXTURE = "texture"

    project = models.ForeignKey(Project, models.CASCADE, related_name="guideline_examples")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    verdict = models.CharField(max_length=4, choices=Verdict.choices)
    caption = models.CharField(max_length=300)
    candidate = models.ForeignKey(Candidate, models.CASCADE, null=True, blank=True, related_name="+")
    mesh_key = models.CharField(max_length=200, blank=True)
    aspect = models.CharField(max_length=8, choices=Aspect.choices, blank=True)
    value = models.PositiveSmallIntegerField(null=True, blank=True, help_text="1 to 5 of the rating scale.")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(candidate__isnull=False, mesh_key="")
                | (Q(candidate__isnull=True) & ~Q(mesh_key="")),
                name="guideline_example_shows_one_shape",
            ),
            CheckConstraint(
                condition=Q(aspect="", value__isnull=True)
                | (Q(stage=Stage.PICK, value__isnull=False, value__gte=1, value__lte=5) & ~Q(aspect="")),
                name="guideline_anchor_is_of_the_rating",
            ),
            CheckConstraint(condition=~Q(caption=""), name="guideline_example_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} example {self.pk}"
