"""Gives people work under leases that end: claim, keep, let go, skip, save a draft, and take back what ran out."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import JSONObject

from engine import access, events
from engine.errors import BadInput, DraftConflict, LeaseLost, NotFound, StaleTransition
from engine.models import AnnotationTask, Assignment, Membership, Project, Standing
from engine.ranking.pausing import GOLD
from engine.ranking.sequential import share_of_gold
from engine.selectors import queues
from engine.selectors.guidelines import must_pass_quiz, must_read
from engine.selectors.queues import NothingToClaim
from engine.services import lease_sql, quizzes, standings
from engine.services.tasks import announce_queue
from engine.states import IS_ANSWERED, AssignmentStatus, Role, Stage, StandingStatus
from engine.transitions import Actor, Move, transition_together

ATTEMPTS = 4
SWEEP_BATCH = 200
MAX_DRAFT_CHARS = 8_000_000
BEAT = Actor(name="beat")
PAUSED = NothingToClaim(reason="paused", retry_after_s=30)

__all__ = [
    "NothingToClaim",
    "announce_expired",
    "claim",
    "expire_leases",
    "heartbeat",
    "release",
    "save_draft",
    "skip",
]


def claim(
    *,
    user_id: int,
    project_id: int,
    stage: Stage,
    prefetch: bool = False,
    again: UUID | None = None,
    quiz: bool = False,
    now: datetime,
    draw: random.Random | None = None,
) -> Assignment | NothingToClaim:
    """The person's live lease of the stage, or the next open task leased to them, or why there is none.

    ``again`` names an assignment that they let go or lost: its task comes first if it can still be had. With
    ``prefetch`` a second lease is taken beside the live one; a later claim without it makes that one the live one.
    Taking a task is one statement, so two people never get one slot. Raises NotFound for strangers.

    New work is refused until the person has read the newest guidelines and passed the entry quiz; with ``quiz`` they
    get its next question instead, drawn by ``draw``. Work in hand is finished under the guidelines it began with.
    Some new work is hidden gold, as ``draw`` decides; who is wrong on it too often is paused here and now.
    """
    draw = draw or random.SystemRandom()
    for _ in range(ATTEMPTS):
        desk = _desk(user_id=user_id, project_id=project_id, stage=stage)
        if not desk.roles & (access.MAY_ANNOTATE | access.ALWAYS):
            return NothingToClaim(reason="not_qualified", retry_after_s=60)
        if desk.project.paused or desk.is_paused:
            return PAUSED
        closed = desk.closed_because(prefetch=prefetch, now=now)
        try:
            if closed == quizzes.QUIZ_NEEDED and quiz and not prefetch:
                return _question(desk, user_id=user_id, stage=stage, now=now, draw=draw)
            if closed is not None:
                return NothingToClaim(reason=closed, retry_after_s=quizzes.RETRY_S)
            with transaction.atomic():
                if standings.is_caught(desk.gold.outcomes):
                    standings.pause_caught(
                        project_id=project_id,
                        user_id=user_id,
                        stage=stage,
                        outcomes=desk.gold.outcomes,
                        now=now,
                    )
                    return PAUSED
                held = _claim_once(
                    desk, user_id=user_id, stage=stage, prefetch=prefetch, again=again, now=now, draw=draw
                )
        except (IntegrityError, _Overtaken):
            continue  # another request of the same person was faster: its lease is now theirs
        return held or queues.why_nothing(user_id=user_id, project_id=project_id, stage=stage)
    raise StaleTransition("Another window is claiming at the same time; try again.")


def heartbeat(*, user_id: int, assignment: UUID, lease_token: UUID, now: datetime) -> datetime:
    """Moves the end of a live lease away and returns it; raises LeaseLost otherwise."""
    held = _own(user_id=user_id, assignment=assignment)
    expires_at = now + timedelta(seconds=held.project.lease_seconds)
    if _live(held, lease_token=lease_token, now=now).update(expires_at=expires_at) != 1:
        raise _lost()
    return expires_at


def release(*, user_id: int, assignment: UUID, lease_token: UUID, now: datetime) -> Assignment:
    """Lets go of the task; the draft stays for when the same person takes it up again. Twice is once."""
    return _let_go(user_id, assignment, lease_token, AssignmentStatus.RELEASED, reason="", now=now)


def skip(*, user_id: int, assignment: UUID, lease_token: UUID, reason: str, now: datetime) -> Assignment:
    """Gives the task to others for good: this person is never offered it again. Twice is once."""
    if len(reason) > 200:
        raise BadInput(f"The reason must be at most 200 characters, not {len(reason)}.")
    if Assignment.objects.filter(uuid=assignment, annotator_id=user_id, question__isnull=False).exists():
        raise BadInput("A question of the quiz cannot be skipped: answer it as well as you can.")
    return _let_go(user_id, assignment, lease_token, AssignmentStatus.SKIPPED, reason=reason, now=now)


def save_draft(
    *, user_id: int, assignment: UUID, lease_token: UUID, draft: dict[str, Any], version: int, now: datetime
) -> int:
    """Stores the draft over ``version`` and returns the new version.

    Raises DraftConflict when another window saved a newer one. Raises LeaseLost when the lease is gone; the draft is
    kept even then, unless it is older than what is there or the work was submitted.
    """
    _check_draft(draft)
    held = _own(user_id=user_id, assignment=assignment)
    live = _live(held, lease_token=lease_token, now=now)
    changes: dict[str, Any] = {"draft": draft, "draft_version": version + 1}
    if live.filter(draft_version=version).update(**changes) == 1:
        return version + 1
    if live.exists():
        raise DraftConflict(
            f"Another window saved a newer draft than version {version}: load the newest before going on."
        )
    unfinished = Assignment.objects.filter(pk=held.pk, draft_version=version)
    unfinished.exclude(status__in=IS_ANSWERED).update(**changes)
    raise _lost()


def expire_leases(*, now: datetime) -> int:
    """Takes back the leases that ran out, a batch per statement, passing over rows others hold. Their number."""
    total = 0
    while True:
        with transaction.atomic():
            ended = lease_sql.expire(now=now, limit=SWEEP_BATCH, by=BEAT)
            announce_expired(ended)
        total += len(ended)
        if len(ended) < SWEEP_BATCH:
            return total


def announce_expired(ended: list[lease_sql.Expired]) -> None:
    """Tells the watchers which leases ran out and which queues grew."""
    for gone in ended:
        events.publish(
            project_id=gone.project_id,
            kind="assignment.changed",
            id=str(gone.uuid),
            status=AssignmentStatus.EXPIRED.value,
        )
    for project_id, stage in {(gone.project_id, gone.stage) for gone in ended}:
        announce_queue(project_id=project_id, stage=stage)


@dataclass(frozen=True, kw_only=True)
class _Gold:
    """How the person did on hidden gold of the stage, which of it they let go, and whether there is more for them."""

    outcomes: tuple[bool, ...]
    let_go: frozenset[UUID]
    is_left: bool

    def is_wanted(self, project: Project, *, again: UUID | None, draw: random.Random) -> bool:
        """Whether the next new work is gold: always again what was let go, else as often as the evidence asks for."""
        if self.let_go:
            return again is None or again in self.let_go
        if not self.is_left:
            return False
        share = share_of_gold(
            self.outcomes, test=GOLD, floor=project.gold_floor, ceiling=project.gold_ceiling
        )
        return draw.random() < share


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """What a claim must know first: the project, the person's roles, their leases, and what bars the stage."""

    project: Project
    roles: frozenset[Role]
    is_paused: bool  # the person, until a lead looks
    leases: tuple[tuple[int, bool, datetime], ...]  # id, prefetched, expires_at
    questions: frozenset[int]  # the leases that are questions of a quiz
    must_read: bool
    must_pass_quiz: bool
    gold: _Gold

    def closed_because(self, *, prefetch: bool, now: datetime) -> str | None:
        """Why this person gets no new work of the stage, or None; work in hand is no new work."""
        in_hand = {pk for pk, prefetched, end in self.leases if not prefetched and end > now} - self.questions
        if in_hand and not prefetch:
            return None
        if self.must_read:
            return "guidelines_changed"
        return quizzes.QUIZ_NEEDED if self.must_pass_quiz else None


