"""Pauses people whose judgements are off, and lets a lead take them back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from engine.errors import BadInput, NotFound
from engine.models import Assignment, Membership, Project, Selection, Standing
from engine.ranking.pausing import GOLD, reason_on_gold
from engine.ranking.sequential import Verdict
from engine.selectors.annotators import Gold, quality_figures
from engine.services.overlap import widen_overlap
from engine.states import Stage, StandingStatus
from engine.transitions import Actor, record_creation, transition

WATCH = Actor(name="quality watch")
LATELY = timedelta(days=1)


def pause_person(*, project_id: int, user_id: int, reason: str, actor: Actor, now: datetime) -> Standing:
    """The person gets no more work in the project until somebody resumes them; what they hold they may end.

    Twice is once. Raises NotFound for somebody who is not in the project, BadInput without a reason.
    """
    if not 0 < len(reason.strip()) <= 300:
        raise BadInput("Say why in 1 to 300 characters: the person and the lead will want to know.")
    with transaction.atomic():
        standing = _locked(project_id=project_id, user_id=user_id, actor=actor, now=now)
        if standing.status != StandingStatus.PAUSED:
            transition(
                standing,
                StandingStatus.PAUSED,
                by=actor,
                reason=reason,
                changes={"reason": reason.strip(), "changed_at": now},
            )
    return standing


def resume_person(*, project_id: int, user_id: int, reason: str, actor: Actor, now: datetime) -> Standing:
    """The person gets work again; twice is once. The watch pauses them again only on new evidence."""
    with transaction.atomic():
        standing = _locked(project_id=project_id, user_id=user_id, actor=actor, now=now)
        if standing.status != StandingStatus.ACTIVE:
            transition(
                standing,
                StandingStatus.ACTIVE,
                by=actor,
                reason=reason,
                changes={"reason": reason.strip()[:300], "changed_at": now},
            )
    return standing


def pause_unreliable(*, project_id: int, now: datetime, gold: Gold | None = None) -> list[Standing]:
    """Pauses everybody whose evidence asks for it, and tells whom.

    Somebody whom a lead resumed is left alone: the lead saw this evidence, and new gold will tell.
    """
    figures = quality_figures(project_id, gold=gold)
    known = set(Standing.objects.filter(project_id=project_id).values_list("user_id", flat=True))
    members = set(Membership.objects.filter(project_id=project_id).values_list("user_id", flat=True))
    paused = []
    for person in figures.people:
        if person.must_pause and person.user_id in members - known:
            known.add(person.user_id)
            paused.append(
                pause_person(
                    project_id=project_id,
                    user_id=person.user_id,
                    reason=f"Stage {person.stage}: {person.must_pause}"[:300],
                    actor=WATCH,
                    now=now,
                )
            )
    return paused


def is_caught(outcomes: Sequence[bool]) -> bool:
    """Whether marks on gold of one stage, oldest first, say that the person is not honest."""
    return GOLD.verdict(outcomes) == Verdict.BAD


def pause_caught(
    *, project_id: int, user_id: int, stage: Stage, outcomes: Sequence[bool], now: datetime
) -> Standing:
    """Pauses somebody whose marks on hidden gold since anybody last looked at them ask for it.

    Must run inside a transaction; IntegrityError when another request made the person's first standing meanwhile.
    """
    standing = Standing.objects.filter(project_id=project_id, user_id=user_id).first()
    if standing is None:
        standing = Standing.objects.create(project_id=project_id, user_id=user_id, changed_at=now)
        record_creation(standing, by=WATCH)
    if standing.status != StandingStatus.PAUSED:
        reason = f"Stage {stage.value}: {reason_on_gold(outcomes)}"
        changes = {"reason": reason, "changed_at": now}
        transition(standing, StandingStatus.PAUSED, by=WATCH, reason=reason, changes=changes)
    return standing


def watch(*, now: datetime) -> None:
    """In every project with picks or gold of the last day: pauses unreliable people, asks again what is unsettled."""
    picks = Selection.objects.filter(created_at__gte=now - LATELY).values("project_id")
    gold = Assignment.objects.filter(gold__isnull=False, ended_at__gte=now - LATELY).values("project_id")
    busy = Project.objects.filter(Q(pk__in=picks) | Q(pk__in=gold), paused=False)
    for project_id in busy.values_list("pk", flat=True):
        pause_unreliable(project_id=project_id, now=now)
        widen_overlap(project_id=project_id, actor=WATCH)


def _locked(*, project_id: int, user_id: int, actor: Actor, now: datetime) -> Standing:
    """The person's standing, made when there is none, under the project's lock."""
    if Project.objects.select_for_update().filter(pk=project_id).first() is None:
        raise NotFound("There is no such project.")
    if not Membership.objects.filter(project_id=project_id, user_id=user_id).exists():
        raise NotFound("This person is not a member of the project.")
    standing, is_new = Standing.objects.get_or_create(
        project_id=project_id, user_id=user_id, defaults={"changed_at": now}
    )
    if is_new:
        record_creation(standing, by=actor)
    return standing
