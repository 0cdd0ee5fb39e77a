"""The entry quiz of a stage: its rules, the next question of a person's attempt, and the answer's mark."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from engine.errors import BadInput
from engine.models import (
    Assignment,
    GoldAnswer,
    GoldItem,
    Project,
    Quiz,
    QuizAttempt,
    QuizQuestion,
)
from engine.selectors.guidelines import may_begin_at
from engine.selectors.queues import NothingToClaim
from engine.services import gold
from engine.services.own_work import OwnWork
from engine.states import AssignmentStatus, QuizAttemptStatus, Stage
from engine.transitions import Actor, Move, record_creation, transition

QUIZ_NEEDED = "quiz_needed"
#: Nothing changes by waiting: the person must act.
RETRY_S = 3600


@dataclass(frozen=True, kw_only=True)
class Marked:
    """An answer to be told and the rows that move with it."""

    answer: dict[str, Any]
    moves: list[Move]


def set_rules(
    *, project_id: int, stage: Stage, is_on: bool, num_questions: int, num_needed: int, pause_seconds: int
) -> Quiz:
    """Sets the stage's quiz. Raises BadInput for one that nobody could pass, or that has too few gold tasks."""
    if not 1 <= num_needed <= num_questions <= 50:
        raise BadInput("Of 1 to 50 questions, at least one and at most all must be right.")
    if not 0 <= pause_seconds <= 86_400:
        raise BadInput("The pause is at most a day.")
    live = GoldItem.objects.filter(project_id=project_id, stage=stage, retired_at__isnull=True).count()
    if is_on and live < num_questions:
        raise BadInput(
            f"The quiz asks {num_questions} questions, and the stage has {live} gold tasks; make more first."
        )
    quiz, _ = Quiz.objects.update_or_create(
        project_id=project_id,
        stage=stage,
        defaults={
            "is_on": is_on,
            "num_questions": num_questions,
            "num_needed": num_needed,
            "pause_seconds": pause_seconds,
        },
    )
    return quiz


def next_question(
    *, user_id: int, project: Project, stage: Stage, now: datetime, draw: random.Random
) -> Assignment | NothingToClaim:
    """A lease on the next unanswered question of the person's attempt, which begins now if none is open.

    ``draw`` chooses the questions. NothingToClaim during the pause after a failure, or when gold ran out.
    """
    quiz = Quiz.objects.filter(project=project, stage=stage, is_on=True).first()
    if quiz is None:
        return NothingToClaim(reason="empty", retry_after_s=1)
    with transaction.atomic():
        attempt = _open_attempt(quiz, user_id=user_id, now=now, draw=draw)
        if isinstance(attempt, NothingToClaim):
            return attempt
        question = attempt.questions.select_related("gold").filter(answer__isnull=True).first()
        assert question is not None, "an attempt ends with the answer to its last question"
        return _lease(question, project=project, user_id=user_id, now=now)


def mark(work: OwnWork, sent: Mapping[str, Any], *, now: datetime) -> Marked:
    """Records the answer to a question, inside the caller's transaction; the last one ends the attempt.

    The answer says whether it was right and why; nothing of it is a judgement.
    """
    held = work.row
    assert held.question_id is not None, "only a question is marked"
    question = QuizQuestion.objects.select_related("gold", "attempt").get(pk=held.question_id)
    given = gold.mark(work, question.gold, sent)
    attempt = question.attempt
    GoldAnswer.objects.create(
        question=question, assignment=held, is_right=given.is_right, figures=given.figures
    )
    num_right = attempt.num_right + given.is_right
    is_last = question.order == attempt.num_questions - 1
    moves = []
    if is_last:
        is_passed = num_right >= attempt.num_needed
        moves.append(
            Move(
                row=attempt,
                to=QuizAttemptStatus.PASSED if is_passed else QuizAttemptStatus.FAILED,
                changes={"num_right": num_right, "ended_at": now},
                guard={"num_right": attempt.num_right},
                reason=f"{num_right} of {attempt.num_questions} right",
            )
        )
    else:
        QuizAttempt.objects.filter(pk=attempt.pk).update(num_right=num_right)
    told = {
        "is_right": given.is_right,
        "why": question.gold.why,
        "figures": given.figures,
        "reference": given.reference,
        "number": question.order + 1,
        "num_questions": attempt.num_questions,
        "num_needed": attempt.num_needed,
        "num_right": num_right,
        "is_over": is_last,
        "is_passed": is_last and num_right >= attempt.num_needed,
    }
    return Marked(answer={"quiz": told}, moves=moves)


def _open_attempt(
    quiz: Quiz, *, user_id: int, now: datetime, draw: random.Random
) -> QuizAttempt | NothingToClaim:
    # The quiz's row is the lock: two windows of one person begin one attempt.
    Quiz.objects.select_for_update().get(pk=quiz.pk)
    mine = QuizAttempt.objects.filter(quiz=quiz, annotator_id=user_id)
    attempt = mine.filter(status=QuizAttemptStatus.OPEN).first()
    if attempt is not None:
        return attempt
    begin = may_begin_at(quiz, mine.order_by("-pk").first())
    if begin is not None and begin > now:
        return NothingToClaim(reason=QUIZ_NEEDED, retry_after_s=max(1, round((begin - now).total_seconds())))
    live = GoldItem.objects.filter(project_id=quiz.project_id, stage=quiz.stage, retired_at__isnull=True)
    ids = list(live.order_by("pk").values_list("pk", flat=True))
    if len(ids) < quiz.num_needed:
        return NothingToClaim(reason="empty", retry_after_s=60)
    chosen = draw.sample(ids, min(quiz.num_questions, len(ids)))
    attempt = QuizAttempt.objects.create(
        project_id=quiz.project_id,
        quiz=quiz,
        annotator_id=user_id,
        num_questions=len(chosen),
        num_needed=min(quiz.num_needed, len(chosen)),
        started_at=now,
    )
    QuizQuestion.objects.bulk_create(
        QuizQuestion(attempt=attempt, gold_id=gold_id, order=order) for order, gold_id in enumerate(chosen)
    )
    record_creation(attempt, by=Actor(user_id=user_id))
    return attempt


def _lease(question: QuizQuestion, *, project: Project, user_id: int, now: datetime) -> Assignment:
    """The question's one assignment, leased; what ran out or was released is taken up again, with its draft."""
    by = Actor(user_id=user_id)
    expires_at = now + timedelta(seconds=project.lease_seconds)
    held = question.assignments.select_for_update().first()
    if held is None:
        held = Assignment.objects.create(
            project=project,
            task_id=question.gold.task_id,
            annotator_id=user_id,
            stage=question.gold.stage,
            question=question,
            expires_at=expires_at,
        )
        record_creation(held, by=by)
    elif held.status != AssignmentStatus.LEASED:
        transition(held, AssignmentStatus.LEASED, by=by, changes={"expires_at": expires_at, "ended_at": None})
    elif held.expires_at <= now:
        Assignment.objects.filter(pk=held.pk).update(expires_at=expires_at)
        held.expires_at = expires_at
    held.project = project
    return held
