"""What happened (StateChange, append-only) and what is still to be sent (Job, the outbox)."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Index, Q
from django.utils import timezone

from engine.states import JobStatus


class StateChange(models.Model):
    """Who moved what from which status to which, when and why; written by transition() alone."""

    model = models.CharField(max_length=40)
    object_id = models.BigIntegerField()
    old = models.CharField(max_length=12, blank=True)
    new = models.CharField(max_length=12)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, blank=True, db_constraint=False
    )
    actor_name = models.CharField(max_length=80, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [Index(fields=["model", "object_id", "id"], name="state_change_of_row")]


class Job(models.Model):
    """Work for a worker: written with what asked for it, sent after the commit, sent again when lost.

    ``lease_until`` is the running worker's heartbeat: while it lies ahead nobody else takes the job.
    """

    EVENT = "job"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey("engine.Project", models.CASCADE, null=True, blank=True)
    kind = models.CharField(max_length=40, help_text="Also the Celery task: workers.<kind>.")
    queue = models.CharField(max_length=20)
    key = models.CharField(
        max_length=160, unique=True, help_text="Idempotency key: the same work is one job."
    )
    payload = models.JSONField(default=dict, help_text="Ids and small settings only.")
    status = models.CharField(max_length=12, choices=JobStatus.choices, default=JobStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Read by jobs.sweep: what is not ended yet.
            Index(
                fields=["status", "sent_at"],
                condition=Q(status__in=[JobStatus.PENDING, JobStatus.SENT]),
                name="job_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
