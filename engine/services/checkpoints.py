"""Registers weights, judges them, tries them on a share of the batches, deploys them and rolls back."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from engine import events, jobs
from engine.errors import BadInput, EngineError, NotFound, StaleTransition
from engine.models import Checkpoint, DatasetVersion, Deployment, TrainingRun, WorkerSwap
from engine.ranking.gate import GateVerdict
from engine.selectors import deployments
from engine.selectors.arena import gate_between
from engine.selectors.audits import AUDITS
from engine.states import CheckpointStatus, DeploymentStatus
from engine.transitions import Actor, record_creation, record_remark, transition

SHA256 = re.compile(r"[0-9a-f]{64}")
SWAPS_OF_A_WORKER, SWAPS_KEPT = 4, 100


def register(
    *,
    weights_key: str,
    sha256: str,
    manifest: dict[str, Any],
    name: str,
    parent_id: int | None,
    run_id: int | None,
    actor: Actor,
) -> Checkpoint:
    """Writes the row of stored weights and asks a worker to verify them; the same weights are one checkpoint.

    ``parent_id`` defaults to the run's base, and a run learns its output here. Raises BadInput for a malformed hash or
    a manifest that names no preset.
    """
    if not SHA256.fullmatch(sha256):
        raise BadInput("A checkpoint is registered by the sha256 of its weights: 64 lower-case hex digits.")
    preset = manifest.get("preset")
    if not isinstance(preset, str) or not preset:
        raise BadInput("The checkpoint's manifest must name its preset.")
    with transaction.atomic():
        run = TrainingRun.objects.select_for_update().get(pk=run_id) if run_id else None
        checkpoint, is_new = Checkpoint.objects.get_or_create(
            sha256=sha256,
            defaults={
                "name": name,
                "weights_key": weights_key,
                "manifest": manifest,
                "preset": preset,
                "parent_id": parent_id or (run.base_checkpoint_id if run else None),
            },
        )
        if is_new:
            record_creation(checkpoint, by=actor)
            jobs.enqueue(
                kind="verify_checkpoint",
                key=f"verify-{checkpoint.pk}",
                payload={"checkpoint_id": checkpoint.pk},
                project_id=run.project_id if run else None,
            )
        if run is not None and run.output_checkpoint_id != checkpoint.pk:
            TrainingRun.objects.filter(pk=run.pk).update(output_checkpoint=checkpoint)
    return checkpoint


def verify(*, checkpoint_id: int, actor: Actor) -> None:
    """REGISTERED > VERIFIED: it loaded, and its golden outputs came out right. Harmless the second time."""
    with transaction.atomic():
        checkpoint = _locked(checkpoint_id)
        if checkpoint.status != CheckpointStatus.VERIFIED:
            transition(checkpoint, CheckpointStatus.VERIFIED, by=actor)


def refuse(*, checkpoint_id: int, detail: str, actor: Actor = jobs.WORKER) -> None:
    """REGISTERED > REFUSED with the reason. Harmless on a checkpoint that is judged already."""
    with transaction.atomic():
        checkpoint = _locked(checkpoint_id)
        if checkpoint.status == CheckpointStatus.REGISTERED:
            transition(
                checkpoint,
                CheckpointStatus.REFUSED,
                by=actor,
                reason=detail[:300],
                changes={"detail": detail},
            )


def record_evaluation(*, checkpoint_id: int, evaluation: dict[str, Any]) -> None:
    """Keeps the report against the parent; a later one replaces it, but never the audits beside it."""
    with transaction.atomic():
        checkpoint = _locked(checkpoint_id)
        audits = {name: each for name, each in (checkpoint.evaluation or {}).items() if name == AUDITS}
        checkpoint.evaluation = {**evaluation, **audits}
        checkpoint.save(update_fields=["evaluation"])


def record_audit(
    *, checkpoint_id: int, version_id: int, report: dict[str, Any], at: datetime, actor: Actor
) -> None:
    """Adds what was measured on a dataset version's audit set to the evaluation; earlier audits stay as they are.

    The journal says so. Raises NotFound for a checkpoint or a version that is not there.
    """
    version = DatasetVersion.objects.select_related("project").filter(pk=version_id).first()
    if version is None:
        raise NotFound("There is no such dataset version.")
    entry = {
        **report,
        "version": version.pk,
        "version_number": version.number,
        "project": version.project.name,
        "at": at.isoformat(),
    }
    with transaction.atomic():
        checkpoint = _locked(checkpoint_id)
        known = checkpoint.evaluation or {}
        checkpoint.evaluation = {**known, AUDITS: [*known.get(AUDITS, []), entry]}
        checkpoint.save(update_fields=["evaluation"])
        record_remark(
            checkpoint, by=actor, reason=f"audited on what {version} of {version.project.name} held back"
        )


def deploy(
    *,
    checkpoint_id: int,
    role: str = deployments.GENERATOR,
    actor: Actor,
    reason: str = "",
    override: str = "",
) -> Deployment:
    """Makes the checkpoint serve in the role as a new generation, and retires what served, in one transaction.

    A canary of the same checkpoint is promoted with the generation that it has. Where the checkpoint met the serving
    one in an arena, the arena's gate must have passed it; ``override`` says why it is deployed all the same, and the
    journal keeps that. Raises EngineError ``not_verified`` for a checkpoint that is not VERIFIED, ``gate_not_passed``,
    ``already_serving`` when it serves now, StaleTransition when somebody else deployed at the same moment.
    """
    checked = _check_gate(checkpoint_id, role=role, override=override.strip())
    try:
        with transaction.atomic():
            checkpoint = _verified(checkpoint_id)
            return _promote(checkpoint, role=role, actor=actor, reason=reason or checked)
    except IntegrityError as error:
        raise StaleTransition("Somebody else deployed a checkpoint in the meantime. Look again.") from error


def rollback(*, role: str = deployments.GENERATOR, actor: Actor) -> Deployment:
    """Deploys the checkpoint that served before the present one, as a new generation.

    Raises EngineError ``nothing_to_roll_back`` when no other checkpoint ever served in the role.
    """
    previous = deployments.previously_serving(role)
    if previous is None:
        raise EngineError(
            "There is nothing to roll back to: no other checkpoint has served yet.",
            code="nothing_to_roll_back",
        )
    return deploy(
        checkpoint_id=previous.checkpoint_id,
        role=role,
        actor=actor,
        override="a rollback",
        reason=f"rolled back to the checkpoint of generation {previous.generation}",
    )


def stage_canary(
    *, checkpoint_id: int, share: float, role: str = deployments.GENERATOR, actor: Actor
) -> Deployment:
    """Lets the checkpoint make ``share`` of the batches beside what serves, as a new generation.

    Raises BadInput ``bad_share`` outside (0, 1); EngineError ``not_verified``, ``nothing_serves`` when there is nothing
    to stand beside, ``already_serving``, ``canary_exists``; StaleTransition when somebody else staged one meanwhile.
    """
    share = _checked_share(share)
    try:
        with transaction.atomic():
            checkpoint = _verified(checkpoint_id)
            deployed = deployments.deployed(role)
            if deployed.serving is None:
                raise EngineError(
                    "A canary is tried beside what serves, and nothing serves yet: deploy it instead.",
                    code="nothing_serves",
                )
            if deployed.serving.checkpoint_id == checkpoint.pk:
                raise EngineError(f"{checkpoint.name} serves already.", code="already_serving")
            if deployed.canary is not None:
                raise EngineError(
                    f"{deployed.canary.checkpoint.name} is the canary: promote it or give it up first.",
                    code="canary_exists",
                )
            canary = _new_deployment(checkpoint, role=role, actor=actor, reason="as a canary")
            transition(
                canary,
                DeploymentStatus.CANARY,
                by=actor,
                reason=f"{share:.4g} of the batches",
                changes={"canary_share": share},
            )
            _announce(canary)
    except IntegrityError as error:
        raise StaleTransition("Somebody else deployed a checkpoint in the meantime. Look again.") from error
    return canary


def set_canary_share(*, deployment_id: int, share: float, actor: Actor) -> Deployment:
    """Gives the canary another share of the batches. Raises BadInput ``bad_share``, EngineError ``not_a_canary``."""
    share = _checked_share(share)
    with transaction.atomic():
        canary = _locked_canary(deployment_id)
        record_remark(
            canary, by=actor, reason=f"{share:.4g} of the batches, {canary.canary_share:.4g} before"
        )
        canary.canary_share = share
        canary.save(update_fields=["canary_share"])
        _announce(canary)
    return canary


def promote_canary(*, deployment_id: int, actor: Actor, override: str = "") -> Deployment:
    """Makes the canary serve and retires what served; its gate and its refusals are those of ``deploy``.

    Raises EngineError ``not_a_canary`` besides.
    """
    canary = Deployment.objects.filter(pk=deployment_id).first()
    if canary is None:
        raise NotFound("There is no such deployment.")
    _check_is_canary(canary)
    return deploy(checkpoint_id=canary.checkpoint_id, role=canary.role, actor=actor, override=override)


def abandon_canary(*, deployment_id: int, actor: Actor, reason: str = "") -> Deployment:
    """Gives the canary up; batches that it has made stay. Raises EngineError ``not_a_canary``."""
    with transaction.atomic():
        canary = _locked_canary(deployment_id)
        transition(
            canary,
            DeploymentStatus.RETIRED,
            by=actor,
            reason=reason.strip() or "given up as a canary",
            changes={"canary_share": 0.0},
        )
        _announce(canary)
    return canary


def record_swap(*, deployment_id: int, worker: str, seconds: float, error: str = "") -> None:
    """Keeps that a worker process loaded the deployment, or why it could not; the deployment's row says the latter too.

    Of each process and in all only the newest are kept.
    """
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().filter(pk=deployment_id).first()
        if deployment is None:
            raise NotFound("There is no such deployment.")
        WorkerSwap.objects.update_or_create(
            worker=worker,
            deployment=deployment,
            defaults={"at": timezone.now(), "seconds": seconds, "error": error},
        )
        newest = WorkerSwap.objects.order_by("-at", "-pk").values("pk")
        WorkerSwap.objects.filter(worker=worker).exclude(
            pk__in=newest.filter(worker=worker)[:SWAPS_OF_A_WORKER]
        ).delete()
        WorkerSwap.objects.exclude(pk__in=newest[:SWAPS_KEPT]).delete()
        if deployment.swap_error != error:
            Deployment.objects.filter(pk=deployment_id).update(swap_error=error)
            _announce(deployment)


def _check_gate(checkpoint_id: int, *, role: str, override: str) -> str:
    """What the journal should say of the arena; raises ``gate_not_passed`` when it does not let the checkpoint by."""
    serving = deployments.serving(role)
    if serving is None or serving.checkpoint_id == checkpoint_id:
        return ""
    met = gate_between(new_id=checkpoint_id, serving_id=serving.checkpoint_id)
    if met is None:
        return ""
    arena, gate = met
    if gate.verdict == GateVerdict.PASS:
        return f"passed the gate of the arena {arena.name}"
    said = " ".join(gate.reasons)
    if not override:
        raise EngineError(
            f"The arena {arena.name} does not let it by: {said} Say why it should be deployed all the same.",
            code="gate_not_passed",
        )
    return f"{override} (against the gate of the arena {arena.name}: {said})"


def _promote(checkpoint: Checkpoint, *, role: str, actor: Actor, reason: str) -> Deployment:
    """Demotes before it promotes: the rule of one serving deployment per role cannot wait for the commit."""
    retiring = (
        Deployment.objects.select_for_update().filter(role=role, status=DeploymentStatus.SERVING).first()
    )
    if retiring is not None and retiring.checkpoint_id == checkpoint.pk:
        raise EngineError(f"{checkpoint.name} serves already.", code="already_serving")
    deployment = Deployment.objects.filter(
        role=role, status=DeploymentStatus.CANARY, checkpoint=checkpoint
    ).first() or _new_deployment(checkpoint, role=role, actor=actor, reason=reason)
    if retiring is not None:
        transition(
            retiring,
            DeploymentStatus.RETIRED,
            by=actor,
            reason=f"generation {deployment.generation} took over",
        )
    transition(
        deployment,
        DeploymentStatus.SERVING,
        by=actor,
        reason=reason,
        changes={"canary_share": 0.0, "serving_since": timezone.now()},
    )
    _announce(deployment)
    return deployment


def _new_deployment(checkpoint: Checkpoint, *, role: str, actor: Actor, reason: str) -> Deployment:
    newest = Deployment.objects.filter(role=role).aggregate(newest=Max("generation"))["newest"] or 0
    deployment = Deployment.objects.create(
        role=role, checkpoint=checkpoint, generation=newest + 1, deployed_by_id=actor.user_id
    )
    record_creation(deployment, by=actor, reason=reason)
    return deployment


def _checked_share(share: float) -> float:
    if not 0.0 < share < 1.0:
        raise BadInput(
            f"A canary's share of the batches lies between 0 and 1, both excluded, not {share:g}.",
            code="bad_share",
        )
    return share


def _locked_canary(deployment_id: int) -> Deployment:
    canary = Deployment.objects.select_for_update().filter(pk=deployment_id).first()
    if canary is None:
        raise NotFound("There is no such deployment.")
    _check_is_canary(canary)
    return canary


def _check_is_canary(deployment: Deployment) -> None:
    if deployment.status != DeploymentStatus.CANARY:
        raise EngineError(
            f"Generation {deployment.generation} is {deployment.status}, not a canary.", code="not_a_canary"
        )


def _announce(deployment: Deployment) -> None:
    events.publish(
        project_id=None,
        kind="deployment.changed",
        id=str(deployment.pk),
        status=str(deployment.status),
        generation=deployment.generation,
    )


def _verified(checkpoint_id: int) -> Checkpoint:
    checkpoint = _locked(checkpoint_id)
    if checkpoint.status != CheckpointStatus.VERIFIED:
        raise EngineError(
            f"{checkpoint.name} is {checkpoint.status}: only a VERIFIED checkpoint may serve.",
            code="not_verified",
        )
    return checkpoint


def _locked(checkpoint_id: int) -> Checkpoint:
    checkpoint = Checkpoint.objects.select_for_update().filter(pk=checkpoint_id).first()
    if checkpoint is None:
        raise NotFound("There is no such checkpoint.")
    return checkpoint
