"""Starts, follows and ends training runs; what the worker calls is harmless when it calls twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from engine import events, jobs
from engine.errors import BadInput, EngineError, NotFound
from engine.models import Checkpoint, DatasetVersion, RunMetric, StateChange, TrainingRun
from engine.selectors import deployments
from engine.states import CheckpointStatus, DatasetStatus, RunStatus
from engine.transitions import Actor, record_creation, transition

LOG_TAIL_CHARACTERS = 16_000
ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.CANCELLED, RunStatus.FAILED})
USABLE = frozenset({CheckpointStatus.REGISTERED, CheckpointStatus.VERIFIED})


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One number an ML engineer may choose for a run, with what it is unless they do."""

    name: str
    label: str
    kind: type[int] | type[float]
    low: float
    high: float
    default: float
    help: str

    def read(self, value: Any) -> int | float:
        """The value as this setting has it; ValueError says what would be right."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or (self.kind is int and value != int(value)):
            raise ValueError("A whole number is needed." if self.kind is int else "A number is needed.")
        if not self.low <= value <= self.high:
            raise ValueError(f"Must lie between {self.low:g} and {self.high:g}.")
        return self.kind(value)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few ways an ML engineer may choose for a run; ``options`` is value > what a form calls it."""

    name: str
    label: str
    options: Mapping[str, str]
    default: str
    help: str

    def read(self, value: Any) -> str:
        """The value; ValueError says which there are."""
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(f"Must be one of {', '.join(self.options)}.")
        return value


STEPS_HELP = "Optimiser steps. Kept small, so that a round on a processor ends within minutes."
EVALUATION = Setting(
    name="evaluation_objects", label="Held-out objects", kind=int, low=2, high=512, default=24,
    help="On so many the result is compared with its base, eight candidates each. Fewer: faster, wider intervals.",
)  # fmt: skip
#: Defaults that were seen to learn at the tiny preset: about 2.7 passes for DPO, half D+ half replay for SFT.
SETTINGS: Mapping[str, tuple[Setting | Choice, ...]] = {
    TrainingRun.Objective.SFT: (
        Setting(name="steps", label="Steps", kind=int, low=1, high=1_000_000, default=90, help=STEPS_HELP),
        Setting(
            name="learning_rate", label="Learning rate", kind=float, low=1e-8, high=0.1, default=3e-4,
            help="A tiny model takes 1e-4 to 6e-4; a large one 1e-5.",
        ),
        Choice(
            name="optimizer", label="Optimizer", options={"adamw": "AdamW", "muon": "Muon"}, default="adamw",
            help="Muon learns more a step; a model that was trained long keeps more of it with AdamW.",
        ),
        Setting(
            name="batch_size", label="Batch size", kind=int, low=1, high=4096, default=16, help="Examples per step."
        ),
        Setting(
            name="replay_share", label="Replay share", kind=float, low=0.0, high=0.95, default=0.5,
            help="Part of each batch that is synthetic, so that little data is not learnt by heart.",
        ),
        EVALUATION,
    ),
    TrainingRun.Objective.DPO: (
        Setting(name="steps", label="Steps", kind=int, low=1, high=1_000_000, default=50, help=STEPS_HELP),
        Setting(
            name="learning_rate", label="Learning rate", kind=float, low=1e-8, high=0.1, default=3e-5,
            help="At 1e-4 a tiny model learned the noise of its pairs; a large one takes 2.5e-6.",
        ),
        Setting(
            name="batch_size", label="Batch size", kind=int, low=1, high=4096, default=16, help="Pairs per step."
        ),
        Setting(
            name="draws", label="Noises per pair", kind=int, low=1, high=64, default=1,
            help="A pair's margin is the mean over so many: at one it is mostly that noise. Each costs a pass more.",
        ),
        Setting(
            name="beta", label="Beta", kind=float, low=1e-3, high=1e5, default=100.0,
            help="How strongly the policy is held to the reference.",
        ),
        EVALUATION,
    ),
}  # fmt: skip


def steps_of_one_pass(*, objective: str, num_examples: int) -> int:
    """How many steps a run of the usual settings takes to see each example once, so that steps can grow with data."""
    usual = {setting.name: setting.default for setting in SETTINGS[objective]}
    judged_a_step = float(usual["batch_size"]) * (1 - float(usual.get("replay_share", 0.0)))
    return math.ceil(num_examples / judged_a_step)


