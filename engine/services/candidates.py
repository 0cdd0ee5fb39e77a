"""Batches of candidates from the request to READY: exactly as many as asked, whatever dies on the way."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from engine import jobs
from engine.errors import BadInput, NotFound, StaleTransition
from engine.models import Candidate, CandidateBatch, Round, StateChange, TargetObject
from engine.services.tasks import open_pick_task
from engine.states import BatchStatus
from engine.transitions import Actor, record_creations, transition

log = logging.getLogger(__name__)

WORKER = Actor(name="worker")
SEED_RANGE = 2**31


@dataclass(frozen=True, kw_only=True)
class NewCandidate:
    """One candidate whose blobs are stored, ready to become a row."""

    index: int
    source: str
    mesh_key: str
    preview_key: str
    checkpoint_id: int | None = None
    generation: int | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    pose: dict[str, Any] | None = None
    latents_key: str = ""
    splat_key: str = ""
    num_vertices: int = 0
    num_faces: int = 0
    num_splats: int = 0
    fallbacks: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.source or not self.mesh_key or not self.preview_key:
            raise BadInput("A candidate names its source and the keys of its mesh and its preview.")
        if self.source == "candid8" and (self.checkpoint_id is None or self.seed is None):
            raise BadInput("A candidate of our own model names its checkpoint and its seed.")

    def row(self, *, project_id: int, target_id: int, batch_id: int | None) -> Candidate:
        """The unsaved row."""
        return Candidate(
            project_id=project_id,
            target_id=target_id,
            batch_id=batch_id,
            index=self.index,
            source=self.source,
            checkpoint_id=self.checkpoint_id,
            generation=self.generation,
            seed=self.seed,
            settings=self.settings,
            pose=self.pose,
            latents_key=self.latents_key,
            mesh_key=self.mesh_key,
            preview_key=self.preview_key,
            splat_key=self.splat_key,
            num_vertices=self.num_vertices,
            num_faces=self.num_faces,
            num_splats=self.num_splats,
            fallbacks=list(self.fallbacks),
        )


def request_batch(*, target: TargetObject, round: Round | None, by: Actor) -> CandidateBatch:
    """Asks for a batch for the target, with its job, in the caller's transaction."""
    num_candidates = round.num_candidates if round else target.project.num_candidates
    [batch] = add_batches(
        targets=[target], round_id=round.pk if round else None, num_candidates=num_candidates
    )
    record_creations([batch], by=by)
    return batch


def add_batches(
    *, targets: Sequence[TargetObject], round_id: int | None, num_candidates: int
) -> list[CandidateBatch]:
    """Rows and jobs of one batch per target, two statements; the caller records the creations in the journal."""
    batches = CandidateBatch.objects.bulk_create(
        CandidateBatch(
            project_id=target.project_id,
            target=target,
            round_id=round_id,
            num_requested=num_candidates,
            seed=secrets.randbelow(SEED_RANGE),
        )
        for target in targets
    )
    jobs.enqueue_new([_order(batch, key=f"batch-{batch.pk}") for batch in batches])
    return batches


def begin_batch(*, batch_id: int) -> CandidateBatch:
    """Moves the batch to GENERATING if it is REQUESTED; others come back as they are."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.status == BatchStatus.REQUESTED:
            transition(batch, BatchStatus.GENERATING, by=WORKER)
    return batch


def complete_batch(*, batch_id: int, candidates: Sequence[NewCandidate], seconds: float) -> CandidateBatch:
    """Writes the candidates, moves the batch to READY and opens its pick task. A second run changes nothing.

    Nor does a run for a batch that was withdrawn.

    Raises BadInput unless there are exactly as many candidates as asked for, indexed from 0; StaleTransition when
    the batch is FAILED.
    """
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.status in (BatchStatus.READY, BatchStatus.WITHDRAWN):
            return batch
        if batch.status == BatchStatus.FAILED:
            raise StaleTransition("This batch has failed; it must be asked for again first.")
        if sorted(one.index for one in candidates) != list(range(batch.num_requested)):
            raise BadInput(
                f"Batch {batch.pk} asks for {batch.num_requested} candidates with the indices 0 to "
                f"{batch.num_requested - 1}, not {sorted(one.index for one in candidates)}."
            )
        if batch.status == BatchStatus.REQUESTED:
            transition(batch, BatchStatus.GENERATING, by=WORKER)
        Candidate.objects.bulk_create(
            one.row(project_id=batch.project_id, target_id=batch.target_id, batch_id=batch.pk)
            for one in candidates
        )
        changes = {"num_candidates": len(candidates), "seconds": seconds, "detail": ""}
        transition(batch, BatchStatus.READY, by=WORKER, changes=changes)
        open_pick_task(batch=batch, by=WORKER)
    return batch


def fail_batch(*, batch_id: int, detail: str) -> CandidateBatch:
    """Ends the batch badly and says why; one that is READY or FAILED stays as it is."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.status in (BatchStatus.REQUESTED, BatchStatus.GENERATING):
            transition(batch, BatchStatus.FAILED, by=WORKER, reason=detail, changes={"detail": detail})
    return batch


def retry_batch(*, batch_id: int, actor: Actor) -> CandidateBatch:
    """Asks again for a FAILED batch, with a new job. Raises IllegalTransition for one that did not fail."""
    with transaction.atomic():
        batch = _locked(batch_id)
        transition(batch, BatchStatus.REQUESTED, by=actor, reason="asked for again", changes={"detail": ""})
        times = StateChange.objects.filter(
            model=batch._meta.model_name, object_id=batch.pk, new=BatchStatus.REQUESTED
        ).count()
        order = _order(batch, key=f"batch-{batch.pk}-{times}")
        jobs.enqueue(kind=order.kind, key=order.key, payload=order.payload, project_id=order.project_id)
    return batch


def _order(batch: CandidateBatch, *, key: str) -> jobs.Order:
    return jobs.Order(
        kind="generate_candidates", key=key, payload={"batch_id": batch.pk}, project_id=batch.project_id
    )


def _locked(batch_id: int) -> CandidateBatch:
    batch = (
        CandidateBatch.objects.select_for_update(of=("self",))
        .select_related("target")
        .filter(pk=batch_id)
        .first()
    )
    if batch is None:
        raise NotFound(f"There is no batch {batch_id}.")
    return batch
