"""One training run from a parent checkpoint and a frozen dataset to a child checkpoint: what the bridge calls."""

from __future__ import annotations

import copy
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from modelzoo.checkpoint import Lineage, assemble
from modelzoo.models.geometry import GeometryModel
from modelzoo.registry import Models, load_models
from modelzoo.serving import golden_outputs
from training.configs import RunConfig
from training.data.manifests import Dataset, read_dataset
from training.data.samples import Mixture
from training.data.sources import MixedSource, demonstration_set, preference_source, procedural_set
from training.objectives.flow_matching import FlowMatchingObjective, TimeSampler
from training.objectives.preference import PreferenceObjective
from training.trainer import Progress, TrainingLoop

REPLAY_STREAM = 500_000
REPLAY_MIXTURE = Mixture(isolated=0.2, composited=0.6, shifted=0.2)
OUTPUT_FOLDER = "checkpoint"


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
    manifest_dir: Path,
    on_progress: Progress | None = None,
) -> RunResult:
    """Train SFT or DPO from ``checkpoint_dir`` on the dataset in ``manifest_dir``; resumes from ``workdir``,
    and returns a finished run's result at once.

    Raises ManifestRefused or CheckpointRefused for bad inputs, ValueError for an empty dataset, NonFiniteLoss when
    training breaks, RunStopped after a SIGTERM.
    """
    finished, output = workdir / "result.json", workdir / OUTPUT_FOLDER
    if finished.exists():
        return RunResult(output_dir=output, **json.loads(finished.read_text()))
    dataset = read_dataset(manifest_dir)
    manifest, models = load_models(checkpoint_dir)
    loop = _loop(config, dataset, models, workdir=workdir, on_progress=on_progress)
    result = loop.run()
    if result.reason == "stopped":
        raise RunStopped(f"stopped at step {result.steps} of {config.steps}; run again to go on")
    components = models.components()
    components["geometry"] = loop.average.state_dict()
    assemble(
        components,
        folder=output,
        preset=manifest.preset,
        config=manifest.config,
        lineage=Lineage(
            objective=config.stage,
            dataset_hash=dataset.sha256,
            command=_command(config),
            seed=config.seed,
            steps=result.steps,
        ),
        parent=manifest.sha256,
        golden=golden_outputs(components, manifest.preset),
    )
    record = workdir / "result.json.new"
    record.write_text(json.dumps({"metrics": result.metrics, "reason": result.reason}))
    record.replace(finished)
    return RunResult(output_dir=output, metrics=result.metrics, reason=result.reason)


def _loop(
    config: RunConfig, dataset: Dataset, models: Models, *, workdir: Path, on_progress: Progress | None
) -> TrainingLoop[GeometryModel]:
    size, times = models.geometry.preset.image_size, TimeSampler(mean=config.time_mean, std=config.time_std)
    policy: GeometryModel = copy.deepcopy(models.geometry)
    policy.thaw()
    if config.stage == "sft":
        demonstrations = demonstration_set(dataset, models.ss_vae, size=size)
        replay = None
        if config.replay_share > 0:
            replay = procedural_set(
                models.ss_vae,
                size=size,
                count=config.num_replay,
                stream=REPLAY_STREAM + config.seed,
                mixture=REPLAY_MIXTURE,
            )
        mixed = MixedSource(
            demonstrations,
            replay,
            batch_size=config.batch_size,
            replay_share=config.replay_share,
            seed=config.seed,
        )
        return TrainingLoop(
            config=config,
            model=policy,
            objective=FlowMatchingObjective(times=times),
            source=mixed,
            folder=workdir / "state",
            on_progress=on_progress,
        )
    if config.stage == "dpo":
        return TrainingLoop(
            config=config,
            model=policy,
            objective=PreferenceObjective(reference=models.geometry, beta=config.beta, times=times),
            source=preference_source(
                dataset, models.ss_vae, size=size, batch_size=config.batch_size, seed=config.seed
            ),
            folder=workdir / "state",
            on_progress=on_progress,
        )
    raise ValueError(f"a run from a checkpoint is sft or dpo, not {config.stage}")


def _command(config: RunConfig) -> str:
    parts = ["python", "-m", "training.cli", "--threads", "1", "train", "--stage", config.stage]
    parts += ["--steps", str(config.steps), "--seed", str(config.seed)]
    parts += ["--checkpoint", "PARENT", "--dataset", "DATASET", "--workdir", "WORKDIR"]
    return shlex.join(parts)
