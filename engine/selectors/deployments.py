"""What serves, what served before, and what a roll-back would bring back."""

from __future__ import annotations

from django.db.models import QuerySet

from engine.models import Deployment
from engine.states import DeploymentStatus

GENERATOR = str(Deployment.DeploymentRole.GENERATOR)


def serving(role: str = GENERATOR) -> Deployment | None:
    """The role's serving deployment with its checkpoint, or None before the first one. One query."""
    return history(role).filter(status=DeploymentStatus.SERVING).first()


def history(role: str = GENERATOR) -> QuerySet[Deployment]:
    """Every deployment of the role, newest generation first."""
    return (
        Deployment.objects.filter(role=role)
        .select_related("checkpoint", "deployed_by")
        .order_by("-generation")
    )


def previously_serving(role: str = GENERATOR) -> Deployment | None:
    """The newest retired deployment of another checkpoint than the one that serves: what a roll-back deploys again."""
    present = serving(role)
    if present is None:
        return None
    return (
        history(role)
        .filter(status=DeploymentStatus.RETIRED, generation__lt=present.generation)
        .exclude(checkpoint_id=present.checkpoint_id)
        .first()
    )
