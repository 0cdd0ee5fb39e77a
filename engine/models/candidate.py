"""What was proposed for a target: batches, their candidates (S, T), and layout proposals (R, t, s)."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint

from engine.models.checkpoint import Checkpoint
from engine.models.image import TargetObject
from engine.models.mix import Mixed
from engine.models.project import Project
from engine.models.round import Round
from engine.states import BatchPartStatus, BatchStatus


class CandidateBatch(Mixed):
    """The best-of-N asked for one target, from the sources that its round mixes.

    Or what an arena asks for, of exactly one checkpoint: of no round, and a database trigger refuses any task on it.
    """

    EVENT = "batch"

    project = models.ForeignKey(Project, models.CASCADE)
    target = models.ForeignKey(TargetObject, models.CASCADE, related_name="batches")
    round = models.ForeignKey(Round, models.PROTECT, null=True, blank=True)
    arena = models.ForeignKey(
        "engine.Arena",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="batches",
        help_text="Which asked for it: nobody picks from it, and no figure and no dataset counts it.",
    )
    checkpoint = models.ForeignKey(
        Checkpoint,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="batches",
        help_text="Of an arena's: the one that must make it, whatever serves.",
    )
    num_requested = models.PositiveSmallIntegerField()
    num_candidates = models.PositiveSmallIntegerField(default=0)
    seed = models.BigIntegerField(
        help_text="Candidate i is drawn with seed + i; so is each draw of a pre-filter."
    )
    status = models.CharField(max_length=12, choices=BatchStatus.choices, default=BatchStatus.REQUESTED)
    detail = models.TextField(blank=True)
    seconds = models.FloatField(null=True, blank=True, help_text="Wall time of the generation.")
    missing = models.JSONField(
        default=list, blank=True, help_text="Of each source that gave fewer than asked: how many, and why."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Mixed.Meta):
        abstract = False
        verbose_name_plural = "candidate batches"
        constraints = [
            *Mixed.Meta.constraints,
            CheckConstraint(
                condition=~Q(status=BatchStatus.READY) | Q(num_candidates=F("num_requested")),
                name="batch_ready_is_complete",
            ),
            CheckConstraint(condition=Q(num_requested__gt=0), name="batch_asks_for_some"),
            CheckConstraint(
                condition=Q(arena__isnull=True, checkpoint__isnull=True)
                | Q(
                    arena__isnull=False,
                    checkpoint__isnull=False,
                    round__isnull=True,
                    source_mix={},
                    num_draws__isnull=True,
                ),
                name="batch_of_arena_is_of_one_checkpoint",
            ),
            UniqueConstraint(fields=["arena", "target", "checkpoint"], name="batch_once_per_arena"),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk} of target {self.target_id}"


class BatchPart(models.Model):
    """What one source with a worker of its own was asked to give to a batch, and has given."""

    EVENT = "batch_part"

    project = models.ForeignKey(Project, models.CASCADE)
    batch = models.ForeignKey(CandidateBatch, models.CASCADE, related_name="parts")
    source = models.CharField(max_length=40)
    num_asked = models.PositiveSmallIntegerField()
    candidates = models.JSONField(default=list, help_text="Stored in blobs; rows when the batch is READY.")
    status = models.CharField(max_length=12, choices=BatchPartStatus.choices, default=BatchPartStatus.ASKED)
    due_at = models.DateTimeField(help_text="When the batch waits for it no longer.")
    detail = models.TextField(blank=True, help_text="Why it is missing.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            UniqueConstraint(fields=["batch", "source"], name="batch_part_once_per_source"),
            CheckConstraint(condition=Q(num_asked__gt=0), name="batch_part_asks_for_some"),
            CheckConstraint(
                condition=~Q(status=BatchPartStatus.MISSING) | ~Q(detail=""),
                name="batch_part_missing_says_why",
            ),
        ]
        indexes = [
            Index(fields=["due_at"], condition=Q(status=BatchPartStatus.ASKED), name="batch_part_due"),
        ]

    def __str__(self) -> str:
        return f"{self.source} for batch {self.batch_id}"


class Candidate(models.Model):
    """One shape with texture, immutable; a database trigger refuses any update.

    ``source`` says who made it: "candid8" (our own model, then ``checkpoint`` names it), "artist", "retrieval",
    or a port's name.
    """

    project = models.ForeignKey(Project, models.CASCADE)
    target = models.ForeignKey(TargetObject, models.CASCADE, related_name="candidates")
    batch = models.ForeignKey(
        CandidateBatch, models.CASCADE, null=True, blank=True, related_name="candidates"
    )
    index = models.PositiveSmallIntegerField()
    source = models.CharField(max_length=40)
    checkpoint = models.ForeignKey(
        Checkpoint, models.PROTECT, null=True, blank=True, related_name="candidates"
    )
    generation = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of the deployment that made it."
    )
    seed = models.BigIntegerField(null=True, blank=True)
    settings = models.JSONField(default=dict)
    pose = models.JSONField(
        null=True, help_text="rotation_wxyz, translation, scale, unit: the model's own layout."
    )
    latents_key = models.CharField(max_length=200, blank=True)
    mesh_key = models.CharField(max_length=200)
    preview_key = models.CharField(max_length=200)
    splat_key = models.CharField(max_length=200, blank=True)
    num_vertices = models.PositiveIntegerField(default=0)
    num_faces = models.PositiveIntegerField(default=0)
    num_splats = models.PositiveIntegerField(default=0)
    fallbacks = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            CheckConstraint(condition=~Q(source=""), name="candidate_has_source"),
            CheckConstraint(
                condition=~Q(source="candid8") | Q(checkpoint__isnull=False, seed__isnull=False),
                name="candidate_of_ours_names_its_checkpoint",
            ),
            UniqueConstraint(fields=["batch", "index"], name="candidate_once_per_slot"),
        ]

    def __str__(self) -> str:
        return f"candidate {self.pk} ({self.source})"


class LayoutProposal(models.Model):
    """A pose the model proposed for a chosen shape: what stage 3 starts from. Immutable."""

    project = models.ForeignKey(Project, models.CASCADE)
    candidate = models.ForeignKey(Candidate, models.CASCADE, related_name="layout_proposals")
    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, null=True, blank=True)
    source = models.CharField(max_length=40)
    pose = models.JSONField()
    mask_iou = models.FloatField(null=True, blank=True)
    fallbacks = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [CheckConstraint(condition=~Q(source=""), name="layout_proposal_has_source")]

    def __str__(self) -> str:
        return f"layout of candidate {self.candidate_id}"
