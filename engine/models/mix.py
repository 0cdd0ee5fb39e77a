"""Who makes candidates, and how many are drawn for those that are kept: what projects, rounds and batches share."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Q


class Reward(models.TextChoices):
    """What a pre-filter keeps candidates by; each is measured in docs/reports/reward.json under this name."""

    DEPTH_ERROR = "depth_error", "Depth: agrees with the point map"
    CONSENSUS = "consensus", "Consensus: agrees with the other draws"


class Mixed(models.Model):
    """``source_mix`` is {source: number of candidates}; empty means that our own model makes all of them."""

    source_mix = models.JSONField(default=dict, blank=True)
    num_draws = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Shapes that our own model draws, of which the best are kept."
    )
    reward = models.CharField(max_length=20, choices=Reward.choices, blank=True)

    class Meta:
        abstract = True
        constraints = [
            CheckConstraint(
                condition=Q(num_draws__isnull=True, reward="")
                | Q(num_draws__isnull=False, num_draws__gte=2, num_draws__lte=64, reward__in=Reward.values),
                name="%(class)s_prefilter",
            )
        ]
