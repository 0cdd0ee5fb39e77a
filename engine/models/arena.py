"""Blind comparisons of checkpoints: the same target, two shapes side by side, nothing that tells who made which."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint

from engine.models.candidate import Candidate
from engine.models.checkpoint import Checkpoint
from engine.models.image import TargetObject
from engine.models.project import Project
from engine.states import ArenaStatus, MatchStatus


class Arena(models.Model):
    """Checkpoints that meet on a frozen set of targets; the order of its matches is drawn when it opens.

    A match becomes a row when both of its candidates are there: at once, or when the arena's batches are made.
    """

    EVENT = "arena"

    project = models.ForeignKey(Project, models.CASCADE, related_name="arenas")
    name = models.CharField(max_length=120)
    status = models.CharField(max_length=12, choices=ArenaStatus.choices, default=ArenaStatus.OPEN)
    checkpoints = models.ManyToManyField(Checkpoint, related_name="arenas")
    seed = models.BigIntegerField(
        help_text="Of the order of matches, of their sides, of which targets, and of candidates."
    )
    votes = models.PositiveSmallIntegerField(default=1, help_text="Matches of each pair on each target.")
    target_ids = models.JSONField(
        default=list, help_text="Where they meet, frozen; empty for an arena that was drawn as a whole."
    )
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class ArenaMatch(models.Model):
    """One pair to be shown once to one person. An answered match is final: a database trigger refuses any update."""

    EVENT = "arena_match"

    class Outcome(models.TextChoices):
        LEFT = "left"
        RIGHT = "right"
        EQUAL = "equal"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE)
    arena = models.ForeignKey(Arena, models.CASCADE, related_name="matches")
    target = models.ForeignKey(TargetObject, models.PROTECT, related_name="+")
    place = models.PositiveIntegerField(help_text="When it is shown: the random order of the arena.")
    left = models.ForeignKey(Candidate, models.PROTECT, related_name="+")
    right = models.ForeignKey(Candidate, models.PROTECT, related_name="+")
    left_checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="+")
    right_checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="+")
    status = models.CharField(max_length=12, choices=MatchStatus.choices, default=MatchStatus.WAITING)
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    answer_key = models.CharField(max_length=80, blank=True, help_text="Idempotency-Key of the answer.")
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "arena matches"
        indexes = [
            # Read by services.arena.claim_match: the next one that nobody has answered.
            Index(
                fields=["arena", "place"],
                condition=~Q(status=MatchStatus.ANSWERED),
                name="match_next",
            ),
        ]
        constraints = [
            CheckConstraint(condition=~Q(left=F("right")), name="match_of_two"),
            CheckConstraint(
                condition=~Q(left_checkpoint=F("right_checkpoint")), name="match_of_two_checkpoints"
            ),
            CheckConstraint(
                condition=~Q(status=MatchStatus.ANSWERED)
                | (Q(annotator__isnull=False, answered_at__isnull=False) & ~Q(outcome="")),
                name="match_answered_by_somebody",
            ),
            CheckConstraint(
                condition=Q(status=MatchStatus.ANSWERED) | Q(outcome=""), name="match_outcome_is_an_answer"
            ),
            CheckConstraint(
                condition=~Q(status=MatchStatus.CLAIMED)
                | Q(annotator__isnull=False, claimed_until__isnull=False),
                name="match_claimed_by_somebody",
            ),
            UniqueConstraint(fields=["arena", "place"], name="match_place_once"),
            UniqueConstraint(
                fields=["arena", "annotator"],
                condition=Q(status=MatchStatus.CLAIMED),
                name="match_one_claim_each",
            ),
        ]

    def __str__(self) -> str:
        return f"match {self.pk}"
