"""Pages of a project and its rounds: open, close, look at the yield, freeze."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.console.forms import FreezeForm, OpenRoundForm, require_valid
from engine.admin.members import MAY_DRIVE, MAY_JUDGE, MAY_LOOK, reach_of, require_in
from engine.errors import NotFound
from engine.models import ArtistCase, Project, Round
from engine.selectors.datasets import versions_of
from engine.selectors.quality import NO_PICKS, round_figures, yields
from engine.selectors.rewards import measured_rewards
from engine.selectors.runs import runs_of
from engine.selectors.sources import shortfalls
from engine.services import datasets, rounds
from engine.services.mix import mix_from_text, mix_of
from engine.states import CASE_IS_OVER, RoundStatus


def project_url(*, project_id: int) -> str:
    return reverse("admin:console-project", kwargs={"project_id": project_id})


def round_url(*, round_id: int) -> str:
    return reverse("admin:console-round", kwargs={"round_id": round_id})


@page("admin/console/project.html")
def project_page(request: HttpRequest, *, project_id: int) -> dict[str, Any]:
    require_in(request, project_id, MAY_LOOK)
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    picks = yields(project_id)
    all_rounds = list(project.rounds.select_related("deployment__checkpoint"))
    open_round = next((each for each in all_rounds if each.status == RoundStatus.OPEN), None)
    return {
        "title": project.name,
        "section": "project",
        "project": project,
        "rounds": [(each, picks.get(each.pk, NO_PICKS), mix_of(each)) for each in all_rounds[:30]],
        "open_round": open_round,
        "form": OpenRoundForm.of(project),
        "versions": versions_of(project_id)[:10],
        "runs": runs_of(project_id)[:10],
        "may_drive": reach_of(request).may_in(project_id, MAY_DRIVE),
        "may_judge": reach_of(request).may_in(project_id, MAY_JUDGE),
    }


@action(back=project_url)
def open_round(request: HttpRequest, *, project_id: int) -> Done:
    require_in(request, project_id, MAY_DRIVE)
    chosen = require_valid(OpenRoundForm(request.POST))
    opened = rounds.open_round(
        project_id=project_id,
        alpha=chosen["alpha"],
        num_candidates=chosen["num_candidates"],
        source_mix=mix_from_text(chosen["source_mix"]),
        num_draws=chosen["num_draws"],
        reward=chosen["reward"],
        actor=actor_of(request),
    )
    return Done(message=f"Round {opened.number} is open.", url=round_url(round_id=opened.pk))


@page("admin/console/round.html")
def round_page(request: HttpRequest, *, round_id: int) -> dict[str, Any]:
    shown = _round(request, round_id, MAY_LOOK)
    return {
        "title": f"Round {shown.number}",
        "section": "project",
        "project": shown.project,
        "round": shown,
        "mix": mix_of(shown),
        "measured": measured_rewards().get(shown.reward),
        "shortfalls": shortfalls(shown),
        "figures": round_figures(shown),
        "is_open": shown.status == RoundStatus.OPEN,
        "num_cases": ArtistCase.objects.filter(project=shown.project)
        .exclude(status__in=CASE_IS_OVER)
        .count(),
        "versions": versions_of(shown.project_id).filter(round=shown),
        "form": FreezeForm(initial={"alpha": shown.alpha}),
        "may_drive": reach_of(request).may_in(shown.project_id, MAY_DRIVE),
    }


@action(back=round_url)
def close_round(request: HttpRequest, *, round_id: int) -> Done:
    _round(request, round_id, MAY_DRIVE)
    closed = rounds.close_round(round_id=round_id, actor=actor_of(request))
    return Done(
        message=f"Round {closed.number} is closed. Open the next one when you are ready.",
        url=project_url(project_id=closed.project_id),
    )


@action(back=round_url)
def freeze(request: HttpRequest, *, round_id: int) -> Done:
    of = _round(request, round_id, MAY_DRIVE)
    chosen = require_valid(FreezeForm(request.POST))
    version = datasets.freeze(project_id=of.project_id, alpha=chosen["alpha"], actor=actor_of(request))
    return Done(
        message=(
            f"Dataset v{version.number} is frozen: {version.num_demonstrations} demonstrations, "
            f"{version.num_preference_pairs} preference pairs, {len(version.exclusions)} exclusions."
        ),
        url=reverse("admin:console-dataset", kwargs={"version_id": version.pk}),
    )


def _round(request: HttpRequest, round_id: int, wanted: Any) -> Round:
    found = Round.objects.select_related("project", "deployment__checkpoint").filter(pk=round_id).first()
    if found is None:
        raise NotFound("There is no such round.")
    require_in(request, found.project_id, wanted)
    return found
