"""Pages where leads write a stage's guidelines, choose examples, make gold tasks, and set the entry quiz."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe

from engine.access import ALWAYS
from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.console.forms import (
    DraftForm,
    ExampleForm,
    MaskGoldForm,
    PickGoldForm,
    PoseGoldForm,
    QuizForm,
    require_valid,
)
from engine.admin.members import MAY_LOOK, reach_of, require_in
from engine.errors import BadInput, NotFound
from engine.markdown import render
from engine.models import GuidelineExample, GuidelineVersion, Project
from engine.selectors import gold as gold_rows
from engine.selectors.guidelines import example_ref, photo_urls
from engine.services import gold, guidelines, quizzes
from engine.states import GuidelineStatus, Stage

GOLD_FORMS = {Stage.OBJECT: MaskGoldForm, Stage.PICK: PickGoldForm, Stage.POSE: PoseGoldForm}


def guidelines_url(*, project_id: int, stage: Stage, **_: Any) -> str:
    return reverse("admin:console-guidelines", kwargs={"project_id": project_id, "stage": stage})


def quiz_url(*, project_id: int, stage: Stage, **_: Any) -> str:
    return reverse("admin:console-quiz", kwargs={"project_id": project_id, "stage": stage})


@page("admin/console/guidelines.html")
def guidelines_page(request: HttpRequest, *, project_id: int, stage: Stage) -> dict[str, Any]:
    """The draft with its preview, the published versions, and the examples."""
    project = _project(request, project_id, MAY_LOOK)
    versions = list(
        GuidelineVersion.objects.filter(project=project, stage=stage)
        .select_related("written_by")
        .order_by("-number")[:30]
    )
    draft = next((each for each in versions if each.status == GuidelineStatus.DRAFT), None)
    newest = next((each for each in versions if each.status == GuidelineStatus.PUBLISHED), None)
    written = (draft or newest or GuidelineVersion()).markdown
    shown = render(
        written,
        photo_url=photo_urls(project_id, texts=[written]),
        since=newest.markdown if draft and newest else None,
    )
    examples = [
        (row, example_ref(row))
        for row in GuidelineExample.objects.filter(project=project, stage=stage)
        .select_related("candidate")
        .order_by("aspect", "value", "-verdict", "pk")
    ]
    return {
        **_common(request, project, stage, title="Guidelines"),
        "draft": draft,
        "newest": newest,
        "versions": [each for each in versions if each.status == GuidelineStatus.PUBLISHED],
        "preview": mark_safe(shown.html),  # sanitised by engine.markdown
        "removed": shown.removed,
        "form": DraftForm(initial={"markdown": written, "summary": draft.summary if draft else ""}),
        "examples": [row for row, _ in examples],
        "grid": {
            "cells": [
                {
                    "label": f"{ref.aspect} {ref.value}" if ref.aspect else ref.verdict,
                    "note": ref.caption,
                    "mesh_url": ref.mesh_url,
                    "preview_url": ref.preview_url,
                }
                for _, ref in examples
            ]
        },
        "example_form": ExampleForm(stage=stage),
    }


@action(back=guidelines_url)
def save_draft(request: HttpRequest, *, project_id: int, stage: Stage) -> Done:
    require_in(request, project_id, ALWAYS)
    written = require_valid(DraftForm(request.POST))
    draft = guidelines.save_draft(project_id=project_id, stage=stage, **written, actor=actor_of(request))
    return Done(
        message=f"The draft of version {draft.number} is saved; nobody else sees it before it is published.",
        url=guidelines_url(project_id=project_id, stage=stage),
    )


@action(back=guidelines_url)
def publish(request: HttpRequest, *, project_id: int, stage: Stage, version_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    if not GuidelineVersion.objects.filter(pk=version_id, project_id=project_id, stage=stage).exists():
        raise NotFound("There is no such draft.")
    version = guidelines.publish(version_id=version_id, actor=actor_of(request), now=timezone.now())
    return Done(
        message=f"Version {version.number} is published: everybody reads it before their next task.",
        url=guidelines_url(project_id=project_id, stage=stage),
    )


@action(back=guidelines_url)
def add_example(request: HttpRequest, *, project_id: int, stage: Stage) -> Done:
    require_in(request, project_id, ALWAYS)
    chosen = require_valid(ExampleForm(request.POST, request.FILES, stage=stage))
    file = chosen.pop("file")
    if file is not None and (file.size or 0) > settings.MAX_MESH_BYTES:
        raise BadInput(
            f"A mesh may have {settings.MAX_MESH_BYTES // 1_000_000} MB at most.", code="mesh_too_large"
        )
    guidelines.add_example(
        project_id=project_id,
        stage=stage,
        **chosen,
        glb=file.read() if file is not None else None,
        actor=actor_of(request),
    )
    return Done(
        message="The example is in the guidelines.", url=guidelines_url(project_id=project_id, stage=stage)
    )


@action(back=guidelines_url)
def remove_example(request: HttpRequest, *, project_id: int, stage: Stage, example_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    guidelines.remove_example(project_id=project_id, example_id=example_id)
    return Done(message="The example is gone.", url=guidelines_url(project_id=project_id, stage=stage))


@page("admin/console/quiz.html")
def quiz_page(request: HttpRequest, *, project_id: int, stage: Stage) -> dict[str, Any]:
    """The quiz's rules, its gold tasks, and recent judgements that may become gold."""
    project = _project(request, project_id, MAY_LOOK)
    return {
        **_common(request, project, stage, title="Entry quiz"),
        "quiz": gold_rows.quiz_of(project_id, stage),
        "quiz_form": QuizForm(initial=gold_rows.rules_of(project_id, stage)),
        "items": gold_rows.items_of(project_id, stage),
        "attempts": gold_rows.attempts_of(project_id, stage),
        "sources": gold_rows.sources_of(project_id, stage),
        "gold_form": GOLD_FORMS[stage](),
    }


