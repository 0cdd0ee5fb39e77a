"""Batches of candidates from the request to READY: exactly as many as asked, whatever dies on the way."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict

from django.db import transaction

from engine import jobs
from engine.errors import BadInput, EngineError, NotFound, StaleTransition
from engine.models import Arena, Candidate, CandidateBatch, Round, TargetObject
from engine.services import batch_parts
from engine.services.arena_pairs import add_matches_with
from engine.services.batch_parts import Missing, generation_order, times_requested
from engine.services.mix import CandidateMix, mix_of
from engine.services.new_candidate import NewCandidate
from engine.services.tasks import open_pick_task
from engine.states import ArenaStatus, BatchStatus
from engine.transitions import Actor, record_creations, transition

log = logging.getLogger(__name__)

WORKER = Actor(name="worker")
SEED_RANGE = 2**31


def request_batch(*, target: TargetObject, round: Round | None, by: Actor) -> CandidateBatch:
    """Asks for a batch for the target, with its job, in the caller's transaction."""
    [batch] = add_batches(
        targets=[target], round_id=round.pk if round else None, mix=mix_of(round or target.project)
    )
    record_creations([batch], by=by)
    return batch


def add_batches(
    *, targets: Sequence[TargetObject], round_id: int | None, mix: CandidateMix
) -> list[CandidateBatch]:
    """Rows and jobs of one batch per target, two statements, three when other sources have a part in it.

    The caller records the creations in the journal. Where others have a part, our own job comes after theirs, so that
    it can fill up what they leave out.
    """
    batches = CandidateBatch.objects.bulk_create(
        CandidateBatch(
            project_id=target.project_id,
            target=target,
            round_id=round_id,
            num_requested=mix.num_candidates,
            source_mix=dict(mix.counts),
            num_draws=mix.num_draws,
            reward=mix.reward,
            seed=secrets.randbelow(SEED_RANGE),
        )
        for target in targets
    )
    if mix.others:
        batch_parts.ask_others(batches, mix.others)
    else:
        jobs.enqueue_new([generation_order(batch) for batch in batches])
    return batches


def begin_batch(*, batch_id: int) -> CandidateBatch:
    """Moves the batch to GENERATING if it is REQUESTED; others come back as they are."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.status == BatchStatus.REQUESTED:
            transition(batch, BatchStatus.GENERATING, by=WORKER)
    return batch


def complete_batch(
    *,
    batch_id: int,
    candidates: Sequence[NewCandidate],
    seconds: float,
    missing: Sequence[Missing] = (),
) -> CandidateBatch:
    """Writes the candidates, moves the batch to READY and opens its pick task; of an arena's its matches.

    A second run changes nothing.

    ``missing`` names the sources that gave fewer than the batch's mix asks for.

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
        changes = {
            "num_candidates": len(candidates),
            "seconds": seconds,
            "detail": "",
            "missing": [asdict(one) for one in missing],
        }
        transition(batch, BatchStatus.READY, by=WORKER, changes=changes)
        if batch.arena_id is None:
            open_pick_task(batch=batch, by=WORKER)
        else:
            add_matches_with(batch, by=WORKER)
    return batch


def fail_batch(*, batch_id: int, detail: str) -> CandidateBatch:
    """Ends the batch badly and says why; one that is READY or FAILED stays as it is."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.status in (BatchStatus.REQUESTED, BatchStatus.GENERATING):
            transition(batch, BatchStatus.FAILED, by=WORKER, reason=detail, changes={"detail": detail})
    return batch


def retry_batch(*, batch_id: int, actor: Actor) -> CandidateBatch:
    """Asks again for a FAILED batch, with new jobs: first of the sources that were missing, if any were.

    Raises IllegalTransition for one that did not fail, EngineError ``arena_closed`` when its arena is over.
    """
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch.arena_id and Arena.objects.filter(pk=batch.arena_id, status=ArenaStatus.CLOSED).exists():
            raise EngineError("The arena that asked for it is closed.", code="arena_closed")
        transition(batch, BatchStatus.REQUESTED, by=actor, reason="asked for again", changes={"detail": ""})
        if not batch_parts.ask_again(batch, by=actor):
            order = generation_order(batch, attempt=times_requested(batch))
            jobs.enqueue(kind=order.kind, key=order.key, payload=order.payload, project_id=order.project_id)
    return batch


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
