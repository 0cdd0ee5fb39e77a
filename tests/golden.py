"""Gold hidden among work, for tests: how tasks of each stage are made, answered rightly or not, and made gold."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from engine import blobs
from engine.models import (
    Alignment,
    Assignment,
    GoldItem,
    MaskEdit,
    Project,
    Selection,
)
from engine.selectors.queues import NothingToClaim
from engine.services import gold, leases
from engine.services.gold import Bar
from engine.services.projects import add_member
from engine.services.stage1 import ObjectChoice, submit_object
from engine.services.stage2 import PickResult, submit_pick
from engine.services.stage3 import PoseResult, submit_pose
from engine.states import Role, Stage
from engine.transitions import Actor
from tests.factories import NOW, glb_bytes, make_image, make_pick_task, make_pose_task, mask_bytes
from tests.people import People, person

LEA = Actor(name="lea")
LATER = NOW + timedelta(hours=2)
SOON = NOW + timedelta(minutes=1)
BOX = (10, 10, 30, 30)
POSE = PoseResult(rotation_wxyz=[1.0, 0.0, 0.0, 0.0], translation=[0.0, 0.0, 2.0], scale=0.5)


class Draws(random.Random):
    """Gives always the same number: 0 draws gold whenever there is some, 0.99 never."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self._number = number

    def random(self) -> float:
        return self._number


GOLD, WORK = Draws(0.0), Draws(0.99)


def takes(
    user_id: int, project: Project, stage: Stage, *, draw: random.Random = GOLD, **how: Any
) -> Assignment:
    held = leases.claim(user_id=user_id, project_id=project.pk, stage=stage, draw=draw, **{"now": NOW, **how})
    assert not isinstance(held, NothingToClaim), held
    return held


def submission(held: Assignment, *, now: Any = NOW) -> dict[str, Any]:
    return {
        "user_id": held.annotator_id,
        "assignment": held.uuid,
        "lease_token": held.lease_token,
        "key": f"key-{held.pk}",
        "seconds": 5.0,
        "now": now,
    }


def under(held: Assignment) -> dict[str, Any]:
    given = submission(held)
    return {name: given[name] for name in ("user_id", "assignment", "lease_token", "now")}


def marks(held: Assignment, *, box: tuple[int, int, int, int] = BOX, proposal: int | None = None) -> Any:
    choice = ObjectChoice(mask_png=mask_bytes(box=box), label="mug", taxonomy_key="mug", proposal_id=proposal)
    return submit_object(targets=[choice], discard=None, **submission(held))


def picks(held: Assignment, *, is_right: bool = True, texture: int = 4) -> Any:
    assert held.task.batch is not None
    shown = held.task.batch.candidates.order_by("index")
    winner = shown[0] if is_right else shown[1]
    result = PickResult(winner=winner.pk, mode="grid", shape_rating=4, texture_rating=texture)
    return submit_pick(result=result, **submission(held))


def places(held: Assignment, *, is_right: bool = True) -> Any:
    return submit_pose(
        result=POSE if is_right else replace(POSE, translation=[1.0, 0.0, 2.0]), **submission(held)
    )


@dataclass(frozen=True)
class Kind:
    """How a task of a stage is made, answered rightly or not, and made gold."""

    stage: Stage
    make: Callable[[Project], Any]
    right: Callable[[Assignment], Any]
    wrong: Callable[[Assignment], Any]
    source: Callable[[Assignment], GoldItem]


def _from_mask(held: Assignment) -> GoldItem:
    edit = MaskEdit.objects.get(assignment=held)
    return gold.make_from_mask(mask_edit_id=edit.pk, why="The whole mug.", bar=Bar(), actor=LEA)


def _from_pick(held: Assignment) -> GoldItem:
    selection = Selection.objects.get(assignment=held)
    return gold.make_from_selection(
        selection_id=selection.pk, also_best=(), avoid=(), why="It has all parts.", actor=LEA
    )


def _from_pose(held: Assignment) -> GoldItem:
    alignment = Alignment.objects.get(assignment=held)
    return gold.make_from_alignment(alignment_id=alignment.pk, why="It stands.", bar=Bar(), actor=LEA)


def _pose_task(project: Project) -> None:
    """Its mesh can be read: gold poses are marked over the shape."""
    task = make_pose_task(project)
    mesh = blobs.put(glb_bytes(), suffix=".glb", content_type="model/gltf-binary")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # candidates never change
        cursor.execute("UPDATE engine_candidate SET mesh_key = %s WHERE id = %s", [mesh, task.candidate_id])
        cursor.execute("SET LOCAL session_replication_role = origin")


KINDS = {
    Stage.OBJECT: Kind(
        Stage.OBJECT, make_image, marks, lambda held: marks(held, box=(40, 10, 60, 30)), _from_mask
    ),
    Stage.PICK: Kind(Stage.PICK, make_pick_task, picks, lambda held: picks(held, is_right=False), _from_pick),
    Stage.POSE: Kind(Stage.POSE, _pose_task, places, lambda held: places(held, is_right=False), _from_pose),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=[stage.value for stage in KINDS])


def third(project: Project) -> Any:
    """Cyd, who annotates too."""
    cyd = person("cyd")
    add_member(project_id=project.pk, user_id=cyd.pk, role=Role.ANNOTATOR)
    return cyd


def golden(
    project: Project, people: People, kind: Kind, *, how_many: int = 1, work: int = 2
) -> list[GoldItem]:
    """Bob did the tasks; a lead made gold of them. ``work`` more tasks are open."""
    items = []
    for _ in range(how_many):
        kind.make(project)
        held = takes(people.bob.pk, project, kind.stage, draw=WORK)
        kind.right(held)
        items.append(kind.source(held))
    for _ in range(work):
        kind.make(project)
    return items
