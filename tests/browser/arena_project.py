"""A project with an open arena that takes no model: on each target, two checkpoints' shapes of a green ball.

``make`` runs inside the site's Django (`RunningSite.shell`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.browser.pick_project import HEIGHT, WIDTH, files_of, pictures
from tests.running_site import RunningSite

#: Nobody who judges may meet these anywhere.
NAMES = ("oldhand", "newcomer")


@dataclass(frozen=True, kw_only=True)
class ArenaProject:
    """``sides`` says of each match, in the order of the arena, which checkpoint stands left: 0 or 1 of NAMES."""

    slug: str
    arena: int
    sides: list[int]


def arena_project(site: RunningSite, slug: str, *, num_targets: int) -> ArenaProject:
    """A new project of the running site with this many blind pairs for ana and lea."""
    code = f"from tests.browser.arena_project import make; make({slug!r}, {num_targets})"
    made = json.loads(site.shell(code))
    return ArenaProject(slug=slug, arena=made["arena"], sides=made["sides"])


def answers(site: RunningSite, arena: int) -> list[Any]:
    """Outcome and seconds of each match, in order; None for one that waits."""
    code = (
        "import json; from engine.models import ArenaMatch as M; "
        f"rows = M.objects.filter(arena={arena}).order_by('place'); "
        "print(json.dumps(list(rows.values_list('outcome', 'seconds', 'status'))))"
    )
    return list(json.loads(site.shell(code)))


def opened_again(site: RunningSite, arena: int) -> int:
    """Another arena of the same checkpoints on the same targets."""
    return int(site.shell(f"from tests.browser.arena_project import open_again; open_again({arena})"))


def open_again(arena: int) -> None:
    from engine.models import Arena
    from engine.services.arena import open_arena
    from engine.transitions import Actor

    before = Arena.objects.get(pk=arena)
    opened = open_arena(
        project_id=before.project_id,
        name="Blind again",
        checkpoint_ids=list(before.checkpoints.values_list("pk", flat=True)),
        votes=1,
        seed=4,
        actor=Actor(name="test"),
    )
    sys.stdout.write(str(opened.pk))


def make(slug: str, num_targets: int) -> None:
    from django.contrib.auth import get_user_model

    from engine import blobs
    from engine.models import Candidate, Checkpoint, Image, Membership, TargetObject
    from engine.services.arena import open_arena
    from engine.services.projects import create_project
    from engine.transitions import Actor

    project = create_project(slug=slug, name=slug.capitalize(), taxonomy=[])
    for name, role in (("ana", "annotator"), ("lea", "lead"), ("mel", "ml_engineer")):
        person = get_user_model().objects.get(username=name)
        Membership.objects.create(project=project, user=person, role=role)
    made = [
        Checkpoint.objects.create(
            name=f"{name} {slug}", sha256=f"{slug}-{name}", weights_key="none", manifest={}, preset="tiny",
            status="VERIFIED",
        )
        for name in NAMES
    ]  # fmt: skip
    photo, mask, box = pictures()
    key = blobs.put(photo, suffix=".png", content_type="image/png")
    mask_key = blobs.put(mask, suffix=".png", content_type="image/png")
    pose = {"rotation_wxyz": [1.0, 0.0, 0.0, 0.0], "translation": [0.0, 0.0, 2.4], "scale": 1.0, "unit": "m"}
    for number in range(num_targets):
        image = Image.objects.create(
            project=project, name=f"green ball {number}", sha256=f"{number:064d}", key=key, thumbnail_key=key,
            width=WIDTH, height=HEIGHT, status="READY",
        )  # fmt: skip
        target = TargetObject.objects.create(
            project=project, image=image, mask_key=mask_key, mask_sha256=f"{number:064d}", bbox=box,
            area_px=box[2] * box[3], label="ball", status="CONFIRMED",
        )  # fmt: skip
        for place, checkpoint in enumerate(made):
            mesh, preview, splats = files_of(2 * number + place)
            Candidate.objects.create(
                project=project, target=target, index=place, source="candid8", checkpoint=checkpoint, seed=place,
                pose=pose, mesh_key=blobs.put(mesh, suffix=".glb", content_type="model/gltf-binary"),
                preview_key=blobs.put(preview, suffix=".glb", content_type="model/gltf-binary"),
                splat_key=blobs.put(splats, suffix=".ply", content_type="application/octet-stream"),
            )  # fmt: skip
    arena = open_arena(
        project_id=project.pk,
        name="Blind",
        checkpoint_ids=[each.pk for each in made],
        votes=1,
        seed=3,
        actor=Actor(name="test"),
    )
    sides = [int(match.left_checkpoint_id == made[1].pk) for match in arena.matches.order_by("place")]
    sys.stdout.write(json.dumps({"arena": arena.pk, "sides": sides}))
