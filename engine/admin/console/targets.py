"""Page of one target's whole story: photograph, candidates, judgements, versions, what learnt from it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from engine.admin.console.doors import page
from engine.admin.members import MAY_LOOK, require_in
from engine.errors import NotFound
from engine.models import TargetObject
from engine.selectors.lineage import TargetLineage, target_lineage


@page("admin/console/target.html")
def target_page(request: HttpRequest, *, target_id: int) -> dict[str, Any]:
    target = TargetObject.objects.select_related("project").filter(pk=target_id).first()
    if target is None:
        raise NotFound("There is no such target.")
    require_in(request, target.project_id, MAY_LOOK)
    lineage = target_lineage(target_id)
    return {
        "title": f"{lineage.label or 'Object'} in {lineage.image_name}",
        "section": "project",
        "project": target.project,
        "lineage": lineage,
        "grid": {"cells": _cells(lineage)},
    }


def _cells(lineage: TargetLineage) -> list[dict[str, str]]:
    """One cell per candidate for the viewer, noting how people judged it."""
    notes: dict[int, list[str]] = {}
    for pick in lineage.picks:
        if pick.winner_id is not None:
            notes.setdefault(pick.winner_id, []).append(f"picked, {pick.rating:g}")
    return [
        {
            "label": f"{candidate.id}"
            if candidate.source == "candid8"
            else f"{candidate.id} ({candidate.source})",
            "mesh_url": candidate.mesh_url,
            "preview_url": candidate.preview_url,
            "note": "; ".join(notes.get(candidate.id, [])),
        }
        for candidate in lineage.candidates
    ]
