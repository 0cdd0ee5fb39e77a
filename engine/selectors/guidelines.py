"""Reads: what a person must know of each stage before they judge, and whether they have read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Exists, OuterRef, Q, Subquery

from engine import blobs
from engine.markdown import PHOTO, Heading, render
from engine.models import (
    GuidelineAcknowledgement,
    GuidelineExample,
    GuidelineVersion,
    Image,
    Quiz,
    QuizAttempt,
)
from engine.states import GuidelineStatus, QuizAttemptStatus, Stage


@dataclass(frozen=True, kw_only=True)
class VersionRef:
    """A published version."""

    id: int
    number: int
    summary: str
    published_at: datetime


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different from the version that the person read last."""

    since: int
    removed: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ExampleRef:
    """A shape to look at; ``aspect`` and ``value`` when it stands for a rating, else an empty text and None."""

    id: int
    verdict: str
    caption: str
    mesh_url: str
    preview_url: str
    aspect: str
    value: int | None


@dataclass(frozen=True, kw_only=True)
class QuizRef:
    """The entry quiz as this person stands to it; ``may_begin_at`` lies ahead during the pause after a failure."""

    num_questions: int
    num_needed: int
    is_passed: bool
    is_open: bool
    num_attempts: int
    last_num_right: int | None
    may_begin_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class StageGuide:
    """One stage's guidelines; without a published version there is no text and nothing to acknowledge."""

    stage: str
    version: VersionRef | None
    html: str
    contents: Sequence[Heading]
    is_acknowledged: bool
    changes: Changes | None
    examples: Sequence[ExampleRef]
    anchors: Sequence[ExampleRef]
    quiz: QuizRef | None


def must_read(*, user_id: int, stage: Stage) -> Exists:
    """For a query of projects: whether the stage's newest published version is not acknowledged by the person yet."""
    read = GuidelineAcknowledgement.objects.filter(version_id=OuterRef("pk"), person_id=user_id)
    published = GuidelineVersion.objects.filter(
        project_id=OuterRef(OuterRef("pk")), stage=stage, status=GuidelineStatus.PUBLISHED
    )
    newest = published.order_by("-number").values("pk")[:1]
    return Exists(GuidelineVersion.objects.filter(~Exists(read), pk=Subquery(newest)))


def must_pass_quiz(*, user_id: int, stage: Stage) -> Exists:
    """For a query of projects: whether the stage has a quiz that the person has not passed."""
    passed = QuizAttempt.objects.filter(
        quiz_id=OuterRef("pk"), annotator_id=user_id, status=QuizAttemptStatus.PASSED
    )
    return Exists(Quiz.objects.filter(~Exists(passed), project_id=OuterRef("pk"), stage=stage, is_on=True))


def guides_of(*, project_id: int, user_id: int) -> list[StageGuide]:
    """Every stage's guide for the person. Five queries, however many versions there are."""
    versions = _published(project_id=project_id, user_id=user_id)
    photo_url = photo_urls(project_id, texts=[each[0].markdown for each in versions.values() if each])
    examples = _examples(project_id)
    quizzes = _quizzes(project_id=project_id, user_id=user_id)
    return [
        _guide(
            stage,
            versions.get(stage.value, []),
            photo_url,
            [each for each in examples if each.stage == stage],
            quizzes.get(stage.value),
        )
        for stage in Stage
    ]


def example_ref(row: GuidelineExample) -> ExampleRef:
    """Reads the candidate too: select it along."""
    mesh_key = row.candidate.mesh_key if row.candidate else row.mesh_key
    preview_key = (row.candidate.preview_key if row.candidate else "") or mesh_key
    return ExampleRef(
        id=row.pk,
        verdict=row.verdict,
        caption=row.caption,
        mesh_url=blobs.url(mesh_key),
        preview_url=blobs.url(preview_key),
        aspect=row.aspect,
        value=row.value,
    )


