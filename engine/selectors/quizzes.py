"""Reads: what a question of an entry quiz asks, and what its answer tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine import blobs
from engine.models import Assignment, QuizQuestion


@dataclass(frozen=True, kw_only=True)
class QuestionRef:
    """Where one is in the quiz, and what is asked."""

    number: int
    num_questions: int
    num_needed: int
    num_right: int
    prompt: str


def question_of(held: Assignment) -> QuestionRef | None:
    """The question that the assignment is, or None for work. One query, none for work."""
    if held.question_id is None:
        return None
    question = QuizQuestion.objects.select_related("attempt", "gold").get(pk=held.question_id)
    return QuestionRef(
        number=question.order + 1,
        num_questions=question.attempt.num_questions,
        num_needed=question.attempt.num_needed,
        num_right=question.attempt.num_right,
        prompt=question.gold.prompt,
    )


def answer_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The stored answer of a submit with an address for the blob that a mark refers to."""
    quiz = answer.get("quiz")
    if not quiz or "mask_key" not in quiz["reference"]:
        return dict(answer)
    reference = {**quiz["reference"], "mask_url": blobs.url(quiz["reference"]["mask_key"])}
    return {**answer, "quiz": {**quiz, "reference": reference}}
