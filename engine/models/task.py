"""Work to be done by people, and their holds on it."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint

from engine.models.candidate import Candidate, CandidateBatch
from engine.models.image import Image, TargetObject
from engine.models.project import Project
from engine.states import AssignmentStatus, Stage, TaskStatus


class AnnotationTask(models.Model):
    """One piece of work of one stage; ``open_slots`` people may still take it.

    Claiming takes a slot, letting go (released, expired, skipped) gives it back.
    """

    EVENT = "task"

    project = models.ForeignKey(Project, models.CASCADE, related_name="tasks")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    image = models.ForeignKey(Image, models.CASCADE, related_name="tasks")
    target = models.ForeignKey(TargetObject, models.CASCADE, null=True, blank=True, related_name="tasks")
    batch = models.ForeignKey(CandidateBatch, models.CASCADE, null=True, blank=True)
    candidate = models.ForeignKey(Candidate, models.CASCADE, null=True, blank=True)
    status = models.CharField(max_length=12, choices=TaskStatus.choices, default=TaskStatus.OPEN)
    priority = models.IntegerField(default=0)
    open_slots = models.SmallIntegerField(default=1)
    num_judgements = models.PositiveSmallIntegerField(default=0)
    overlap = models.PositiveSmallIntegerField(
        default=1, help_text="Judgements after which the task is done."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            # Read by services.leases.claim: the next open piece of work of a stage.
            Index(
                fields=["project", "stage", "-priority", "id"],
                condition=Q(status=TaskStatus.OPEN, open_slots__gt=0),
                name="task_next_open",
            ),
        ]
        constraints = [
            CheckConstraint(condition=Q(open_slots__gte=0), name="task_slots_not_negative"),
            CheckConstraint(
                condition=Q(stage=Stage.OBJECT, target__isnull=True)
                | Q(stage=Stage.PICK, target__isnull=False, batch__isnull=False)
                | Q(stage=Stage.POSE, target__isnull=False, candidate__isnull=False),
                name="task_has_what_its_stage_needs",
            ),
            UniqueConstraint(fields=["batch"], condition=Q(stage=Stage.PICK), name="task_one_pick_per_batch"),
            UniqueConstraint(
                fields=["candidate"], condition=Q(stage=Stage.POSE), name="task_one_pose_per_candidate"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage} task {self.pk}"


class Assignment(models.Model):
    """A person's hold on a task: a lease with a token and an end, their draft, and the answer they were given."""

    EVENT = "assignment"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE)
    task = models.ForeignKey(AnnotationTask, models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="assignments")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    status = models.CharField(
        max_length=12, choices=AssignmentStatus.choices, default=AssignmentStatus.LEASED
    )
    prefetched = models.BooleanField(default=False)
    lease_token = models.UUIDField(default=uuid4)
    order_seed = models.UUIDField(
        default=uuid4,
        editable=False,
        help_text="Fixes the random order in which this person sees candidates.",
    )
    expires_at = models.DateTimeField()
    draft = models.JSONField(null=True, blank=True)
    draft_version = models.PositiveIntegerField(default=0)
    submit_key = models.CharField(max_length=80, blank=True, help_text="Idempotency-Key of the submit.")
    answer = models.JSONField(
        null=True,
        blank=True,
        help_text="The body returned to the submit, for repeats; what an escalation made.",
    )
    question = models.ForeignKey(
        "engine.QuizQuestion",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="assignments",
        help_text="Of an entry quiz: no work, so it takes no slot and its answer is no judgement.",
    )
    gold = models.ForeignKey(
        "engine.GoldItem",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="assignments",
        help_text="Hidden among work: takes no slot, its answer is no judgement, and the person is not told.",
    )
    reason = models.CharField(max_length=200, blank=True)
    seconds = models.FloatField(null=True, blank=True, help_text="Time the person worked on it.")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Read by the sweep of services.leases: leases that ran out.
            Index(
                fields=["expires_at"],
                condition=Q(status=AssignmentStatus.LEASED),
                name="assignment_live_expiry",
            ),
            # Read by selectors.my_work: what a person did last.
            Index(fields=["annotator", "project", "-ended_at"], name="assignment_history"),
            # Read by services.lease_sql: how a person did on hidden gold.
            Index(
                fields=["annotator", "project", "stage"],
                condition=Q(gold__isnull=False),
                name="assignment_hidden_gold",
            ),
        ]
        constraints = [
            UniqueConstraint(
                fields=["task", "annotator"],
                condition=~Q(status=AssignmentStatus.RETRACTED) & Q(question__isnull=True, gold__isnull=True),
                name="assignment_once_per_person",
            ),
            UniqueConstraint(fields=["question"], name="assignment_once_per_question"),
            UniqueConstraint(
                fields=["gold", "annotator"],
                condition=~Q(status=AssignmentStatus.RETRACTED) & Q(gold__isnull=False),
                name="assignment_gold_once_per_person",
            ),
            CheckConstraint(
                condition=Q(question__isnull=True) | Q(gold__isnull=True),
                name="assignment_gold_asked_one_way",
            ),
            UniqueConstraint(
                fields=["project", "annotator", "stage", "prefetched"],
                condition=Q(status=AssignmentStatus.LEASED),
                name="assignment_one_live_lease",
            ),
            CheckConstraint(
                condition=~Q(status=AssignmentStatus.SUBMITTED) | Q(answer__isnull=False),
                name="assignment_submitted_has_answer",
            ),
        ]

    def __str__(self) -> str:
        return f"assignment {self.uuid}"

    @property
    def is_work(self) -> bool:
        """Whether it holds a slot of its task and its answer is a judgement: neither of a quiz nor hidden gold."""
        return self.question_id is None and self.gold_id is None
