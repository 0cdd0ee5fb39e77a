"""What serves, what is tried beside it on which batches, what served before, and what a roll-back would bring back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db.models import QuerySet

from engine.models import Deployment, WorkerSwap
from engine.states import DeploymentStatus

GENERATOR = str(Deployment.DeploymentRole.GENERATOR)


def serving(role: str = GENERATOR) -> Deployment | None:
    """The role's serving deployment with its checkpoint, or None before the first one. One query."""
    return history(role).filter(status=DeploymentStatus.SERVING).first()


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What makes candidates now."""

    serving: Deployment | None
    canary: Deployment | None


def deployed(role: str = GENERATOR) -> Deployed:
    """The serving deployment and the canary, each with its checkpoint. One query."""
    found = {
        row.status: row
        for row in history(role).filter(status__in=[DeploymentStatus.SERVING, DeploymentStatus.CANARY])
    }
    return Deployed(
        serving=found.get(DeploymentStatus.SERVING.value), canary=found.get(DeploymentStatus.CANARY.value)
    )


def belongs_to_canary(batch_id: int, *, canary: Deployment) -> bool:
    """Whether the canary makes this batch: the same batches for the same share, more of them for a larger one."""
    return place_of(batch_id, canary=canary) < canary.canary_share


def place_of(batch_id: int, *, canary: Deployment) -> float:
    """Where in [0, 1) the batch stands for this canary; elsewhere for another: none is always tried on."""
    digest = hashlib.sha256(f"canary {canary.generation} batch {batch_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def last_swaps() -> QuerySet[WorkerSwap]:
    """What worker processes loaded, or could not load, newest first."""
    return WorkerSwap.objects.select_related("deployment__checkpoint").order_by("-at", "-pk")


def history(role: str = GENERATOR) -> QuerySet[Deployment]:
    """Every deployment of the role, newest generation first."""
    return (
        Deployment.objects.filter(role=role)
        .select_related("checkpoint", "deployed_by")
        .order_by("-generation")
    )


def served_before(present: Deployment) -> QuerySet[Deployment]:
    """What served in the role before ``present`` did, newest first; canaries that were given up are not among them."""
    return (
        history(present.role)
        .filter(serving_since__lt=present.serving_since)
        .order_by("-serving_since", "-generation")
    )


def previously_serving(role: str = GENERATOR) -> Deployment | None:
    """The last deployment before the present one with another checkpoint: what a roll-back deploys again."""
    present = serving(role)
    if present is None:
        return None
    return served_before(present).exclude(checkpoint_id=present.checkpoint_id).first()