def photo_urls(project_id: int, *, texts: Iterable[str]) -> Callable[[int], str | None]:
    """The addresses of the project's photographs that the texts name. One query, none when they name none."""
    named = {int(found) for text in texts for found in PHOTO.findall(text)}
    if not named:
        return lambda _: None
    keys = dict(Image.objects.filter(project_id=project_id, pk__in=named).values_list("pk", "key"))
    return lambda pk: blobs.url(keys[pk]) if pk in keys else None


def _published(*, project_id: int, user_id: int) -> dict[str, list[Any]]:
    """Stage > its newest published version and, if that is unread, the newest read before it; with ``is_read``."""
    read = GuidelineAcknowledgement.objects.filter(version_id=OuterRef("pk"), person_id=user_id)
    rows = (
        GuidelineVersion.objects.filter(project_id=project_id, status=GuidelineStatus.PUBLISHED)
        .annotate(is_read=Exists(read, output_field=BooleanField()))
        .order_by("stage", "-number")
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        kept = found.setdefault(row.stage, [])
        if not kept or (row.is_read and not kept[-1].is_read):
            kept.append(row)
    return found


def _guide(
    stage: Stage,
    versions: Sequence[Any],
    photo_url: Callable[[int], str | None],
    examples: Sequence[GuidelineExample],
    quiz: QuizRef | None,
) -> StageGuide:
    newest = versions[0] if versions else None
    before = versions[1] if len(versions) > 1 and not versions[0].is_read else None
    shown = render(
        newest.markdown if newest else "", photo_url=photo_url, since=before.markdown if before else None
    )
    refs = [example_ref(each) for each in examples]
    return StageGuide(
        stage=stage.value,
        version=newest
        and VersionRef(
            id=newest.pk, number=newest.number, summary=newest.summary, published_at=newest.published_at
        ),
        html=shown.html,
        contents=shown.contents,
        is_acknowledged=newest is not None and newest.is_read,
        changes=Changes(since=before.number, removed=shown.removed) if before else None,
        examples=[each for each in refs if not each.aspect],
        anchors=sorted(
            (each for each in refs if each.aspect), key=lambda each: (each.aspect, each.value or 0)
        ),
        quiz=quiz,
    )


def _examples(project_id: int) -> list[GuidelineExample]:
    rows = GuidelineExample.objects.filter(project_id=project_id).select_related("candidate")
    return list(rows.order_by("-verdict", "pk"))  # good before bad


def _quizzes(*, project_id: int, user_id: int) -> dict[str, QuizRef]:
    attempts: dict[int, list[QuizAttempt]] = {}
    mine = QuizAttempt.objects.filter(project_id=project_id, annotator_id=user_id).order_by("pk")
    for attempt in mine:
        attempts.setdefault(attempt.quiz_id, []).append(attempt)
    on = Quiz.objects.filter(Q(project_id=project_id, is_on=True))
    return {quiz.stage: _quiz_ref(quiz, attempts.get(quiz.pk, [])) for quiz in on}


def _quiz_ref(quiz: Quiz, attempts: Sequence[QuizAttempt]) -> QuizRef:
    ended = [each for each in attempts if each.status != QuizAttemptStatus.OPEN]
    return QuizRef(
        num_questions=quiz.num_questions,
        num_needed=quiz.num_needed,
        is_passed=any(each.status == QuizAttemptStatus.PASSED for each in attempts),
        is_open=any(each.status == QuizAttemptStatus.OPEN for each in attempts),
        num_attempts=len(attempts),
        last_num_right=ended[-1].num_right if ended else None,
        may_begin_at=may_begin_at(quiz, ended[-1] if ended else None),
    )


def may_begin_at(quiz: Quiz, last: QuizAttempt | None) -> datetime | None:
    """When the next attempt may begin after ``last``, or None when any time will do."""
    if last is None or last.status != QuizAttemptStatus.FAILED or last.ended_at is None:
        return None
    return last.ended_at + timedelta(seconds=quiz.pause_seconds)
