"""Rows of guidance and quality that must never be, by the constraint that refuses each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.models import (
    Arena,
    ArenaMatch,
    Assignment,
    CandidateBatch,
    GoldItem,
    GuidelineAcknowledgement,
    GuidelineExample,
    GuidelineVersion,
    Quiz,
    QuizAttempt,
    QuizQuestion,
    SampledReview,
    ShapeDescriptor,
    Standing,
)
from tests.factories import NOW, make_checkpoint

Write = Callable[[Any], Any]


def _twice(make: Write) -> Write:
    return lambda world: [make(world), make(world)]


def _version(world: Any, **changes: Any) -> GuidelineVersion:
    values = {"project": world.project, "stage": "pick", "number": 1}
    return GuidelineVersion.objects.create(**{**values, **changes})


def _published(world: Any, **changes: Any) -> GuidelineVersion:
    return _version(world, status="PUBLISHED", markdown="Look twice.", published_at=NOW, **changes)


def _example(world: Any, **changes: Any) -> GuidelineExample:
    values = {
        "project": world.project,
        "stage": "pick",
        "verdict": "good",
        "caption": "Round as in the photo.",
        "candidate": world.candidate,
    }
    return GuidelineExample.objects.create(**{**values, **changes})


def _acknowledged_twice(world: Any) -> None:
    version = _published(world)
    for _ in range(2):
        GuidelineAcknowledgement.objects.create(version=version, person=world.people.ana, at=NOW)


def _gold(world: Any, **changes: Any) -> GoldItem:
    values = {"project": world.project, "stage": "pick", "task": world.task, "answer": {}, "why": "It fits."}
    return GoldItem.objects.create(**{**values, **changes})


def _quiz(world: Any, **changes: Any) -> Quiz:
    return Quiz.objects.create(**{"project": world.project, "stage": "pick", **changes})


def _attempt(world: Any, **changes: Any) -> QuizAttempt:
    quiz = Quiz.objects.filter(project=world.project).first() or _quiz(world)
    values = {
        "project": world.project,
        "quiz": quiz,
        "annotator": world.people.ana,
        "num_questions": 2,
        "num_needed": 1,
        "started_at": NOW,
    }
    return QuizAttempt.objects.create(**{**values, **changes})


def _question_order_twice(world: Any) -> None:
    attempt, one, other = _attempt(world), _gold(world), _gold(world, retired_at=NOW)
    for gold in (one, other):
        QuizQuestion.objects.create(attempt=attempt, gold=gold, order=0)


def _question_gold_twice(world: Any) -> None:
    attempt, gold = _attempt(world), _gold(world)
    for order in range(2):
        QuizQuestion.objects.create(attempt=attempt, gold=gold, order=order)


def _question_asked_twice(world: Any) -> None:
    question = QuizQuestion.objects.create(attempt=_attempt(world), gold=_gold(world), order=0)
    for prefetched in (False, True):
        Assignment.objects.create(
            project=world.project,
            task=world.task,
            annotator=world.people.rev,
            stage="pick",
            expires_at=NOW,
            question=question,
            prefetched=prefetched,
        )


def _hidden(world: Any, **changes: Any) -> Assignment:
    values = {
        "project": world.project,
        "task": world.task,
        "annotator": world.people.rev,
        "stage": "pick",
        "expires_at": NOW,
        "gold": GoldItem.objects.first() or _gold(world),
    }
    return Assignment.objects.create(**{**values, **changes})


def _hidden_and_asked(world: Any) -> None:
    _hidden(world, question=QuizQuestion.objects.create(attempt=_attempt(world), gold=_gold(world), order=0))


def _standing(world: Any, **changes: Any) -> Standing:
    values = {"project": world.project, "user": world.people.ana, "changed_at": NOW}
    return Standing.objects.create(**{**values, **changes})


def _review(world: Any, **changes: Any) -> SampledReview:
    values = {"project": world.project, "assignment": world.held, "risk": 1.0, "because": "by chance"}
    return SampledReview.objects.create(**{**values, **changes})


def _decided(world: Any, **changes: Any) -> SampledReview:
    return _review(world, reviewer=world.people.rev, decided_at=NOW, **changes)


def _arena(world: Any) -> Arena:
    arena = Arena.objects.filter(project=world.project).first()
    return arena or Arena.objects.create(project=world.project, name="arena", seed=1)


def _asked(world: Any, **changes: Any) -> CandidateBatch:
    values = {
        "project": world.project,
        "target": world.target,
        "arena": _arena(world),
        "checkpoint": world.checkpoint,
        "num_requested": 1,
        "seed": 1,
    }
    return CandidateBatch.objects.create(**{**values, **changes})


def _match(world: Any, **changes: Any) -> ArenaMatch:
    values = {
        "project": world.project,
        "arena": _arena(world),
        "target": world.target,
        "place": 0,
        "left": world.candidate,
        "right": world.other,
        "left_checkpoint": world.checkpoint,
        "right_checkpoint": make_checkpoint(),
    }
    return ArenaMatch.objects.create(**{**values, **changes})


def _claimed_twice(world: Any) -> None:
    for place in range(2):
        _match(world, place=place, status="CLAIMED", annotator=world.people.ana, claimed_until=NOW)


IMPOSSIBLE_GUIDANCE: Mapping[str, Write] = {
    "assignment_gold_once_per_person": lambda world: [
        _hidden(world, prefetched=each) for each in (False, True)
    ],
    "assignment_gold_asked_one_way": _hidden_and_asked,
    "guideline_number_once": _twice(_published),
    "guideline_one_draft": lambda w: [_version(w), _version(w, number=2)],
    "guideline_published_says_something": lambda w: _version(w, status="PUBLISHED", published_at=NOW),
    "guideline_acknowledged_once": _acknowledged_twice,
    "guideline_example_shows_one_shape": lambda w: _example(w, mesh_key="aa/b.glb"),
    "descriptor_once_per_candidate": _twice(
        lambda world: ShapeDescriptor.objects.create(
            project=world.project, candidate=world.candidate, version=1
        )
    ),
    "guideline_anchor_is_of_the_rating": lambda w: _example(w, aspect="shape", value=6),
    "guideline_example_says_why": lambda w: _example(w, caption=""),
    "gold_one_per_task": _twice(_gold),
    "gold_says_why": lambda w: _gold(w, why=""),
    "quiz_once_per_stage": _twice(_quiz),
    "quiz_can_be_passed": lambda w: _quiz(w, num_questions=2, num_needed=3),
    "quiz_one_open_attempt": _twice(_attempt),
    "quiz_passed_by_enough": lambda w: _attempt(w, status="PASSED", ended_at=NOW),
    "quiz_ended_has_an_end": lambda w: _attempt(w, status="FAILED"),
    "quiz_question_order_once": _question_order_twice,
    "quiz_question_gold_once": _question_gold_twice,
    "assignment_once_per_question": _question_asked_twice,
}

IMPOSSIBLE_QUALITY: Mapping[str, Write] = {
    "standing_once": _twice(_standing),
    "standing_paused_says_why": lambda w: _standing(w, status="PAUSED"),
    "review_has_risk": lambda w: _review(w, risk=0.0),
    "review_decided_by_somebody": lambda w: _review(w, status="ACCEPTED"),
    "review_sent_back_says_why": lambda w: _decided(w, status="SENT_BACK"),
    "review_fixed_has_correction": lambda w: _decided(w, status="FIXED"),
    "batch_of_arena_is_of_one_checkpoint": lambda w: _asked(w, round=w.project.rounds.get()),
    "batch_once_per_arena": _twice(_asked),
    "match_of_two": lambda w: _match(w, right=w.candidate),
    "match_of_two_checkpoints": lambda w: _match(w, right_checkpoint=w.checkpoint),
    "match_answered_by_somebody": lambda w: _match(w, status="ANSWERED", outcome="left"),
    "match_outcome_is_an_answer": lambda w: _match(w, outcome="left"),
    "match_claimed_by_somebody": lambda w: _match(w, status="CLAIMED"),
    "match_place_once": _twice(_match),
    "match_one_claim_each": _claimed_twice,
}
