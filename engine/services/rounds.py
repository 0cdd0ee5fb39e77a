"""Opens and closes the turns of the loop."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.errors import BadInput, NotFound, StaleTransition
from engine.models import Deployment, Project, Round
from engine.services.mix import checked_mix
from engine.states import DeploymentStatus, RoundStatus
from engine.transitions import Actor, record_creation, transition


def open_round(
    *,
    project_id: int,
    alpha: float,
    num_candidates: int,
    source_mix: Mapping[str, int] | None = None,
    num_draws: int | None = None,
    reward: str = "",
    actor: Actor,
) -> Round:
    """Opens the project's next round and makes its bar, its candidates and their mix the project's own.

    Without ``source_mix`` our own model makes all candidates; ``num_draws`` and ``reward`` are its pre-filter. The
    round remembers what served when it began. Raises BadInput for a bar outside [0, 1], for a mix that ``checked_mix``
    refuses, and with code ``round_open`` while another round is open.
    """
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"The bar alpha must lie between 0 and 1, not {alpha:g}.", code="bad_alpha")
    mix = checked_mix(
        num_candidates=num_candidates, source_mix=source_mix or {}, num_draws=num_draws, reward=reward
    )
    chosen = {
        "alpha": alpha,
        "num_candidates": num_candidates,
        "source_mix": dict(mix.counts),
        "num_draws": num_draws,
        "reward": reward,
    }
    try:
        with transaction.atomic():
            project = _locked(project_id)
            newest = project.rounds.order_by("-number").first()
            if newest is not None and newest.status == RoundStatus.OPEN:
                raise BadInput(f"Round {newest.number} is still open: close it first.", code="round_open")
            serving = Deployment.objects.filter(
                role=Deployment.DeploymentRole.GENERATOR, status=DeploymentStatus.SERVING
            ).first()
            opened = Round.objects.create(
                project=project,
                number=newest.number + 1 if newest else 1,
                deployment=serving,
                **chosen,
            )
            Project.objects.filter(pk=project.pk).update(**chosen)
            record_creation(opened, by=actor)
    except IntegrityError as error:
        raise StaleTransition("Somebody else opened a round in the meantime.") from error
    return opened


def close_round(*, round_id: int, actor: Actor) -> Round:
    """Closes the round; judgements of work that is still under way keep naming it."""
    with transaction.atomic():
        closing = Round.objects.select_for_update().filter(pk=round_id).first()
        if closing is None:
            raise NotFound("There is no such round.")
        transition(closing, RoundStatus.CLOSED, by=actor, changes={"closed_at": timezone.now()})
    return closing


def current_round(project_id: int) -> Round | None:
    """The project's open round. One query."""
    return Round.objects.filter(project_id=project_id, status=RoundStatus.OPEN).first()


def _locked(project_id: int) -> Project:
    project = Project.objects.select_for_update().filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