def start_run(
    *,
    project_id: int,
    dataset_version_id: int,
    objective: str,
    base_checkpoint_id: int | None,
    seed: int,
    settings: Mapping[str, Any],
    actor: Actor,
) -> TrainingRun:
    """Queues a run of ``objective`` on the frozen dataset version, from the base (default: what serves now).

    Raises BadInput when the version is not frozen or lacks what the objective learns from, when there is no usable
    base, and for a setting that is unknown or out of range.
    """
    if objective not in TrainingRun.Objective.values:
        raise BadInput(
            f"The objective must be one of {', '.join(TrainingRun.Objective.values)}, not {objective!r}."
        )
    chosen = read_settings(objective=objective, settings=settings)
    if not 0 <= seed < 2**63:
        raise BadInput("The seed must be a whole number from 0 on.")
    version = DatasetVersion.objects.filter(pk=dataset_version_id, project_id=project_id).first()
    if version is None:
        raise NotFound("There is no such dataset version in this project.")
    _require_content(version, objective)
    base = _base(base_checkpoint_id)
    with transaction.atomic():
        run = TrainingRun.objects.create(
            project_id=project_id,
            dataset_version=version,
            objective=objective,
            base_checkpoint=base,
            settings=chosen,
            seed=seed,
            total_steps=chosen["steps"],
            started_by_id=actor.user_id,
        )
        record_creation(run, by=actor)
        _enqueue(run)
    return run


def clone_run(
    *,
    run_id: int,
    seed: int | None,
    settings: Mapping[str, Any],
    dataset_version_id: int | None,
    actor: Actor,
) -> TrainingRun:
    """Queues a run like this one, whatever became of it: the same data, base and settings unless others are given.

    Raises what start_run raises; nothing of the old run changes.
    """
    old = TrainingRun.objects.filter(pk=run_id).first()
    if old is None:
        raise NotFound("There is no such run.")
    return start_run(
        project_id=old.project_id,
        dataset_version_id=dataset_version_id or old.dataset_version_id,
        objective=old.objective,
        base_checkpoint_id=old.base_checkpoint_id,
        seed=old.seed if seed is None else seed,
        settings={**old.settings, **settings},
        actor=actor,
    )


