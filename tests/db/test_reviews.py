"""Second looks: what is drawn, and what accepting, fixing and sending back do to what counts."""

from __future__ import annotations

from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.errors import BadInput, IllegalTransition, NoAccess, NotFound, StaleTransition
from engine.models import AnnotationTask, Job, MaskEdit, Project, SampledReview, Selection, StateChange
from engine.services import reviews
from engine.services.curation import decide
from engine.services.evidence import read_evidence
from engine.states import Role, TargetStatus, TaskStatus
from engine.transitions import Actor
from tests import judged
from tests.overlapping import crowd_of_picks

pytestmark = pytest.mark.django_db

LEAD = Actor(name="lea")
NOW = timezone.now()


@pytest.fixture
def kitchen() -> Project:
    return judged.project()


@pytest.fixture
def rev(kitchen: Project) -> User:
    return judged.person("rev", kitchen, Role.REVIEWER)


def one_pick(of: Project, *, winner: int | None = 1) -> tuple[Selection, SampledReview]:
    """ana's pick, drawn for review."""
    selection = judged.pick(judged.batch(of), by=judged.person("ana", of, Role.ANNOTATOR), winner=winner)
    AnnotationTask.objects.filter(pk=selection.assignment.task_id).update(num_judgements=1)
    [review] = draw(of, 1)
    return selection, review


def draw(of: Project, number: int, seed: int = 0) -> list[SampledReview]:
    return reviews.draw_reviews(project_id=of.pk, number=number, seed=seed, actor=LEAD, now=timezone.now())


def accepted_winners(of: Project) -> list[int]:
    decision = decide(read_evidence(of.pk).judgements, alpha=0.5)
    return [demonstration.candidate_id for demonstration in decision.demonstrations]


def test_risky_judgements_are_drawn_more_often_but_none_is_safe_and_none_is_drawn_twice(
    kitchen: Project,
) -> None:
    crowd_of_picks(kitchen, {"ana": 0.9, "bob": 0.9, "cyd": 0.9, "sam": 0.25}, num_tasks=40, seed=3)
    drawn = draw(kitchen, 60)
    whose = Counter(review.assignment.annotator.username for review in drawn)
    assert whose["sam"] > 1.5 * max(whose[name] for name in ("ana", "bob", "cyd"))
    assert set(whose) == {"ana", "bob", "cyd", "sam"}
    risky = next(review for review in drawn if review.assignment.annotator.username == "sam")
    assert "the person's evidence is bad" in risky.because and risky.risk >= 7
    again = draw(kitchen, 200)
    assert len(again) == 100, "160 judgements, 60 of them drawn before"
    assert draw(kitchen, 5) == []
    assert StateChange.objects.filter(model="sampledreview", new="WAITING").count() == 160
    with pytest.raises(BadInput, match="1 to 200"):
        draw(kitchen, 0)


def test_an_accepted_judgement_stands_and_the_journal_names_the_reviewer(kitchen: Project, rev: User) -> None:
    selection, review = one_pick(kitchen)
    reviews.accept(review_id=review.pk, user_id=rev.pk, now=NOW)
    review.refresh_from_db()
    assert (review.status, review.reviewer) == ("ACCEPTED", rev)
    assert accepted_winners(kitchen) == [selection.winner_id]
    assert StateChange.objects.get(model="sampledreview", new="ACCEPTED").actor == rev
    with pytest.raises(IllegalTransition):
        reviews.send_back(review_id=review.pk, user_id=rev.pk, note="on second thoughts", now=NOW)


def test_what_is_sent_back_counts_no_more_and_its_task_goes_to_somebody_else_first(
    kitchen: Project, rev: User
) -> None:
    selection, review = one_pick(kitchen)
    reviews.send_back(review_id=review.pk, user_id=rev.pk, note="the handle is missing", now=NOW)
    assert accepted_winners(kitchen) == []
    assert not Selection.standing.exists() and Selection.objects.count() == 1
    task = AnnotationTask.objects.get(pk=selection.assignment.task_id)
    assert (task.status, task.open_slots, task.overlap, task.priority) == ("OPEN", 1, 2, 10)
    assert StateChange.objects.get(old="DONE", new="OPEN").reason == "sent back: the handle is missing"


