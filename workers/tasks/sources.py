"""What a foreign generator with a worker of its own, on the queue source.<name>, gives to a batch."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from engine.jobs import Hold
from engine.services import batch_parts
from engine.states import BatchPartStatus
from workers import policy
from workers.model_inputs import model_input
from workers.stored import stored_candidates


def _miss_part(payload: dict[str, Any], error: str) -> None:
    batch_parts.miss_part(part_id=payload["part_id"], detail=error)


@policy.job("source_candidates", abandon=_miss_part)
def source_candidates(hold: Hold) -> dict[str, Any]:
    from workers import sources  # torch, which other workers do without

    part = batch_parts.read_part(hold.payload["part_id"])
    if part.status != BatchPartStatus.ASKED:
        return {"part": part.status}
    may_wait = hold.attempt < settings.JOB_MAX_ATTEMPTS - 1
    seeds = tuple(part.batch.seed + number for number in range(part.num_asked))
    request = model_input(part.batch.target, seeds=seeds, may_wait=may_wait)
    made = stored_candidates(sources.foreign(part.source, request), source=part.source)
    batch_parts.record_part(part_id=part.pk, candidates=made)
    return {"made": len(made)}
