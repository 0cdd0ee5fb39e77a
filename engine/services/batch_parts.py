"""What sources with workers of their own are asked for a batch: given, or missing and filled up by the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from engine import jobs
from engine.errors import BadInput, NotFound
from engine.models import BatchPart, CandidateBatch, Job, StateChange
from engine.services.new_candidate import NewCandidate
from engine.states import BatchPartStatus, BatchStatus, JobStatus
from engine.transitions import Actor, record_creations, transition

WORKER = Actor(name="worker")
BEAT = Actor(name="beat")
#: Of overdue parts that one look of beat ends.
AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A source that gave fewer candidates than it was asked for."""

    source: str
    asked: int
    made: int
    why: str


def ask_others(batches: Sequence[CandidateBatch], others: Mapping[str, int]) -> None:
    """One part and one job per batch and source, in the caller's transaction."""
    due = timezone.now() + timedelta(seconds=settings.SOURCE_PATIENCE_SECONDS)
    parts = BatchPart.objects.bulk_create(
        BatchPart(project_id=batch.project_id, batch=batch, source=source, num_asked=count, due_at=due)
        for batch in batches
        for source, count in others.items()
    )
    record_creations(parts, by=WORKER)
    jobs.enqueue_new([_order(part, attempt=1) for part in parts])


def ask_again(batch: CandidateBatch, *, by: Actor) -> bool:
    """Asks the sources that were missing once more; False when none was. In the caller's transaction."""
    missing = list(batch.parts.select_for_update().filter(status=BatchPartStatus.MISSING))
    due = timezone.now() + timedelta(seconds=settings.SOURCE_PATIENCE_SECONDS)
    for part in missing:
        transition(part, BatchPartStatus.ASKED, by=by, changes={"due_at": due, "detail": ""})
    jobs.enqueue_new([_order(part, attempt=times_requested(batch)) for part in missing])
    return bool(missing)


def read_part(part_id: int) -> BatchPart:
    """The part with its batch, target and photograph. One query."""
    part = BatchPart.objects.select_related("batch__target__image").filter(pk=part_id).first()
    if part is None:
        raise NotFound(f"There is no part {part_id} of a batch.")
    return part


def record_part(*, part_id: int, candidates: Sequence[NewCandidate]) -> BatchPart:
    """ASKED > MADE with what the source gave, at most as many as asked; a part that is over stays as it is.

    Raises BadInput for none, for too many, and for candidates of another source.
    """
    with transaction.atomic():
        part = _locked(part_id)
        if part.status != BatchPartStatus.ASKED:
            return part
        if not 1 <= len(candidates) <= part.num_asked or {one.source for one in candidates} != {part.source}:
            raise BadInput(
                f"{part.source} is asked for 1 to {part.num_asked} candidates of its own, not for {len(candidates)} of "
                f"{', '.join(sorted({one.source for one in candidates})) or 'nobody'}."
            )
        made = [one.document() for one in candidates]
        transition(part, BatchPartStatus.MADE, by=WORKER, changes={"candidates": made})
        _go_on(part.batch)
    return part


def miss_part(*, part_id: int, detail: str, by: Actor = WORKER) -> BatchPart:
    """ASKED > MISSING with the reason: the others fill up. A part that is over stays as it is."""
    with transaction.atomic():
        part = _locked(part_id)
        if part.status == BatchPartStatus.ASKED:
            transition(part, BatchPartStatus.MISSING, by=by, reason=detail, changes={"detail": detail})
            _go_on(part.batch)
    return part


def give_up_late_parts(*, now: datetime) -> int:
    """Ends parts that were due, and the jobs that no worker has taken. The number of parts."""
    late = list(
        BatchPart.objects.filter(status=BatchPartStatus.ASKED, due_at__lt=now).order_by("due_at")[:AT_ONCE]
    )
    for part in late:
        waited = f"no answer within {settings.SOURCE_PATIENCE_SECONDS} s"
        untaken = Job.objects.filter(
            Q(lease_until__isnull=True) | Q(lease_until__lt=now),
            kind="source_candidates",
            payload={"part_id": part.pk},
            status__in=[JobStatus.PENDING, JobStatus.SENT],
        ).first()
        if untaken is not None:
            waited += (
                ": no worker took the job"
                if not untaken.attempts
                else f": {untaken.error or 'its worker died'}"
            )
            jobs.fail(untaken.pk, error=waited)
        miss_part(part_id=part.pk, detail=waited, by=BEAT)
    return len(late)


def parts_of(batch: CandidateBatch) -> tuple[list[NewCandidate], list[Missing]]:
    """What the other sources gave to the batch, and what is missing of them. One query."""
    given: list[NewCandidate] = []
    missing: list[Missing] = []
    for part in batch.parts.all():
        made = [NewCandidate.from_document(one) for one in part.candidates]
        given += made
        if len(made) < part.num_asked:
            why = part.detail or f"it gave {len(made)} of {part.num_asked}"
            missing.append(Missing(source=part.source, asked=part.num_asked, made=len(made), why=why))
    return given, missing


def generation_order(batch: CandidateBatch, *, attempt: int = 1) -> jobs.Order:
    """The job that makes our own candidates and completes the batch."""
    return jobs.Order(
        kind="generate_candidates" if batch.arena_id is None else "generate_for_arena",
        key=f"batch-{batch.pk}" + (f"-{attempt}" if attempt > 1 else ""),
        payload={"batch_id": batch.pk},
        project_id=batch.project_id,
    )


def times_requested(batch: CandidateBatch) -> int:
    """How often the batch was asked for, by the journal."""
    return StateChange.objects.filter(
        model=batch._meta.model_name, object_id=batch.pk, new=BatchStatus.REQUESTED
    ).count()


def _go_on(batch: CandidateBatch) -> None:
    """When no part is waited for any more, it is our own turn. The caller holds the batch's lock."""
    if batch.status != BatchStatus.REQUESTED or batch.parts.filter(status=BatchPartStatus.ASKED).exists():
        return
    order = generation_order(batch, attempt=times_requested(batch))
    jobs.enqueue(kind=order.kind, key=order.key, payload=order.payload, project_id=order.project_id)


def _order(part: BatchPart, *, attempt: int) -> jobs.Order:
    return jobs.Order(
        kind="source_candidates",
        key=f"batch-{part.batch_id}-{part.source}" + (f"-{attempt}" if attempt > 1 else ""),
        payload={"part_id": part.pk},
        project_id=part.project_id,
        queue=f"source.{part.source}",
    )


def _locked(part_id: int) -> BatchPart:
    """The part and its batch, the batch locked first: its parts end one after the other."""
    batch = CandidateBatch.objects.select_for_update().filter(parts=part_id).first()
    if batch is None:
        raise NotFound(f"There is no part {part_id} of a batch.")
    part = batch.parts.select_for_update().get(pk=part_id)
    part.batch = batch
    return part