def read_settings(*, objective: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the objective, chosen or default; raises BadInput (with ``errors`` by field) for the others."""
    known = {setting.name: setting for setting in SETTINGS[objective]}
    errors = {
        name: f"There is no such setting; known are {', '.join(known)}."
        for name in settings
        if name not in known
    }
    chosen: dict[str, Any] = {}
    for name, setting in known.items():
        try:
            chosen[name] = setting.read(settings.get(name, setting.default))
        except ValueError as refused:
            errors[name] = str(refused)
    if errors:
        first = next(iter(errors))
        raise BadInput(f"{first}: {errors[first]}", code="bad_settings", errors=errors)
    return chosen


def cancel_run(*, run_id: int, actor: Actor) -> TrainingRun:
    """QUEUED or RUNNING > CANCELLED; the worker sees it at its next look and stops."""
    with transaction.atomic():
        run = _locked(run_id)
        transition(
            run, RunStatus.CANCELLED, by=actor, changes={"ended_at": timezone.now(), "detail": "Cancelled."}
        )
    return run


def resume_run(*, run_id: int, actor: Actor) -> TrainingRun:
    """FAILED > QUEUED as a new attempt, from the last state the run had saved."""
    with transaction.atomic():
        run = _locked(run_id)
        transition(run, RunStatus.QUEUED, by=actor, changes={"ended_at": None, "detail": ""})
        _enqueue(run)
    return run


def begin(run_id: int) -> TrainingRun | None:
    """QUEUED > RUNNING. A run that is RUNNING already lost its worker and goes on; None when it has ended."""
    with transaction.atomic():
        run = _locked(run_id)
        if run.status in ENDED:
            return None
        if run.status == RunStatus.QUEUED:
            transition(
                run,
                RunStatus.RUNNING,
                by=jobs.WORKER,
                changes={"started_at": timezone.now(), "phase": "starting"},
            )
    return TrainingRun.objects.select_related("dataset_version", "base_checkpoint").get(pk=run_id)


def report_progress(
    *, run_id: int, step: int, total: int, phase: str, metrics: Mapping[str, float], log_tail: str
) -> bool:
    """Keeps how far the run is, and its numbers at ``step``; False when it is no longer RUNNING (then stop).

    Non-finite numbers are left out of the curves. Browsers are told when the percentage or the phase changed.
    """
    with transaction.atomic():
        run = _locked(run_id)
        if run.status != RunStatus.RUNNING:
            return False
        TrainingRun.objects.filter(pk=run_id).update(
            step=step, total_steps=total, phase=phase, log_tail=log_tail[-LOG_TAIL_CHARACTERS:]
        )
        RunMetric.objects.bulk_create(
            [
                RunMetric(run_id=run_id, name=name, step=step, value=value)
                for name, value in metrics.items()
                if math.isfinite(value)
            ],
            update_conflicts=True,
            unique_fields=["run", "name", "step"],
            update_fields=["value"],
        )
        if run.phase != phase or _percent(run.step, run.total_steps) != _percent(step, total):
            events.publish(
                project_id=run.project_id, kind="run.progress", id=str(run_id), step=step, total=total
            )
    return True


def succeed(*, run_id: int, checkpoint_id: int) -> None:
    """RUNNING > SUCCEEDED with its checkpoint, which must not be refused. Harmless the second time."""
    with transaction.atomic():
        run = _locked(run_id)
        if run.status == RunStatus.SUCCEEDED and run.output_checkpoint_id == checkpoint_id:
            return
        checkpoint = Checkpoint.objects.filter(pk=checkpoint_id).first()
        if checkpoint is None or checkpoint.status not in USABLE:
            raise EngineError(
                f"Run {run_id} cannot succeed: its checkpoint is missing or was refused.",
                code="bad_checkpoint",
            )
        transition(
            run,
            RunStatus.SUCCEEDED,
            by=jobs.WORKER,
            changes={
                "output_checkpoint_id": checkpoint_id,
                "ended_at": timezone.now(),
                "phase": "done",
            },
        )


def fail(*, run_id: int, detail: str) -> None:
    """QUEUED or RUNNING > FAILED with the reason. Harmless on a run that has ended."""
    with transaction.atomic():
        run = _locked(run_id)
        if run.status not in ENDED:
            transition(
                run,
                RunStatus.FAILED,
                by=jobs.WORKER,
                reason=detail[:300],
                changes={"detail": detail, "ended_at": timezone.now()},
            )


def is_cancelled(run_id: int) -> bool:
    return TrainingRun.objects.filter(pk=run_id, status=RunStatus.CANCELLED).exists()


def _require_content(version: DatasetVersion, objective: str) -> None:
    if version.status != DatasetStatus.FROZEN:
        raise BadInput("A run needs a frozen dataset version.", code="dataset_not_frozen")
    if objective == TrainingRun.Objective.SFT and not version.num_demonstrations:
        raise BadInput(
            f"Dataset v{version.number} holds no demonstrations, and SFT learns from them. "
            "Lower alpha, or collect picks that pass it.",
            code="dataset_lacks_demonstrations",
        )
    if objective == TrainingRun.Objective.DPO and not version.num_preference_pairs:
        raise BadInput(
            f"Dataset v{version.number} holds no preference pairs, and DPO learns from them. Collect more picks.",
            code="dataset_lacks_pairs",
        )


def _base(checkpoint_id: int | None) -> Checkpoint:
    if checkpoint_id is None:
        serving = deployments.serving()
        if serving is None:
            raise BadInput(
                "No checkpoint serves yet, so the base checkpoint must be named.", code="no_base_checkpoint"
            )
        return serving.checkpoint
    base = Checkpoint.objects.filter(pk=checkpoint_id).first()
    if base is None:
        raise NotFound("There is no such checkpoint.")
    if base.status not in USABLE:
        raise BadInput(f"{base.name} is {base.status} and cannot be a base.", code="bad_base_checkpoint")
    return base


def _enqueue(run: TrainingRun) -> None:
    """One job per attempt: the journal counts how often the run was queued."""
    attempt = StateChange.objects.filter(
        model=run._meta.model_name, object_id=run.pk, new=RunStatus.QUEUED
    ).count()
    jobs.enqueue(
        kind="train_run",
        key=f"run-{run.pk}-{attempt}",
        payload={"run_id": run.pk},
        project_id=run.project_id,
    )


def _percent(step: int, total: int) -> int:
    return 100 * step // total if total else 0


def _locked(run_id: int) -> TrainingRun:
    run = TrainingRun.objects.select_for_update().filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run.")
    return run
