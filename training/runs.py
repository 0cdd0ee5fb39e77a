"""One training run from a parent checkpoint and a frozen dataset to a child checkpoint: what the bridge calls."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelzoo.checkpoint import Lineage, Manifest, StateDict, assemble
from modelzoo.registry import load_models
from modelzoo.serving import golden_outputs
from training.configs import RunConfig, default_config
from training.data.manifests import read_dataset
from training.loop.distributed import Team
from training.stages import stage_setup
from training.trainer import Progress, TrainingLoop

OUTPUT_FOLDER, STATE_FOLDER = "checkpoint", "state"
ABOUT_FILE, SETTINGS_FILE = "run.json", "settings.json"  # what a run starts from, and its config
FAILURE_FILE = "failure.txt"  # why a run cannot go on, for those who started its processes
NO_DATASET = "procedural"  # in the lineage of what was trained on procedural scenes alone


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where the child checkpoint lies and the run's last numbers (means over the last steps are in its log)."""

    output_dir: Path
    metrics: dict[str, float]
    reason: str


class RunStopped(RuntimeError):
    """The run was asked to stop and saved its state; the same call goes on from there."""


def run_training(
    config: RunConfig,
    *,
    workdir: Path,
    checkpoint_dir: Path,
    manifest_dir: Path | None,
    on_progress: Progress | None = None,
    team: Team | None = None,
) -> RunResult:
    """Train a stage from ``checkpoint_dir`` on the dataset in ``manifest_dir`` (None where it learns from scenes);
    resumes from ``workdir``, and returns a finished run's result at once.

    In a team all processes call it alike, with folders that they share; number 0 writes the child.
    Raises ManifestRefused or CheckpointRefused for bad inputs, ValueError for an empty dataset, NonFiniteLoss when
    training breaks, ReferenceChanged (ValueError) when it trained what it compares with, RunStopped after a SIGTERM.
    """
    team = Team() if team is None else team
    finished, output = workdir / "result.json", workdir / OUTPUT_FOLDER
    if finished.exists():
        return RunResult(output_dir=output, **json.loads(finished.read_text()))
    dataset = None if manifest_dir is None else read_dataset(manifest_dir)
    manifest, models = load_models(checkpoint_dir)
    setup = stage_setup(config, models, dataset, workdir=workdir, team=team)
    loop = TrainingLoop(
        config=config,
        model=setup.model,
        objective=setup.objective,
        source=setup.source,
        folder=workdir / STATE_FOLDER,
        on_progress=on_progress,
        team=team,
    )
    dataset_hash = NO_DATASET if dataset is None else dataset.sha256
    if team.leads:
        reference = None if setup.reference is None else setup.reference.sha256
        about = {"parent": manifest.sha256, "dataset": dataset_hash, "reference_weights": reference}
        _write_json(workdir / ABOUT_FILE, about)
        _write_json(workdir / SETTINGS_FILE, config.as_dict())
    result = loop.run()
    if setup.reference is not None:
        setup.reference.check()
    if result.reason == "stopped":
        raise RunStopped(f"stopped at step {result.steps} of {config.steps}; run again to go on")
    trained = loop.whole_average()
    if team.leads:
        components = models.components() | {config.component: trained}
        _write_child(
            components, output, config=config, parent=manifest, dataset_hash=dataset_hash, steps=result.steps
        )
        _write_json(finished, {"metrics": result.metrics, "reason": result.reason})
    return RunResult(output_dir=output, metrics=result.metrics, reason=result.reason)


def _write_child(
    components: dict[str, StateDict],
    folder: Path,
    *,
    config: RunConfig,
    parent: Manifest,
    dataset_hash: str,
    steps: int,
) -> None:
    assemble(
        components,
        folder=folder,
        preset=parent.preset,
        config=parent.config,
        lineage=Lineage(
            objective=config.stage,
            dataset_hash=dataset_hash,
            command=_command(config),
            seed=config.seed,
            steps=steps,
        ),
        parent=parent.sha256,
        golden=golden_outputs(components, parent.preset),
    )


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(values))
    draft.replace(path)


def _command(config: RunConfig) -> str:
    """What makes the same child; settings that are not the stage's own come from the run's settings file."""
    parts = ["python", "-m", "training.cli", "--threads", "1", "train"]
    usual = default_config(config.stage, steps=config.steps, seed=config.seed)
    if config == usual:
        parts += ["--stage", config.stage, "--steps", str(config.steps), "--seed", str(config.seed)]
    else:
        parts += ["--config", SETTINGS_FILE]
    parts += ["--checkpoint", "PARENT"]
    if config.data != "scenes":
        parts += ["--dataset", "DATASET"]
    return shlex.join([*parts, "--workdir", "WORKDIR"])
