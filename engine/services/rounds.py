"""Opens and closes the turns of the loop."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.errors import BadInput, NotFound, StaleTransition
from engine.models import Deployment, Project, Round
from engine.states import DeploymentStatus, RoundStatus
from engine.transitions import Actor, record_creation, transition


def open_round(*, project_id: int, alpha: float, num_candidates: int, actor: Actor) -> Round:
    """Opens the project's next round and makes ``alpha`` and ``num_candidates`` the project's own.

    The round remembers what served when it began. Raises BadInput for a bar outside [0, 1], for fewer than 2 or more
    than 64 candidates, and with code ``round_open`` while another round is open.
    """
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"The bar alpha must lie between 0 and 1, not {alpha:g}.", code="bad_alpha")
    if not 2 <= num_candidates <= 64:
        raise BadInput(f"A round shows 2 to 64 candidates, not {num_candidates}.", code="bad_num_candidates")
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
                alpha=alpha,
                num_candidates=num_candidates,
                deployment=serving,
            )
            Project.objects.filter(pk=project.pk).update(alpha=alpha, num_candidates=num_candidates)
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
