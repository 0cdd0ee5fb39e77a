"""Pages of second looks: what was drawn, and one judgement with its evidence and the three answers."""

from __future__ import annotations

import secrets
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from engine import blobs
from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.console.forms import DrawForm, FixForm, NoteForm, require_valid
from engine.admin.console.quality import project_in
from engine.admin.members import MAY_JUDGE, require_in
from engine.errors import NotFound
from engine.models import Alignment, Candidate, MaskEdit, SampledReview, Selection
from engine.services import reviews
from engine.states import ReviewStatus, Stage


def reviews_url(*, project_id: int) -> str:
    return reverse("admin:console-reviews", kwargs={"project_id": project_id})


def review_url(*, review_id: int) -> str:
    return reverse("admin:console-review", kwargs={"review_id": review_id})


@page("admin/console/reviews.html")
def reviews_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    project = project_in(request, project_id)
    rows = SampledReview.objects.filter(project_id=project_id).select_related(
        "assignment__annotator", "assignment__task__target", "reviewer"
    )
    return {
        "title": "Reviews",
        "section": "project",
        "project": project,
        "waiting": rows.filter(status=ReviewStatus.WAITING).order_by("-risk", "pk")[:50],
        "decided": rows.exclude(status=ReviewStatus.WAITING).order_by("-decided_at")[:25],
        "form": DrawForm(),
    }


@action(back=reviews_url)
def draw(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, MAY_JUDGE)
    chosen = require_valid(DrawForm(request.POST))
    drawn = reviews.draw_reviews(
        project_id=project_id,
        number=chosen["number"],
        seed=secrets.randbits(32),
        actor=actor_of(request),
        now=timezone.now(),
    )
    return Done(
        message=f"{len(drawn)} judgements are drawn."
        if drawn
        else "There is nothing of this week left to draw.",
        url=reviews_url(project_id=project_id),
    )


@page("admin/console/review.html")
def review_page(request: HttpRequest, *, review_id: int) -> dict[str, Any]:
    review = _review(request, review_id)
    assignment = review.assignment
    stage = assignment.stage
    selection = (
        Selection.objects.select_related("winner").filter(assignment=assignment).first()
        if stage == Stage.PICK
        else None
    )
    edits = list(MaskEdit.objects.select_related("target").filter(assignment=assignment))
    candidates = (
        list(Candidate.objects.filter(batch_id=selection.batch_id).order_by("index")) if selection else []
    )
    alignment = (
        Alignment.objects.select_related("candidate").filter(assignment=assignment).first()
        if stage == Stage.POSE
        else None
    )
    names = {each.pk: str(number) for number, each in enumerate(candidates, start=1)}
    return {
        "title": f"Review of {assignment.annotator.get_username()}",
        "section": "project",
        "project": review.project,
        "review": review,
        "assignment": assignment,
        "target": assignment.task.target,
        "photo_url": blobs.url(assignment.task.image.key),
        "mask_url": blobs.url(assignment.task.target.mask_key) if assignment.task.target else "",
        "selection": selection,
        "winner_number": names.get(selection.winner_id or 0, "") if selection else "",
        "alignment": alignment,
        "edits": [(edit, blobs.url(edit.target.mask_key) if edit.target else "") for edit in edits],
        "grid": {
            "cells": [
                {
                    "label": names[each.pk],
                    "mesh_url": blobs.url(each.mesh_key),
                    "preview_url": blobs.url(each.preview_key),
                    "note": "picked" if selection and each.pk == selection.winner_id else "",
                }
                for each in candidates
            ]
        },
        "is_waiting": review.status == ReviewStatus.WAITING,
        "is_own": assignment.annotator_id == request.user.pk,
        "fix_form": FixForm(candidates=[(pk, f"candidate {name}") for pk, name in names.items()])
        if candidates
        else None,
        "note_form": NoteForm(),
    }


@action(back=review_url)
def accept(request: HttpRequest, *, review_id: int) -> Done:
    review = _review(request, review_id)
    reviews.accept(review_id=review_id, user_id=_user_id(request), now=timezone.now())
    return _next(review.project_id, said="Accepted.")


@action(back=review_url)
def fix(request: HttpRequest, *, review_id: int) -> Done:
    review = _review(request, review_id)
    selection = Selection.objects.filter(assignment=review.assignment).first()
    ids = (
        Candidate.objects.filter(batch_id=selection.batch_id).values_list("pk", flat=True)
        if selection
        else []
    )
    chosen = require_valid(FixForm(request.POST, candidates=[(pk, str(pk)) for pk in ids]))
    reviews.fix_pick(
        review_id=review_id,
        user_id=_user_id(request),
        winner=chosen["winner"],
        shape_rating=chosen["shape_rating"],
        texture_rating=chosen["texture_rating"],
        note="",
        now=timezone.now(),
    )
    return _next(review.project_id, said="Fixed: your pick counts instead.")


@action(back=review_url)
def send_back(request: HttpRequest, *, review_id: int) -> Done:
    review = _review(request, review_id)
    chosen = require_valid(NoteForm(request.POST))
    reviews.send_back(review_id=review_id, user_id=_user_id(request), note=chosen["note"], now=timezone.now())
    return _next(review.project_id, said="Sent back: somebody else judges it anew.")


def _next(project_id: int, *, said: str) -> Done:
    """On to the riskiest one that waits, so that a reviewer goes through them one by one."""
    waiting = (
        SampledReview.objects.filter(project_id=project_id, status=ReviewStatus.WAITING)
        .order_by("-risk", "pk")
        .first()
    )
    url = review_url(review_id=waiting.pk) if waiting else reviews_url(project_id=project_id)
    return Done(message=said, url=url)


def _review(request: HttpRequest, review_id: int) -> SampledReview:
    found = (
        SampledReview.objects.select_related(
            "project",
            "assignment__annotator",
            "assignment__task__image",
            "assignment__task__target",
            "reviewer",
        )
        .filter(pk=review_id)
        .first()
    )
    if found is None:
        raise NotFound("There is no such review.")
    require_in(request, found.project_id, MAY_JUDGE)
    return found


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "the door lets nobody in without a name"
    return int(request.user.pk)
