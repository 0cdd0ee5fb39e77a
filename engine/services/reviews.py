"""Second looks: draws risky judgements, and lets a reviewer accept, fix or send back each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import F

from engine import jobs
from engine.errors import BadInput, NoAccess, NotFound, StaleTransition
from engine.models import (
    AnnotationTask,
    Assignment,
    Candidate,
    Project,
    SampledReview,
    Selection,
    TargetObject,
)
from engine.selectors.annotators import QualityFigures, quality_figures
from engine.services.overlap import ask_again
from engine.services.stage2 import PickResult, check_pick, rating_of
from engine.services.tasks import REOPENED_PRIORITY, open_object_task
from engine.states import AssignmentStatus, ReviewStatus, Stage, TargetStatus, TaskStatus
from engine.transitions import Actor, Move, record_creation, record_creations, transition, transition_together

#: What was judged longer ago has been trained on; looking at it again helps nobody.
LOOK_BACK = timedelta(days=7)
#: Of the newest judgements without a review so many are drawn from.
POOL = 2000
MOST_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class Risk:
    """How much more likely than an ordinary judgement this one is drawn, and why."""

    weight: float
    because: str


def draw_reviews(
    *, project_id: int, number: int, seed: int, actor: Actor, now: datetime
) -> list[SampledReview]:
    """Draws ``number`` submitted judgements of the last week for review, risky ones with more weight.

    Nothing is drawn twice. Every judgement has a chance, so that what the risks do not see is found too.
    """
    if not 0 < number <= MOST_AT_ONCE:
        raise BadInput(f"Draw 1 to {MOST_AT_ONCE} judgements at once, not {number}.")
    figures = quality_figures(project_id)
    with transaction.atomic():
        if Project.objects.select_for_update().filter(pk=project_id).first() is None:
            raise NotFound("There is no such project.")
        pool = list(
            Assignment.objects.filter(
                project_id=project_id,
                status=AssignmentStatus.SUBMITTED,
                ended_at__gte=now - LOOK_BACK,
                question__isnull=True,
                gold__isnull=True,
                review__isnull=True,
                corrects__isnull=True,
            )
            .select_related("selection")
            .order_by("-ended_at")[:POOL]
        )
        risks = [_risk(assignment, figures) for assignment in pool]
        drawn = _weighted_sample([risk.weight for risk in risks], number=number, seed=seed)
        reviews = SampledReview.objects.bulk_create(
            SampledReview(
                project_id=project_id,
                assignment=pool[index],
                risk=risks[index].weight,
                because=risks[index].because,
            )
            for index in drawn
        )
        record_creations(reviews, by=actor)
    return reviews


def accept(*, review_id: int, user_id: int, now: datetime) -> SampledReview:
    """The judgement stands."""
    with transaction.atomic():
        review = _waiting(review_id, user_id=user_id)
        _decide(review, ReviewStatus.ACCEPTED, user_id=user_id, note="", now=now)
    return review


def send_back(*, review_id: int, user_id: int, note: str, now: datetime) -> SampledReview:
    """The judgement counts no more, and its task goes to somebody else, before new ones.

    A target whose mask is sent back is a proposal again and its other open tasks are cancelled. BadInput without a
    note.
    """
    if not 0 < len(note.strip()) <= 300:
        raise BadInput("Say in 1 to 300 characters what is wrong, so that it can be done better.")
    with transaction.atomic():
        review = _waiting(review_id, user_id=user_id)
        _decide(review, ReviewStatus.SENT_BACK, user_id=user_id, note=note.strip(), now=now)
        by = Actor(user_id=user_id)
        task = review.assignment.task
        if review.assignment.stage == Stage.OBJECT:
            _withdraw_targets(review.assignment, note=note, by=by)
        else:
            ask_again(task=task, reason=f"sent back: {note}"[:300], actor=by)
            AnnotationTask.objects.filter(pk=task.pk).update(priority=F("priority") + REOPENED_PRIORITY)
    return review


def fix_pick(
    *,
    review_id: int,
    user_id: int,
    winner: int,
    shape_rating: int,
    texture_rating: int,
    note: str,
    now: datetime,
) -> SampledReview:
    """The reviewer's own pick counts instead: a judgement of theirs on the same task. Raises BadInput for no pick."""
    result = PickResult(
        winner=winner, mode=Selection.Mode.GRID, shape_rating=shape_rating, texture_rating=texture_rating
    )
    try:
        with transaction.atomic():
            review = _waiting(review_id, user_id=user_id)
            if review.assignment.stage != Stage.PICK:
                raise BadInput(
                    "Only a pick can be fixed here: accept it, or send it back with what is wrong."
                )
            correction = _judge_instead(review.assignment, result, user_id=user_id, now=now)
            _decide(
                review, ReviewStatus.FIXED, user_id=user_id, note=note.strip(), now=now, correction=correction
            )
    except IntegrityError as error:
        raise StaleTransition(
            "You judge this task yourself already: leave it to another reviewer."
        ) from error
    return review


