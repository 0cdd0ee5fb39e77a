"""Pages of checkpoints and where they serve: lineage, evaluation, deploy, try as a canary, roll back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from engine.admin.console.doors import Done, action, actor_of, page
from engine.admin.console.evaluation import read_audits, read_report
from engine.admin.console.family_rails import rails
from engine.admin.console.forms import CanaryForm, ShareForm, require_valid
from engine.admin.members import MAY_DRIVE, reach_of, require_anywhere
from engine.errors import NotFound
from engine.models import Checkpoint, Deployment
from engine.selectors import deployments
from engine.selectors.arena import gate_between
from engine.selectors.examples import examples_of
from engine.selectors.family import family
from engine.selectors.lineage import ancestry, offspring
from engine.services import checkpoints
from engine.states import CheckpointStatus, DeploymentStatus


def checkpoint_url(*, checkpoint_id: int) -> str:
    return reverse("admin:console-checkpoint", kwargs={"checkpoint_id": checkpoint_id})


def deployments_url() -> str:
    return reverse("admin:console-deployments")


@page("admin/console/checkpoint.html")
def checkpoint_page(request: HttpRequest, *, checkpoint_id: int) -> dict[str, Any]:
    line = ancestry(checkpoint_id)
    if not line:
        raise NotFound("There is no such checkpoint.")
    checkpoint, run = line[0].checkpoint, line[0].run
    serving = deployments.serving()
    is_serving = serving is not None and serving.checkpoint_id == checkpoint.pk
    relatives = family(checkpoint_id)
    return {
        "title": checkpoint.name,
        "section": "deployments",
        "checkpoint": checkpoint,
        "run": run,
        "family": relatives,
        "rails": rails(relatives),
        "offspring": offspring(checkpoint_id),
        "report": read_report(checkpoint.evaluation),
        "audits": read_audits(checkpoint.evaluation),
        "examples": [
            (each, {"columns": each.columns, "cells": [asdict(shape) for shape in each.shapes]})
            for each in examples_of(checkpoint.evaluation)
        ],
        "deployments": deployments.history().filter(checkpoint=checkpoint),
        "serving": serving,
        "is_serving": is_serving,
        "met": gate_between(new_id=checkpoint_id, serving_id=serving.checkpoint_id)
        if serving is not None and not is_serving
        else None,
        "may_deploy": checkpoint.status == CheckpointStatus.VERIFIED and not is_serving,
        "may_drive": reach_of(request).may(MAY_DRIVE),
    }


@action(back=checkpoint_url)
def deploy(request: HttpRequest, *, checkpoint_id: int) -> Done:
    require_anywhere(request, MAY_DRIVE)
    deployment = checkpoints.deploy(
        checkpoint_id=checkpoint_id,
        actor=actor_of(request),
        override=request.POST.get("override", "")[:200],
    )
    return Done(
        message=(
            f"{deployment.checkpoint.name} serves as generation {deployment.generation}. "
            "Workers swap at their next job; work in flight ends on the old one."
        ),
        url=deployments_url(),
    )


@page("admin/console/deployments.html")
def deployments_page(request: HttpRequest) -> dict[str, Any]:
    deployed = deployments.deployed()
    serving, canary = deployed.serving, deployed.canary
    known = list(Checkpoint.objects.select_related("parent").order_by("-id")[:30])
    return {
        "title": "Deployments",
        "section": "deployments",
        "serving": serving,
        "canary": canary,
        "share_form": ShareForm(initial={"share": canary.canary_share}) if canary else None,
        "canary_form": CanaryForm(known=_may_be_canary(known, serving)) if serving and not canary else None,
        "swaps": deployments.last_swaps()[:30],
        "previous": deployments.previously_serving(),
        "history": deployments.history()[:30],
        "checkpoints": known,
        "VERIFIED": CheckpointStatus.VERIFIED,
        "RETIRED": DeploymentStatus.RETIRED,
        "may_drive": reach_of(request).may(MAY_DRIVE),
    }


@action(back=deployments_url)
def stage_canary(request: HttpRequest) -> Done:
    require_anywhere(request, MAY_DRIVE)
    known = Checkpoint.objects.filter(status=CheckpointStatus.VERIFIED)
    chosen = require_valid(CanaryForm(request.POST, known=known))
    canary = checkpoints.stage_canary(
        checkpoint_id=chosen["checkpoint"], share=chosen["share"], actor=actor_of(request)
    )
    return Done(
        message=f"{canary.checkpoint.name} makes {canary.canary_share:.1%} of the batches as a canary.",
        url=deployments_url(),
    )


@action(back=lambda deployment_id: deployments_url())
def set_canary_share(request: HttpRequest, *, deployment_id: int) -> Done:
    require_anywhere(request, MAY_DRIVE)
    chosen = require_valid(ShareForm(request.POST))
    canary = checkpoints.set_canary_share(
        deployment_id=deployment_id, share=chosen["share"], actor=actor_of(request)
    )
    return Done(
        message=f"The canary makes {canary.canary_share:.1%} of the batches from now on.",
        url=deployments_url(),
    )


@action(back=lambda deployment_id: deployments_url())
def promote_canary(request: HttpRequest, *, deployment_id: int) -> Done:
    require_anywhere(request, MAY_DRIVE)
    promoted = checkpoints.promote_canary(
        deployment_id=deployment_id,
        actor=actor_of(request),
        override=request.POST.get("override", "")[:200],
    )
    return Done(
        message=f"{promoted.checkpoint.name} serves as generation {promoted.generation}.",
        url=deployments_url(),
    )


@action(back=lambda deployment_id: deployments_url())
def abandon_canary(request: HttpRequest, *, deployment_id: int) -> Done:
    require_anywhere(request, MAY_DRIVE)
    abandoned = checkpoints.abandon_canary(
        deployment_id=deployment_id, actor=actor_of(request), reason=request.POST.get("reason", "")[:200]
    )
    return Done(
        message=f"Generation {abandoned.generation} is given up; batches that it made stay.",
        url=deployments_url(),
    )


@action(back=deployments_url)
def rollback(request: HttpRequest) -> Done:
    require_anywhere(request, MAY_DRIVE)
    deployment = checkpoints.rollback(actor=actor_of(request))
    return Done(
        message=f"Rolled back: {deployment.checkpoint.name} serves again, as generation {deployment.generation}.",
        url=deployments_url(),
    )


def _may_be_canary(known: Iterable[Checkpoint], serving: Deployment) -> list[Checkpoint]:
    return [
        each
        for each in known
        if each.status == CheckpointStatus.VERIFIED and each.pk != serving.checkpoint_id
    ]
