"""Projects, who may do what in them, and the names their objects may bear."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint

from engine.models.mix import Mixed
from engine.states import Role


class Project(Mixed):
    """One body of work: photographs, people, a taxonomy, and how its stages are run."""

    class Stage2Mode(models.TextChoices):
        GRID = "grid", "Direct pick from the grid"
        KING = "king", "King of the hill"

    class Brake(models.TextChoices):
        CAP = "cap", "Leave the least rated of our own out"
        REFUSE = "refuse", "Refuse to freeze"

    class Sampling(models.TextChoices):
        ARRIVAL = "arrival", "As it came in"
        BALANCED = "balanced", "Classes in turn, rare and poorly solved ones first"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    num_candidates = models.PositiveSmallIntegerField(default=8)
    stage2_mode = models.CharField(max_length=8, choices=Stage2Mode.choices, default=Stage2Mode.GRID)
    lease_seconds = models.PositiveIntegerField(default=600)
    alpha = models.FloatField(
        default=0.5, help_text="The bar a rating must reach, for the next round to be opened."
    )
    paused = models.BooleanField(default=False)
    gold_floor = models.FloatField(
        default=0.05, help_text="Least share of a person's new work that is hidden gold, however well known."
    )
    least_foreign = models.FloatField(
        default=0.0, help_text="Least share of a version's demonstrations that our own model did not make."
    )
    brake = models.CharField(max_length=8, choices=Brake.choices, default=Brake.CAP)
    audit_share = models.FloatField(
        default=0.0, help_text="Share of the hard targets that no version trains on, for auditing."
    )
    sampling = models.CharField(max_length=8, choices=Sampling.choices, default=Sampling.BALANCED)
    easy_first = models.BooleanField(
        default=False, help_text="Within a class, large unhidden objects come before small and hidden ones."
    )
    gold_ceiling = models.FloatField(default=0.5, help_text="Largest share, for people nothing is known of.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Mixed.Meta):
        abstract = False
        constraints = [
            *Mixed.Meta.constraints,
            CheckConstraint(
                condition=Q(num_candidates__gte=2, num_candidates__lte=64), name="project_candidates"
            ),
            CheckConstraint(condition=Q(alpha__gte=0, alpha__lte=1), name="project_alpha"),
            CheckConstraint(condition=Q(lease_seconds__gte=10), name="project_lease_seconds"),
            CheckConstraint(
                condition=Q(gold_floor__gte=0, gold_ceiling__lte=0.5, gold_floor__lte=F("gold_ceiling")),
                name="project_gold_share",
            ),
            CheckConstraint(
                condition=Q(
                    least_foreign__gte=0, least_foreign__lt=1, audit_share__gte=0, audit_share__lte=0.5
                ),
                name="project_held_back",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One role of one person in one project; a person may hold several."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)

    class Meta:
        constraints = [UniqueConstraint(fields=["project", "user", "role"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} in {self.project}"


class TaxonomyEntry(models.Model):
    """One name an object may bear; free text is allowed beside it."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="taxonomy")
    key = models.SlugField()
    label = models.CharField(max_length=80)

    class Meta:
        verbose_name_plural = "taxonomy entries"
        ordering = ["label"]
        constraints = [UniqueConstraint(fields=["project", "key"], name="taxonomy_key_once")]

    def __str__(self) -> str:
        return self.label
