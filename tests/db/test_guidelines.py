"""Guidelines: versions that never change, examples, and no new work for who has not read the newest one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from engine.errors import BadInput, IllegalTransition, NotFound
from engine.models import (
    Candidate,
    GuidelineAcknowledgement,
    GuidelineExample,
    GuidelineVersion,
    Project,
    StateChange,
)
from engine.selectors.guidelines import guides_of
from engine.selectors.queues import NothingToClaim
from engine.services import guidelines, leases
from engine.states import GuidelineStatus, Stage
from engine.transitions import Actor, transition
from tests.factories import NOW, claim, glb_bytes, make_bare_images, make_image, make_pick_task, make_project
from tests.listening import Heard, counted_sql
from tests.people import People
from tests.web import Browser, object_result

LEA = Actor(name="lea")


def published(project: Project, stage: Stage, markdown: str = "Mark the whole object.") -> GuidelineVersion:
    draft = guidelines.save_draft(
        project_id=project.pk, stage=stage, markdown=markdown, summary="", actor=LEA
    )
    return guidelines.publish(version_id=draft.pk, actor=LEA, now=NOW)


def refused(project: Project, user_id: int, stage: Stage = Stage.OBJECT) -> str | None:
    answer = leases.claim(user_id=user_id, project_id=project.pk, stage=stage, now=NOW)
    return answer.reason if isinstance(answer, NothingToClaim) else None


def test_a_draft_is_written_over_until_it_is_published(
    project: Project, people: People, heard: Heard
) -> None:
    first = guidelines.save_draft(
        project_id=project.pk, stage=Stage.PICK, markdown="a", summary="", actor=LEA
    )
    second = guidelines.save_draft(
        project_id=project.pk, stage=Stage.PICK, markdown="b", summary="", actor=LEA
    )
    assert first.pk == second.pk and second.markdown == "b" and second.number == 1
    guidelines.publish(version_id=second.pk, actor=LEA, now=NOW)
    third = guidelines.save_draft(
        project_id=project.pk, stage=Stage.PICK, markdown="c", summary="", actor=LEA
    )
    assert third.number == 2 and third.pk != second.pk
    other = guidelines.save_draft(
        project_id=project.pk, stage=Stage.POSE, markdown="x", summary="", actor=LEA
    )
    assert other.number == 1
    moves = StateChange.objects.filter(model="guidelineversion", object_id=second.pk).order_by("id")
    assert [(move.old, move.new, move.actor_name) for move in moves] == [
        ("", "DRAFT", "lea"),
        ("DRAFT", "PUBLISHED", "lea"),
    ]


def test_an_empty_draft_is_not_published(project: Project) -> None:
    draft = guidelines.save_draft(
        project_id=project.pk, stage=Stage.PICK, markdown=" \n", summary="", actor=LEA
    )
    with pytest.raises(BadInput, match="empty"):
        guidelines.publish(version_id=draft.pk, actor=LEA, now=NOW)
    with pytest.raises(BadInput, match="characters"):
        guidelines.save_draft(
            project_id=project.pk, stage=Stage.PICK, markdown="x" * 50_001, summary="", actor=LEA
        )


def test_the_database_refuses_any_change_of_a_published_version(project: Project) -> None:
    version = published(project, Stage.OBJECT)
    for change in (
        "markdown = 'other'",
        "number = 9",
        "status = 'DRAFT', published_at = NULL",
        "summary = 'x'",
    ):
        with (
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"UPDATE engine_guidelineversion SET {change} WHERE id = %s", [version.pk])
    with pytest.raises(IllegalTransition), transaction.atomic():
        transition(version, GuidelineStatus.DRAFT, by=LEA)


def test_the_database_refuses_impossible_rows(project: Project, people: People) -> None:
    candidate = Candidate.objects.filter(batch=make_pick_task(project).batch).first()
    assert candidate is not None
    example = {"project": project, "stage": "pick", "verdict": "good", "caption": "c", "candidate": candidate}
    for wrong in (
        {"mesh_key": "aa/m.glb"},  # two shapes
        {"candidate": None},  # none
        {"caption": ""},
        {"aspect": "shape"},
        {"value": 3},
        {"aspect": "shape", "value": 6},
        {"aspect": "shape", "value": 3, "stage": "pose"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            GuidelineExample.objects.create(**{**example, **wrong})
    version = published(project, Stage.OBJECT)
    read = guidelines.acknowledge(user_id=people.ana.pk, version_id=version.pk, now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        GuidelineAcknowledgement.objects.create(version=version, person=people.ana, at=NOW)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        GuidelineAcknowledgement.objects.filter(pk=read.pk).update(at=NOW)
    draft = {"project": project, "stage": "pick", "status": "DRAFT"}
    GuidelineVersion.objects.create(**draft, number=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        GuidelineVersion.objects.create(**draft, number=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        GuidelineVersion.objects.create(
            project=project, stage="pose", status="PUBLISHED", number=1, published_at=NOW
        )


def test_new_work_waits_until_the_newest_version_is_read(project: Project, people: People) -> None:
    make_bare_images(project, how_many=3)
    assert refused(project, people.ana.pk) is None, "without guidelines nothing is asked"
    held = leases.claim(user_id=people.ana.pk, project_id=project.pk, stage=Stage.OBJECT, now=NOW)
    assert not isinstance(held, NothingToClaim)
    leases.release(user_id=people.ana.pk, assignment=held.uuid, lease_token=held.lease_token, now=NOW)
    first = published(project, Stage.OBJECT)
    assert refused(project, people.ana.pk) == "guidelines_changed"
    assert refused(project, people.ana.pk, Stage.PICK) == "empty", "only this stage asks"
    guidelines.acknowledge(user_id=people.ana.pk, version_id=first.pk, now=NOW)
    assert refused(project, people.ana.pk) is None
    second = published(project, Stage.OBJECT, "Mark all of it, cables too.")
    taken = claim(people.ana.pk, project, Stage.OBJECT)
    assert taken.pk == held.pk, "work in hand is finished under the guidelines it began with"
    ahead = leases.claim(
        user_id=people.ana.pk, project_id=project.pk, stage=Stage.OBJECT, prefetch=True, now=NOW
    )
    assert isinstance(ahead, NothingToClaim) and ahead.reason == "guidelines_changed"
    leases.release(user_id=people.ana.pk, assignment=taken.uuid, lease_token=taken.lease_token, now=NOW)
    assert refused(project, people.ana.pk) == "guidelines_changed"
    guidelines.acknowledge(user_id=people.ana.pk, version_id=first.pk, now=NOW)
    assert refused(project, people.ana.pk) == "guidelines_changed", "an old version does not help"
    guidelines.acknowledge(user_id=people.ana.pk, version_id=second.pk, now=NOW)
    guidelines.acknowledge(user_id=people.ana.pk, version_id=second.pk, now=NOW)
    assert refused(project, people.ana.pk) is None
    assert GuidelineAcknowledgement.objects.filter(person=people.ana).count() == 2


def test_what_waits_ahead_is_refused_too(project: Project, people: People) -> None:
    """A task that was prefetched before the change is new work as well."""
    make_bare_images(project, how_many=2)
    live = claim(people.ana.pk, project, Stage.OBJECT)
    claim(people.ana.pk, project, Stage.OBJECT, prefetch=True)
    published(project, Stage.OBJECT)
    leases.release(user_id=people.ana.pk, assignment=live.uuid, lease_token=live.lease_token, now=NOW)
    assert refused(project, people.ana.pk) == "guidelines_changed"


def test_a_claim_costs_no_more_with_many_versions(project: Project, people: People) -> None:
    make_bare_images(project, how_many=2)
    for number in range(12):
        version = published(project, Stage.OBJECT, f"Rule {number}")
        guidelines.acknowledge(user_id=people.ana.pk, version_id=version.pk, now=NOW)
    with counted_sql() as statements:
        claim(people.ana.pk, project, Stage.OBJECT)
    assert len(statements) == 2


def test_a_person_sees_what_changed_since_they_read(project: Project, people: People) -> None:
    first = published(project, Stage.PICK, "Shape first.\n\nTurn it once.")
    guidelines.acknowledge(user_id=people.ana.pk, version_id=first.pk, now=NOW)
    published(project, Stage.PICK, "Shape first.\n\nTurn it twice.")
    published(project, Stage.PICK, "Shape first.\n\nTurn it three times.")
    guide = guides_of(project_id=project.pk, user_id=people.ana.pk)[1]
    assert guide.version is not None and guide.version.number == 3 and not guide.is_acknowledged
    assert guide.changes is not None and guide.changes.since == 1
    assert list(guide.changes.removed) == ["Turn it once."] and 'class="is-new">Turn it three' in guide.html
    guidelines.acknowledge(user_id=people.ana.pk, version_id=guide.version.id, now=NOW)
    again = guides_of(project_id=project.pk, user_id=people.ana.pk)[1]
    assert again.is_acknowledged and again.changes is None and "is-new" not in again.html


def test_examples_are_shapes_of_the_project_or_files_and_anchors_stand_apart(
    project: Project, people: People
) -> None:
    candidate = Candidate.objects.filter(batch=make_pick_task(project).batch).first()
    foreign = Candidate.objects.filter(batch=make_pick_task(make_project("other")).batch).first()
    assert candidate is not None and foreign is not None
    common: dict[str, Any] = {"project_id": project.pk, "stage": Stage.PICK, "actor": LEA}
    guidelines.add_example(
        **common, verdict="bad", caption="The handle is missing", candidate_id=candidate.pk, glb=None
    )
    guidelines.add_example(**common, verdict="good", caption="All parts", candidate_id=None, glb=glb_bytes())
    guidelines.add_example(
        **common,
        verdict="good",
        caption="Exact",
        candidate_id=candidate.pk,
        glb=None,
        aspect="shape",
        value=5,
    )
    for wrong in (
        {"candidate_id": foreign.pk, "glb": None},
        {"candidate_id": None, "glb": None},
        {"candidate_id": candidate.pk, "glb": glb_bytes()},
        {"candidate_id": None, "glb": b"not a mesh"},
        {"candidate_id": candidate.pk, "glb": None, "aspect": "shape"},
        {"candidate_id": candidate.pk, "glb": None, "aspect": "colour", "value": 3},
        {"candidate_id": candidate.pk, "glb": None, "caption": "  "},
        {"candidate_id": candidate.pk, "glb": None, "verdict": "fine"},
    ):
        with pytest.raises(BadInput):
            guidelines.add_example(**{**common, "verdict": "good", "caption": "c", **wrong})
    guide = guides_of(project_id=project.pk, user_id=people.ana.pk)[1]
    assert [(each.verdict, each.caption) for each in guide.examples] == [
        ("good", "All parts"), ("bad", "The handle is missing"),
    ]  # fmt: skip
    assert [(each.aspect, each.value) for each in guide.anchors] == [("shape", 5)]
    assert "mesh0.glb" in guide.anchors[0].mesh_url and "preview0.glb" in guide.anchors[0].preview_url
    with pytest.raises(NotFound):
        guidelines.remove_example(project_id=foreign.project_id, example_id=guide.anchors[0].id)
    guidelines.remove_example(project_id=project.pk, example_id=guide.anchors[0].id)
    assert not guides_of(project_id=project.pk, user_id=people.ana.pk)[1].anchors


def test_pictures_are_photographs_of_the_same_project(project: Project, people: People) -> None:
    own, foreign = make_image(project), make_image(make_project("other"))
    published(project, Stage.OBJECT, f"![own](photo:{own.pk}) ![foreign](photo:{foreign.pk})")
    html = guides_of(project_id=project.pk, user_id=people.ana.pk)[0].html
    assert html.count("<img") == 1 and own.key in html and "[foreign]" in html


def test_over_http_a_person_reads_acknowledges_and_goes_on(project: Project, people: People) -> None:
    make_image(project)
    version = published(project, Stage.OBJECT, "# Masks\n\n<script>alert(1)</script> whole object")
    ana, eve = Browser(people.ana), Browser(people.eve)
    refusal = ana.post(f"/projects/{project.pk}/claims", {"stage": "object"})
    assert refusal.status == 204 and refusal.headers["X-Candid8-Reason"] == "guidelines_changed"
    guide = ana.get(f"/projects/{project.pk}/guidelines").body["stages"][0]
    assert guide["version"]["id"] == version.pk and guide["contents"] == [
        {"id": "guide-1", "text": "Masks", "level": 2}
    ]
    assert "<script" not in guide["html"] and guide["is_acknowledged"] is False and guide["quiz"] is None
    assert eve.get(f"/projects/{project.pk}/guidelines").status == 404
    assert eve.post(f"/guideline-versions/{version.pk}/acknowledge").status == 404
    draft = guidelines.save_draft(
        project_id=project.pk, stage=Stage.POSE, markdown="x", summary="", actor=LEA
    )
    assert ana.post(f"/guideline-versions/{draft.pk}/acknowledge").status == 404, (
        "a draft is nobody's business"
    )
    assert ana.post(f"/guideline-versions/{version.pk}/acknowledge").body["version"] == version.pk
    held = ana.claim(project.pk, "object")
    assert held["question"] is None
    assert ana.submit(held, object_result()).status == 200
