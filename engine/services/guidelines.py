"""A stage's guidelines: written as a draft, published as a version that never changes, read and acknowledged."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from engine import access, blobs
from engine.errors import BadInput, NotFound, StaleTransition
from engine.models import Candidate, GuidelineAcknowledgement, GuidelineExample, GuidelineVersion
from engine.services.meshes import check_glb
from engine.states import GuidelineStatus, Stage
from engine.transitions import Actor, record_creation, transition

MAX_CHARS = 50_000
MAX_CAPTION = 300
MAX_EXAMPLES = 24
GLB = "model/gltf-binary"


def save_draft(
    *, project_id: int, stage: Stage, markdown: str, summary: str, actor: Actor
) -> GuidelineVersion:
    """Writes the stage's one draft over; the first time it gets the number after the newest version."""
    if len(markdown) > MAX_CHARS or "\x00" in markdown + summary:
        raise BadInput(f"Guidelines are text of at most {MAX_CHARS} characters.")
    if len(summary) > MAX_CAPTION:
        raise BadInput(f"What changed is said in at most {MAX_CAPTION} characters.")
    drafts = GuidelineVersion.objects.filter(project_id=project_id, stage=stage, status=GuidelineStatus.DRAFT)
    with transaction.atomic():
        if drafts.update(markdown=markdown, summary=summary, written_by_id=actor.user_id):
            return drafts.get()
        newest = GuidelineVersion.objects.filter(project_id=project_id, stage=stage).aggregate(Max("number"))
        try:
            with transaction.atomic():
                draft = GuidelineVersion.objects.create(
                    project_id=project_id,
                    stage=stage,
                    number=(newest["number__max"] or 0) + 1,
                    markdown=markdown,
                    summary=summary,
                    written_by_id=actor.user_id,
                )
        except IntegrityError as error:
            raise StaleTransition(
                "Somebody else began a draft of these guidelines; load the page again."
            ) from error
        record_creation(draft, by=actor)
    return draft


def publish(*, version_id: int, actor: Actor, now: datetime) -> GuidelineVersion:
    """Makes the draft the version that everybody must read next. Raises BadInput when it says nothing."""
    draft = GuidelineVersion.objects.filter(pk=version_id).first()
    if draft is None:
        raise NotFound("There is no such draft.")
    if not draft.markdown.strip():
        raise BadInput("The draft is empty; write the guidelines before they are published.")
    with transaction.atomic():
        transition(
            draft,
            GuidelineStatus.PUBLISHED,
            by=actor,
            changes={"published_at": now},
            guard={"markdown": draft.markdown},  # what was read is what is published
        )
    return draft


def acknowledge(*, user_id: int, version_id: int, now: datetime) -> GuidelineAcknowledgement:
    """Notes that the person has read the published version; twice is once. Raises NotFound for strangers."""
    version = GuidelineVersion.objects.filter(pk=version_id, status=GuidelineStatus.PUBLISHED).first()
    if version is None:
        raise NotFound("There are no such guidelines, or you are not a member of their project.")
    access.require(user_id=user_id, project_id=version.project_id, any_of=access.MAY_LOOK)
    read, _ = GuidelineAcknowledgement.objects.get_or_create(
        version=version, person_id=user_id, defaults={"at": now}
    )
    return read


def add_example(
    *,
    project_id: int,
    stage: Stage,
    verdict: str,
    caption: str,
    candidate_id: int | None,
    glb: bytes | None,
    aspect: str = "",
    value: int | None = None,
    actor: Actor,
) -> GuidelineExample:
    """Adds a candidate of the project, or a GLB, as an example; with ``aspect`` and ``value`` it anchors a rating."""
    caption = caption.strip()
    if not 0 < len(caption) <= MAX_CAPTION or "\x00" in caption:
        raise BadInput(
            f"An example needs a caption of 1 to {MAX_CAPTION} characters: what is good or bad in it?"
        )
    if verdict not in GuidelineExample.Verdict.values:
        raise BadInput(f"The verdict must be good or bad, not {verdict!r}.")
    if (candidate_id is None) == (glb is None):
        raise BadInput("Give either a candidate of the project or a file, and not both.")
    if bool(aspect) != (value is not None):
        raise BadInput("A place on the rating scale needs both its aspect, shape or texture, and its value.")
    if aspect and (
        stage != Stage.PICK or aspect not in GuidelineExample.Aspect.values or value not in range(1, 6)
    ):
        raise BadInput("Only examples of stage 2 stand for a rating: shape or texture, from 1 to 5.")
    if (
        candidate_id is not None
        and not Candidate.objects.filter(pk=candidate_id, project_id=project_id).exists()
    ):
        raise BadInput(f"This project has no candidate {candidate_id}.")
    if GuidelineExample.objects.filter(project_id=project_id, stage=stage).count() >= MAX_EXAMPLES:
        raise BadInput(f"A stage has at most {MAX_EXAMPLES} examples; remove one first.")
    mesh_key = ""
    if glb is not None:
        check_glb(glb, max_bytes=settings.MAX_MESH_BYTES)
        mesh_key = blobs.put(glb, suffix=".glb", content_type=GLB)
    return GuidelineExample.objects.create(
        project_id=project_id,
        stage=stage,
        verdict=verdict,
        caption=caption,
        candidate_id=candidate_id,
        mesh_key=mesh_key,
        aspect=aspect,
        value=value,
        added_by_id=actor.user_id,
    )


def remove_example(*, project_id: int, example_id: int) -> None:
    """Takes an example off the guidelines. Raises NotFound when the project has no such example."""
    gone, _ = GuidelineExample.objects.filter(pk=example_id, project_id=project_id).delete()
    if not gone:
        raise NotFound("There is no such example in this project.")