def _desk(*, user_id: int, project_id: int, stage: Stage) -> _Desk:
    """All of it in one statement; raises NotFound for strangers."""
    mine = Membership.objects.filter(user_id=user_id, project_id=OuterRef("pk")).values("role")
    held = Assignment.objects.filter(
        annotator_id=user_id, project_id=OuterRef("pk"), stage=stage, status=AssignmentStatus.LEASED
    ).values(
        row=JSONObject(id="id", prefetched="prefetched", expires_at="expires_at", question="question_id")
    )
    stopped = Standing.objects.filter(
        user_id=user_id, project_id=OuterRef("pk"), status=StandingStatus.PAUSED
    )
    project = (
        Project.objects.annotate(
            my_roles=ArraySubquery(mine),
            my_leases=ArraySubquery(held),
            i_am_paused=Exists(stopped),
            must_read=must_read(user_id=user_id, stage=stage),
            must_pass_quiz=must_pass_quiz(user_id=user_id, stage=stage),
            my_gold=lease_sql.gold_of(user_id=user_id, project_id=project_id, stage=stage),
        )
        .filter(pk=project_id)
        .first()
    )
    if project is None or not project.my_roles:
        raise NotFound("There is no such project, or you are not a member of it.")
    return _Desk(
        project=project,
        roles=frozenset(Role(role) for role in project.my_roles),
        is_paused=project.i_am_paused,
        leases=tuple(
            (row["id"], row["prefetched"], datetime.fromisoformat(row["expires_at"]))
            for row in project.my_leases
        ),
        questions=frozenset(row["id"] for row in project.my_leases if row["question"] is not None),
        must_read=project.must_read,
        must_pass_quiz=project.must_pass_quiz,
        gold=_Gold(
            outcomes=tuple(project.my_gold["outcomes"]),
            let_go=frozenset(map(UUID, project.my_gold["let_go"])),
            is_left=project.my_gold["is_left"],
        ),
    )


