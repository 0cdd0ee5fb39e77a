"""Makes a batch by its mix: what other sources gave, meshes out of the library, and our own model for the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import EngineError
from engine.models import CandidateBatch
from engine.services.batch_parts import Missing, parts_of
from engine.services.mix import OWN, RETRIEVAL, CandidateMix
from engine.services.new_candidate import NewCandidate
from modelzoo.contracts import CandidateRequest, SamplingFailed
from workers import drawing, slots, sources
from workers.model_inputs import model_input
from workers.slots import Loaded
from workers.stored import stored_candidates

log = logging.getLogger(__name__)

NOTHING_LOADED = ("nothing_serves", "nothing_loads")


@dataclass(frozen=True, kw_only=True)
class Made:
    """As many candidates as the batch asks for, and whose share others had to fill up."""

    candidates: Sequence[NewCandidate]
    missing: Sequence[Missing]
    loaded: Loaded | None

    def told(self) -> dict[str, Any]:
        """What the job's row says."""
        maker = (
            {"checkpoint_id": self.loaded.checkpoint_id, "generation": self.loaded.generation}
            if self.loaded
            else {}
        )
        return {**maker, **({"missing": [one.source for one in self.missing]} if self.missing else {})}


@dataclass(frozen=True, kw_only=True)
class _Own:
    """Our own model, or why it cannot be had."""

    loaded: Loaded | None
    error: EngineError | None


def made_for(batch: CandidateBatch, *, may_wait: bool) -> Made:
    """The batch's candidates, numbered. Who is missing is filled up by our own model when the mix has it, else by
    retrieval when the mix has that; so a project with meshes and no checkpoint begins with retrieval alone.

    Raises EngineError when nobody in the mix can fill up.
    """
    mix = CandidateMix(
        counts=batch.source_mix or {OWN: batch.num_requested}, num_draws=batch.num_draws, reward=batch.reward
    )
    given, missing = parts_of(batch) if mix.others else ([], [])
    wanted = batch.num_requested - len(given)
    if not wanted:
        return Made(candidates=_numbered(given), missing=missing, loaded=None)
    own = _own(batch, mix)
    seeds = tuple(batch.seed + number for number in range(wanted))
    request = model_input(batch.target, seeds=seeds, may_wait=may_wait)
    found, why = _found(request, mix, wanted=wanted, own=own)
    if len(found) < mix.counts.get(RETRIEVAL, 0):
        missing = [*missing, _short(mix, RETRIEVAL, made=len(found), why=why)]
    left = wanted - len(found)
    if own.loaded is None and OWN in mix.counts:
        missing = [*missing, _short(mix, OWN, made=0, why=own.error.message if own.error else "")]
    if left and own.loaded is None:
        raise EngineError(
            f"{left} candidates are missing, and nobody in the mix can fill up: {_told(missing)}.",
            code=own.error.code if own.error else "mix_short",
            permanent=False,
        )
    drawn = _drawn(own.loaded, request, mix, left) if left and own.loaded else []
    return Made(candidates=_numbered([*drawn, *found, *given]), missing=missing, loaded=own.loaded)


def made_for_arena(batch: CandidateBatch) -> Made:
    """The batch of an arena: plain draws of exactly the checkpoint that it names, and of nobody else.

    Always waits for the point map, so that all checkpoints of a target see the same. Raises EngineError when the
    checkpoint cannot be loaded.
    """
    assert batch.checkpoint is not None, "the database refuses an arena's batch without a checkpoint"
    loaded = slots.ensure_exactly(batch.checkpoint)
    request = model_input(batch.target, seeds=(batch.seed,), may_wait=True)
    mix = CandidateMix(counts={OWN: batch.num_requested})
    drawn = _drawn(loaded, request, mix, batch.num_requested)
    candidates = [replace(one, generation=None) for one in drawn]  # no deployment has made them
    return Made(candidates=_numbered(candidates), missing=(), loaded=None)


def _own(batch: CandidateBatch, mix: CandidateMix) -> _Own:
    """Raises what ``slots`` raises where retrieval could not make up for our own model."""
    if OWN not in mix.counts:
        return _Own(loaded=None, error=None)
    try:
        return _Own(loaded=slots.ensure_for(batch.pk), error=None)
    except EngineError as error:
        if error.code not in NOTHING_LOADED or RETRIEVAL not in mix.counts:
            raise
        return _Own(loaded=None, error=error)


def _found(
    request: CandidateRequest, mix: CandidateMix, *, wanted: int, own: _Own
) -> tuple[list[NewCandidate], str]:
    """Meshes out of the library, and why they are fewer than asked for; all that is wanted when our model is away."""
    count = mix.counts.get(RETRIEVAL, 0)
    if not count:
        return [], ""
    count = count if own.loaded is not None else wanted
    try:
        found = sources.retrieved(request, count=count)
    except sources.SourceUnusable as error:
        log.warning("retrieval gives nothing: %s", error.message)
        return [], error.message
    made = stored_candidates(found, source=RETRIEVAL)
    return made, "" if len(made) == count else f"the library has {len(made)} meshes"


def _drawn(loaded: Loaded, request: CandidateRequest, mix: CandidateMix, count: int) -> list[NewCandidate]:
    try:
        made = drawing.drawn(loaded.serving.pipeline, request, mix=mix, count=count)
    except SamplingFailed as failed:
        raise EngineError(f"The checkpoint gave no finite numbers: {failed}", code=failed.code) from failed
    return stored_candidates(
        made, source=OWN, checkpoint_id=loaded.checkpoint_id, generation=loaded.generation
    )


def _short(mix: CandidateMix, source: str, *, made: int, why: str) -> Missing:
    return Missing(source=source, asked=mix.counts[source], made=made, why=why)


def _told(missing: Sequence[Missing]) -> str:
    return "; ".join(f"{one.source} gave {one.made} of {one.asked} ({one.why})" for one in missing)


def _numbered(everything: Sequence[NewCandidate]) -> list[NewCandidate]:
    return [replace(one, index=index) for index, one in enumerate(everything)]