def test_sending_back_asks_for_a_reason_and_nobody_reviews_their_own(kitchen: Project, rev: User) -> None:
    selection, review = one_pick(kitchen)
    with pytest.raises(BadInput, match="what is wrong"):
        reviews.send_back(review_id=review.pk, user_id=rev.pk, note=" ", now=NOW)
    with pytest.raises(NoAccess, match="their own"):
        reviews.accept(review_id=review.pk, user_id=selection.assignment.annotator_id, now=NOW)
    with pytest.raises(NotFound):
        reviews.accept(review_id=review.pk + 1, user_id=rev.pk, now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        SampledReview.objects.filter(pk=review.pk).update(status="SENT_BACK", reviewer=rev, decided_at=NOW)


def test_a_fixed_pick_is_replaced_by_the_reviewers_own_and_asks_for_its_layout(
    kitchen: Project, rev: User
) -> None:
    selection, review = one_pick(kitchen)
    better = judged.candidates(selection.batch)[2]
    reviews.fix_pick(
        review_id=review.pk,
        user_id=rev.pk,
        winner=better.pk,
        shape_rating=5,
        texture_rating=4,
        note="",
        now=NOW,
    )
    review.refresh_from_db()
    assert review.status == "FIXED" and review.correction is not None
    assert review.correction.annotator == rev and review.correction.selection.rating == 0.875
    assert accepted_winners(kitchen) == [better.pk]
    assert Job.objects.filter(kind="propose_layout", key=f"layout-{better.pk}").exists()
    pairs = decide(read_evidence(kitchen.pk).judgements, alpha=0.5).pairs
    assert {pair.chosen for pair in pairs} == {better.pk}, "the fixed pick prefers nothing any more"
    assert draw(kitchen, 5) == [], "a correction is not reviewed in its turn"


def test_a_fix_that_is_no_pick_is_refused_and_changes_nothing(kitchen: Project, rev: User) -> None:
    _, review = one_pick(kitchen)
    stranger = judged.candidates(judged.batch(kitchen))[0]
    with pytest.raises(BadInput, match="one of the candidates shown"):
        reviews.fix_pick(
            review_id=review.pk, user_id=rev.pk, winner=stranger.pk, shape_rating=5, texture_rating=4, note="",
            now=NOW,
        )  # fmt: skip
    review.refresh_from_db()
    assert review.status == "WAITING" and Selection.objects.count() == 1


def test_a_reviewer_who_judged_the_task_too_cannot_fix_it(kitchen: Project, rev: User) -> None:
    selection, review = one_pick(kitchen)
    judged.pick(selection.batch, by=rev, winner=0)
    with pytest.raises(StaleTransition, match="another reviewer"):
        reviews.fix_pick(
            review_id=review.pk, user_id=rev.pk, winner=judged.candidates(selection.batch)[2].pk, shape_rating=5,
            texture_rating=4, note="", now=NOW,
        )  # fmt: skip


def test_a_mask_that_is_sent_back_is_a_proposal_again_and_its_photograph_returns(
    kitchen: Project, rev: User
) -> None:
    batch = judged.batch(kitchen)
    photo = batch.target.image
    task = AnnotationTask.objects.create(
        project=kitchen, stage="object", image=photo, status="DONE", open_slots=0
    )
    assignment = judged._assignment(task, judged.person("ana", kitchen, Role.ANNOTATOR))
    MaskEdit.objects.create(project=kitchen, assignment=assignment, target=batch.target)
    pick_task = AnnotationTask.objects.create(
        project=kitchen, stage="pick", image=photo, target=batch.target, batch=batch
    )
    [review] = draw(kitchen, 1)
    reviews.send_back(review_id=review.pk, user_id=rev.pk, note="two objects in one mask", now=NOW)
    batch.target.refresh_from_db()
    pick_task.refresh_from_db()
    assert batch.target.status == TargetStatus.PROPOSED and pick_task.status == TaskStatus.CANCELLED
    reopened = AnnotationTask.objects.get(stage="object", status=TaskStatus.OPEN)
    assert (reopened.image, reopened.priority) == (photo, 10)
