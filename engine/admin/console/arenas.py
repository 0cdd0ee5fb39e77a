"""Pages of the arena: open one, follow its votes, read strengths, ranks and the gate."""

from __future__ import annotations

import secrets
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse

from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.console.forms import ArenaForm, require_valid
from engine.admin.members import MAY_DRIVE, MAY_LOOK, reach_of, require_in
from engine.errors import NotFound
from engine.models import Arena, Checkpoint, Project
from engine.selectors import deployments
from engine.selectors.arena import gate_of, measures_of, standings, votes_of
from engine.selectors.arena_making import making_of
from engine.services import arena
from engine.states import ArenaStatus, CheckpointStatus, MatchStatus

NUM_CHECKPOINTS = 20


def arenas_url(*, project_id: int) -> str:
    return reverse("admin:console-arenas", kwargs={"project_id": project_id})


def arena_url(*, arena_id: int) -> str:
    return reverse("admin:console-arena", kwargs={"arena_id": arena_id})


@page("admin/console/arenas.html")
def arenas_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    require_in(request, project_id, MAY_LOOK)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    answered = Count("matches", filter=Q(matches__status=MatchStatus.ANSWERED))
    return {
        "title": "Arena",
        "section": "project",
        "project": project,
        "arenas": Arena.objects.filter(project_id=project_id)
        .select_related("opened_by")
        .annotate(num_matches=Count("matches"), num_answered=answered)[:30],
        "form": ArenaForm(known=_known()),
        "may_drive": reach_of(request).may_in(project_id, MAY_DRIVE),
    }


@action(back=arenas_url)
def open_arena(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, MAY_DRIVE)
    chosen = require_valid(ArenaForm(request.POST, known=_known()))
    made = arena.open_arena(
        project_id=project_id,
        name=chosen["name"],
        checkpoint_ids=chosen["checkpoints"],
        votes=chosen["votes"],
        num_targets=chosen["num_targets"],
        seed=secrets.randbits(32),
        actor=actor_of(request),
    )
    asked = making_of(made.pk).num_asked
    told = f" {asked} candidates are being made for it." if asked else ""
    return Done(message=f"The arena {made.name} is open.{told}", url=arena_url(arena_id=made.pk))


@page("admin/console/arena.html")
def arena_page(request: HttpRequest, *, arena_id: int) -> dict[str, Any]:
    shown = _arena(request, arena_id, MAY_LOOK)
    contestants = list(shown.checkpoints.order_by("pk"))
    votes = votes_of(shown.pk)
    serving = deployments.serving()
    serving_id = serving.checkpoint_id if serving else None
    return {
        "title": shown.name,
        "section": "project",
        "project": shown.project,
        "arena": shown,
        "num_matches": shown.matches.count(),
        "making": making_of(shown.pk),
        "standings": standings(votes, names={each.pk: each.name for each in contestants}),
        "serving": serving,
        "gates": [
            (
                each,
                gate_of(
                    votes,
                    new_id=each.pk,
                    serving_id=serving_id,
                    measures=measures_of(each.evaluation) if each.parent_id == serving_id else None,
                ),
            )
            for each in contestants
            if serving_id is not None and each.pk != serving_id
        ]
        if serving_id in {each.pk for each in contestants}
        else [],
        "is_open": shown.status == ArenaStatus.OPEN,
        "may_drive": reach_of(request).may_in(shown.project_id, MAY_DRIVE),
    }


@action(back=arena_url)
def close_arena(request: HttpRequest, *, arena_id: int) -> Done:
    shown = _arena(request, arena_id, MAY_DRIVE)
    arena.close_arena(arena_id=shown.pk, actor=actor_of(request))
    return Done(message=f"The arena {shown.name} is closed.", url=arena_url(arena_id=arena_id))


def _known() -> list[Checkpoint]:
    usable = Checkpoint.objects.exclude(status=CheckpointStatus.REFUSED)
    return list(usable.order_by("-pk")[:NUM_CHECKPOINTS])


def _arena(request: HttpRequest, arena_id: int, wanted: Any) -> Arena:
    found = Arena.objects.select_related("project").filter(pk=arena_id).first()
    if found is None:
        raise NotFound("There is no such arena.")
    require_in(request, found.project_id, wanted)
    return found