@action(back=quiz_url)
def set_rules(request: HttpRequest, *, project_id: int, stage: Stage) -> Done:
    require_in(request, project_id, ALWAYS)
    quiz = quizzes.set_rules(project_id=project_id, stage=stage, **require_valid(QuizForm(request.POST)))
    return Done(
        message="The quiz is on: who has not passed it gets no work." if quiz.is_on else "The quiz is off.",
        url=quiz_url(project_id=project_id, stage=stage),
    )


@action(back=quiz_url)
def make_gold(request: HttpRequest, *, project_id: int, stage: Stage, source_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    chosen = require_valid(GOLD_FORMS[stage](request.POST))
    gold.make(
        project_id=project_id,
        stage=stage,
        source_id=source_id,
        why=chosen["why"],
        also_best=chosen.get("also_best", ()),
        avoid=chosen.get("avoid", ()),
        bar=gold.bar_of(chosen),
        actor=actor_of(request),
    )
    return Done(message="It is a gold task now.", url=quiz_url(project_id=project_id, stage=stage))


@action(back=quiz_url)
def retire_gold(request: HttpRequest, *, project_id: int, stage: Stage, gold_id: int) -> Done:
    require_in(request, project_id, ALWAYS)
    gold.retire(project_id=project_id, gold_id=gold_id, now=timezone.now())
    return Done(message="It is asked no more.", url=quiz_url(project_id=project_id, stage=stage))


def _common(request: HttpRequest, project: Project, stage: Stage, *, title: str) -> dict[str, Any]:
    return {
        "title": f"{title}: {stage.label}",
        "section": "project",
        "project": project,
        "stage": stage,
        "stages": list(Stage),
        "may_lead": reach_of(request).may_in(project.pk, ALWAYS),
    }


def _project(request: HttpRequest, project_id: int, wanted: Any) -> Project:
    require_in(request, project_id, wanted)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