def _question(
    desk: _Desk, *, user_id: int, stage: Stage, now: datetime, draw: random.Random
) -> Assignment | NothingToClaim:
    """The next question of the quiz, after leases that ran out have been taken back."""
    with transaction.atomic():
        if any(end <= now for _, _, end in desk.leases):
            announce_expired(lease_sql.expire(now=now, limit=len(desk.leases), by=BEAT, annotator_id=user_id))
        return quizzes.next_question(user_id=user_id, project=desk.project, stage=stage, now=now, draw=draw)


def _claim_once(
    desk: _Desk,
    *,
    user_id: int,
    stage: Stage,
    prefetch: bool,
    again: UUID | None,
    now: datetime,
    draw: random.Random,
) -> Assignment | None:
    project = desk.project
    expires_at = now + timedelta(seconds=project.lease_seconds)
    live = {prefetched: pk for pk, prefetched, end in desk.leases if end > now}
    if prefetch in live:
        return _of_project(
            Assignment.objects.filter(pk=live[prefetch], status=AssignmentStatus.LEASED).first(), project
        )
    if len(live) < len(desk.leases):
        announce_expired(lease_sql.expire(now=now, limit=len(desk.leases), by=BEAT, annotator_id=user_id))
    lease: dict[str, Any] = {
        "user_id": user_id,
        "project_id": project.pk,
        "stage": stage,
        "prefetch": prefetch,
        "now": now,
        "expires_at": expires_at,
        "by": Actor(user_id=user_id),
    }
    is_gold_again = again in desk.gold.let_go
    taken = lease_sql.take(again=again, **lease) if again is not None and not is_gold_again else None
    if taken is None and not prefetch and True in live and not is_gold_again:
        return _of_project(_promote(live[True], expires_at=expires_at, now=now), project)
    if taken is None and desk.gold.is_wanted(project, again=again, draw=draw):
        taken = lease_sql.take_gold(**lease)
    taken = taken or lease_sql.take(**lease)
    if taken is not None:
        events.publish_change(taken)
        announce_queue(project_id=project.pk, stage=stage)
        _of_project(taken, project)
    return taken


def _promote(pk: int, *, expires_at: datetime, now: datetime) -> Assignment | None:
    """Makes the prefetched lease the live one; None when it ended in the meantime."""
    waiting = Assignment.objects.filter(
        pk=pk, status=AssignmentStatus.LEASED, prefetched=True, expires_at__gt=now
    )
    if waiting.update(prefetched=False, expires_at=expires_at) != 1:
        return None
    promoted = Assignment.objects.get(pk=pk)
    events.publish_change(promoted)
    return promoted


def _of_project(held: Assignment | None, project: Project) -> Assignment:
    """The row with its project at hand; another request's change of it asks for another look."""
    if held is None:
        raise _Overtaken
    held.project = project
    return held


class _Overtaken(Exception):
    """Another request of the same person changed their leases in the meantime."""


def _let_go(
    user_id: int, assignment: UUID, lease_token: UUID, to: AssignmentStatus, *, reason: str, now: datetime
) -> Assignment:
    held = _own(user_id=user_id, assignment=assignment)
    if held.status == to and held.lease_token == lease_token:
        return held
    if held.status != AssignmentStatus.LEASED:
        raise _lost()
    move = Move(
        row=held,
        to=to,
        changes={"ended_at": now, "reason": reason},
        guard={"lease_token": lease_token, "expires_at__gt": now},
        reason=reason,
    )
    try:
        with transaction.atomic():
            transition_together([move], by=Actor(user_id=user_id))
            if held.is_work:
                AnnotationTask.objects.filter(pk=held.task_id).update(open_slots=F("open_slots") + 1)
            announce_queue(project_id=held.project_id, stage=held.stage)
    except StaleTransition as error:
        raise _lost() from error
    return held


def _own(*, user_id: int, assignment: UUID) -> Assignment:
    held = Assignment.objects.select_related("project").filter(uuid=assignment, annotator_id=user_id).first()
    if held is None:
        raise NotFound("There is no such assignment of yours.")
    return held


def _check_draft(draft: dict[str, Any]) -> None:
    """Raises BadInput for what PostgreSQL's JSON cannot hold, or nobody should send."""
    try:
        text = json.dumps(draft, allow_nan=False)
    except ValueError as error:
        raise BadInput("A draft must be plain JSON: its numbers must be finite.") from error
    if "\\u0000" in text:
        raise BadInput("A draft must not contain the character U+0000.")
    if len(text) > MAX_DRAFT_CHARS:
        raise BadInput(f"A draft may have {MAX_DRAFT_CHARS} characters of JSON at most, not {len(text)}.")


def _live(held: Assignment, *, lease_token: UUID, now: datetime) -> Any:
    return Assignment.objects.filter(
        pk=held.pk, status=AssignmentStatus.LEASED, lease_token=lease_token, expires_at__gt=now
    )


def _lost() -> LeaseLost:
    return LeaseLost("Your lease on this task has ended. Your draft is kept: claim again to go on with it.")
