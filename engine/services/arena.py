"""Lets checkpoints meet blind: draws targets and matches, gives each to one person, takes the answer once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine import access
from engine.errors import BadInput, IdempotencyConflict, LeaseLost, NotFound, StaleTransition
from engine.models import (
    Arena,
    ArenaMatch,
    CandidateBatch,
    Checkpoint,
    Project,
    Standing,
)
from engine.selectors.arena_match import matches_for
from engine.services.arena_pairs import add_matches, ask, cancel, first_of_each, plainly_drawn, plan
from engine.services.arena_targets import candidates_on_confirmed, drawn, shown_by_all
from engine.states import (
    ArenaStatus,
    BatchStatus,
    CheckpointStatus,
    MatchStatus,
    StandingStatus,
)
from engine.transitions import Actor, record_creation, transition

#: How long a person may look at a pair before somebody else gets it.
CLAIM = timedelta(minutes=10)
MOST_MATCHES = 20_000
MOST_MADE = 2_000
ATTEMPTS = 4
MAX_SECONDS = 86_400.0


def open_arena(
    *,
    project_id: int,
    name: str,
    checkpoint_ids: Sequence[int],
    votes: int,
    seed: int,
    actor: Actor,
    target_ids: Sequence[int] | None = None,
    num_targets: int | None = None,
) -> Arena:
    """Opens an arena: every pair of the checkpoints on every target, ``votes`` times, in random order and sides.

    The targets are frozen here: those given, or ``num_targets`` drawn by the seed out of what may be shown, and
    candidates that a checkpoint lacks on them are asked of it; or, with neither, all confirmed ones of which every
    checkpoint has a candidate already. Of what is there each checkpoint shows its first candidate.

    Raises BadInput for fewer than two checkpoints, ``checkpoint_refused`` for one that failed its check,
    ``nothing_to_show`` when there is no such target, ``bad_targets`` for given ones that may not be shown.
    """
    wanted = sorted(set(checkpoint_ids))
    if len(wanted) < 2:
        raise BadInput("An arena needs two checkpoints or more.", code="too_few_checkpoints")
    if not 1 <= votes <= 20:
        raise BadInput(f"Each pair may be shown 1 to 20 times, not {votes}.")
    if not 0 < len(name.strip()) <= 120:
        raise BadInput("Name the arena in 1 to 120 characters.")
    if not Project.objects.filter(pk=project_id).exists():
        raise NotFound("There is no such project.")
    known = Checkpoint.objects.in_bulk(wanted)
    if len(known) != len(wanted):
        raise NotFound("There is no such checkpoint.")
    _refuse_unusable(list(known.values()))
    if target_ids is None and num_targets is None:
        shown = shown_by_all(project_id, list(known.values()))
        targets = sorted(shown)
    else:
        targets = drawn(project_id, target_ids, num_targets, seed=seed)
        there = candidates_on_confirmed(project_id, wanted).filter(target_id__in=targets)
        shown = first_of_each(plainly_drawn(there))
    missing = [
        (target, checkpoint)
        for target in targets
        for checkpoint in wanted
        if checkpoint not in shown.get(target, {})
    ]
    _refuse_too_many(len(targets) * math.comb(len(wanted), 2) * votes, to_make=len(missing))
    with transaction.atomic():
        arena = Arena.objects.create(
            project_id=project_id,
            name=name.strip(),
            seed=seed,
            votes=votes,
            target_ids=targets,
            opened_by_id=actor.user_id,
        )
        arena.checkpoints.set(wanted)
        record_creation(arena, by=actor)
        planned = plan(seed=seed, target_ids=targets, checkpoint_ids=wanted, votes=votes)
        add_matches(arena, planned, there=shown, by=actor)
        ask(arena, missing=missing, there=shown, by=actor)
    return arena


def close_arena(*, arena_id: int, actor: Actor) -> Arena:
    """No more matches are given, and no more candidates made; what was claimed may still be answered."""
    with transaction.atomic():
        unmade = CandidateBatch.objects.select_for_update().filter(arena_id=arena_id)
        # Before the arena, as a worker that completes a batch locks them.
        held = list(unmade.exclude(status__in=[BatchStatus.READY, BatchStatus.WITHDRAWN]).order_by("pk"))
        arena = Arena.objects.select_for_update().filter(pk=arena_id).first()
        if arena is None:
            raise NotFound("There is no such arena.")
        transition(arena, ArenaStatus.CLOSED, by=actor, changes={"closed_at": timezone.now()})
        cancel([batch for batch in held if batch.status != BatchStatus.FAILED], by=actor)
    return arena


def claim_match(
    *, project_id: int, user_id: int, now: datetime, without: Collection[UUID] = ()
) -> ArenaMatch | None:
    """The match the person holds, or the next one for them; None when there is none. ``without``: what they skipped.

    A person judges a pair of checkpoints on a target once. Raises NotFound for strangers, NoAccess for people without
    the role annotator or reviewer.
    """
    access.require(user_id=user_id, project_id=project_id, any_of=access.MAY_ANNOTATE | access.MAY_REVIEW)
    stopped = Standing.objects.filter(project_id=project_id, user_id=user_id, status=StandingStatus.PAUSED)
    if stopped.exists():
        return None
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                held = _own_claim(project_id, user_id, now) or _take(project_id, user_id, now, without)
        except (IntegrityError, StaleTransition):
            continue  # another window of the same person was faster
        return held
    raise StaleTransition("Another window is claiming at the same time; try again.")


def answer_match(
    *, match: UUID, user_id: int, outcome: str, seconds: float, key: str, now: datetime
) -> ArenaMatch:
    """Records the choice; a repeat under the same key changes nothing and gives the same.

    Raises NotFound for a match of somebody else, LeaseLost when it was given to another person meanwhile,
    IdempotencyConflict for a second answer under another key, BadInput for an unknown outcome.
    """
    if outcome not in ArenaMatch.Outcome.values:
        raise BadInput(f"An outcome must be one of {', '.join(ArenaMatch.Outcome.values)}, not {outcome!r}.")
    if not 0 < len(key) <= 80:
        raise BadInput("Send an Idempotency-Key of 1 to 80 characters; a UUID is right.")
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise BadInput(f"seconds must be between 0 and {MAX_SECONDS:.0f}, not {seconds}.")
    with transaction.atomic():
        held = ArenaMatch.objects.select_for_update(of=["self"]).filter(uuid=match).first()
        if held is None or held.annotator_id != user_id:
            raise NotFound("There is no such match of yours.")
        if held.status == MatchStatus.ANSWERED:
            if held.answer_key != key:
                raise IdempotencyConflict("This match was answered already, under another Idempotency-Key.")
            return held
        if held.status != MatchStatus.CLAIMED or (
            held.claimed_until is not None and held.claimed_until <= now
        ):
            raise LeaseLost("Your time for this pair has run out: claim again.")
        transition(
            held,
            MatchStatus.ANSWERED,
            by=Actor(user_id=user_id),
            changes={"outcome": outcome, "seconds": seconds, "answer_key": key, "answered_at": now},
        )
    return held


def skip_match(*, match: UUID, user_id: int) -> ArenaMatch:
    """Gives the match back to the others unanswered; twice is once. Raises NotFound for a match that is not theirs."""
    with transaction.atomic():
        held = ArenaMatch.objects.select_for_update(of=["self"]).filter(uuid=match).first()
        if held is None or held.annotator_id not in (user_id, None):
            raise NotFound("There is no such match of yours.")
        access.require(
            user_id=user_id, project_id=held.project_id, any_of=access.MAY_ANNOTATE | access.MAY_REVIEW
        )
        if held.status == MatchStatus.ANSWERED:
            raise IdempotencyConflict("This match was answered already.")
        if held.status == MatchStatus.CLAIMED:
            _release(held, by=Actor(user_id=user_id), reason="skipped")
    return held


def _refuse_unusable(checkpoints: Sequence[Checkpoint]) -> None:
    refused = [each for each in checkpoints if each.status == CheckpointStatus.REFUSED]
    if refused:
        why = "; ".join(f"{each.name} ({each.detail or 'it was refused'})" for each in refused)
        raise BadInput(
            f"Checkpoints that failed their check make no candidates: {why}. Choose others.",
            code="checkpoint_refused",
        )


def _refuse_too_many(num_matches: int, *, to_make: int) -> None:
    if num_matches > MOST_MATCHES:
        raise BadInput(f"These would be {num_matches} matches, more than {MOST_MATCHES}: take fewer targets.")
    if to_make > MOST_MADE:
        raise BadInput(
            f"{to_make} candidates would have to be made, more than {MOST_MADE}: take fewer targets."
        )


def _own_claim(project_id: int, user_id: int, now: datetime) -> ArenaMatch | None:
    """What the person holds; a claim that ran out goes back to the others."""
    held = (
        ArenaMatch.objects.select_for_update(of=["self"])
        .filter(
            project_id=project_id,
            annotator_id=user_id,
            status=MatchStatus.CLAIMED,
            arena__status=ArenaStatus.OPEN,
        )
        .first()
    )
    if held is None or (held.claimed_until is not None and held.claimed_until > now):
        return held
    _release(held, by=Actor(user_id=user_id))
    return None


def _take(project_id: int, user_id: int, now: datetime, without: Collection[UUID]) -> ArenaMatch | None:
    waiting = matches_for(project_id=project_id, user_id=user_id, now=now, without=without)
    match = waiting.select_for_update(skip_locked=True, of=["self"]).first()
    if match is None:
        return None
    by = Actor(user_id=user_id)
    if match.status == MatchStatus.CLAIMED:
        _release(match, by=by)
    transition(
        match, MatchStatus.CLAIMED, by=by, changes={"annotator_id": user_id, "claimed_until": now + CLAIM}
    )
    return match


def _release(match: ArenaMatch, *, by: Actor, reason: str = "not answered in time") -> None:
    transition(
        match,
        MatchStatus.WAITING,
        by=by,
        reason=reason,
        changes={"annotator_id": None, "claimed_until": None},
    )