def _risk(assignment: Assignment, figures: QualityFigures) -> Risk:
    """1 for an ordinary judgement; more for a doubtful person, and for an extreme or hasty answer."""
    weight = 1.0
    reasons: list[str] = []
    person = next(
        (
            each
            for each in figures.people
            if each.user_id == assignment.annotator_id and each.stage == assignment.stage
        ),
        None,
    )
    if person is not None:
        if person.must_pause or person.is_drifting:
            weight, reasons = weight + 6, [*reasons, "the person's evidence is bad"]
        elif person.agreement.share is not None and person.agreement.share.value < 0.5:
            weight, reasons = weight + 2, [*reasons, "the person seldom agrees with others"]
        if person.flags:
            weight, reasons = weight + 2, [*reasons, "signs of not looking"]
        if person.num_judgements < 20:
            weight, reasons = weight + 1, [*reasons, "new here"]
    selection = getattr(assignment, "selection", None) if assignment.stage == Stage.PICK else None
    if selection is not None and selection.rating is not None and selection.rating >= 0.9:
        weight, reasons = weight + 1, [*reasons, "rated as nearly perfect"]
    return Risk(weight=weight, because="; ".join(reasons) or "by chance")


def _weighted_sample(weights: Sequence[float], *, number: int, seed: int) -> list[int]:
    """``number`` places without replacement, each step in proportion to the weights (Efraimidis and Spirakis 2006)."""
    draws = np.random.default_rng(seed).random(len(weights))
    keys = np.log(draws) / np.array(weights, dtype=np.float64)
    return [int(place) for place in np.argsort(-keys)[:number]]


def _waiting(review_id: int, *, user_id: int) -> SampledReview:
    review = (
        SampledReview.objects.select_for_update(of=["self"])
        .select_related("assignment__task__image", "project")
        .filter(pk=review_id)
        .first()
    )
    if review is None:
        raise NotFound("There is no such review.")
    if review.assignment.annotator_id == user_id:
        raise NoAccess("Nobody reviews their own judgement.")
    return review


def _decide(
    review: SampledReview,
    to: ReviewStatus,
    *,
    user_id: int,
    note: str,
    now: datetime,
    correction: Assignment | None = None,
) -> None:
    transition(
        review,
        to,
        by=Actor(user_id=user_id),
        reason=note,
        changes={
            "reviewer_id": user_id,
            "note": note,
            "decided_at": now,
            "correction_id": correction.pk if correction else None,
        },
    )


def _judge_instead(judged: Assignment, result: PickResult, *, user_id: int, now: datetime) -> Assignment:
    """The reviewer's assignment with its selection; a winner that reaches alpha gets a layout proposal."""
    theirs = Selection.objects.select_related("round", "batch").filter(assignment=judged).first()
    if theirs is None:
        raise BadInput("There is no pick to fix.")
    ids = list(Candidate.objects.filter(batch=theirs.batch).order_by("index").values_list("pk", flat=True))
    check_pick(result, ids=ids)
    rating = rating_of(shape_rating=result.shape_rating, texture_rating=result.texture_rating)
    own = Assignment.objects.create(
        project_id=judged.project_id,
        task_id=judged.task_id,
        annotator_id=user_id,
        stage=judged.stage,
        status=AssignmentStatus.SUBMITTED,
        expires_at=now,
        ended_at=now,
        answer={"winner": result.winner, "rating": rating, "corrects": str(judged.uuid)},
        reason="review",
    )
    record_creation(own, by=Actor(user_id=user_id), reason="fixed in review")
    Selection.objects.create(
        project_id=judged.project_id,
        assignment=own,
        batch=theirs.batch,
        round=theirs.round,
        winner_id=result.winner,
        mode=result.mode,
        shape_rating=result.shape_rating,
        texture_rating=result.texture_rating,
        rating=rating,
        shown_order=ids,
    )
    alpha = theirs.round.alpha if theirs.round else judged.project.alpha
    if rating >= alpha:
        jobs.enqueue(
            kind="propose_layout",
            key=f"layout-{result.winner}",
            payload={"candidate_id": result.winner},
            project_id=judged.project_id,
        )
    return own


def _withdraw_targets(judged: Assignment, *, note: str, by: Actor) -> None:
    """The masks of this judgement are proposals again, and stage 1 opens for their photograph."""
    targets = list(
        TargetObject.objects.filter(mask_edits__assignment=judged, status=TargetStatus.CONFIRMED).order_by(
            "pk"
        )
    )
    others = AnnotationTask.objects.filter(target__in=targets, status=TaskStatus.OPEN).order_by("pk")
    moves = [Move(row=target, to=TargetStatus.PROPOSED, reason="sent back") for target in targets]
    moves += [Move(row=task, to=TaskStatus.CANCELLED, reason="its mask was sent back") for task in others]
    if moves:
        transition_together(moves, by=by)
    open_object_task(
        image=judged.task.image,
        by=by,
        priority=judged.task.priority + REOPENED_PRIORITY,
        reason=f"sent back: {note}"[:300],
    )
