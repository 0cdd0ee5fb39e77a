"""What a stage's settings stand for: the model that it trains, the objective, and where its batches come from."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelzoo.models.geometry import GeometryModel
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.registry import Models
from training.configs import RunConfig
from training.data.batches import BatchSource
from training.data.manifests import Dataset
from training.data.sources import (
    FreshScenes,
    MixedSource,
    demonstration_set,
    preference_source,
    procedural_set,
)
from training.data.texture_manifests import (
    TextureDemonstrationSource,
    TexturePreferenceSource,
    texture_demonstrations,
    texture_pairs,
)
from training.data.trajectories import TeacherPlan, TrajectorySource, recorded_at, seen_by
from training.loop.distributed import Team
from training.objectives.flow_matching import FlowMatchingObjective, TimeSampler
from training.objectives.frozen import FrozenWeights
from training.objectives.layout import LayoutObjective
from training.objectives.preference import PreferenceObjective
from training.objectives.shortcut import SelfConsistencyObjective, TrajectoryObjective
from training.objectives.texture import TextureObjective, TexturePreferenceObjective
from training.trainer import Objective

log = logging.getLogger(__name__)

REPLAY_STREAM, FRESH_STREAM = 500_000, 600_000  # plus the run's seed; people judge other worlds (800_000 on)
TRAJECTORIES_FILE = "trajectories.safetensors"
FROM_NOTHING = (
    "autoencoder",
    "latent",
    "depth",
    "pretrain",
    "texture",
    "reward",
)  # have commands of their own
ARTIST = "artist"  # a manifest's source of what artists made


@dataclass(frozen=True, kw_only=True)
class StageSetup:
    """What a loop needs beside the settings; ``reference`` is what the objective compares with, if it does."""

    model: nn.Module
    objective: Objective[Any, Any]
    source: BatchSource[Any]
    reference: FrozenWeights | None = None


def stage_setup(
    config: RunConfig, models: Models, dataset: Dataset | None, *, workdir: Path, team: Team
) -> StageSetup:
    """Everything of a stage that starts from a checkpoint's ``models``; trajectories are recorded into ``workdir``.

    All processes of a team must call it. Raises ManifestRefused for a bad dataset, TrajectoriesRefused for recordings
    of another teacher, and ValueError for an empty or missing dataset and for settings that mean nothing together.
    """
    if dataset is None and config.data != "scenes":
        raise ValueError(f"stage {config.stage} learns from {config.data}: it needs a dataset")
    if config.stage in FROM_NOTHING:
        raise ValueError(f"stage {config.stage} does not start from a checkpoint's models")
    if config.component == "texture":
        return _texture_setup(config, models, _given(dataset, config), device=team.device)
    policy: GeometryModel = copy.deepcopy(models.geometry)
    policy.thaw()
    policy.freeze(*config.frozen)
    source = _geometry_source(config, models, dataset)
    if config.objective == "trajectories":
        file = workdir / TRAJECTORIES_FILE
        recorded = _trajectories(config, models, source, file=file, team=team)
        walked = TrajectoryObjective(
            teacher=models.geometry.to(team.device), weights=config.weights, keep_weight=config.keep_weight
        )
        return StageSetup(model=policy, objective=walked, source=recorded, reference=walked.frozen)
    objective = _geometry_objective(config, models, device=team.device)
    reference = objective.frozen if isinstance(objective, PreferenceObjective) else None
    return StageSetup(model=policy, objective=objective, source=source, reference=reference)


def _geometry_objective(
    config: RunConfig, models: Models, *, device: torch.device
) -> FlowMatchingObjective | LayoutObjective | PreferenceObjective | SelfConsistencyObjective:
    times = TimeSampler(mean=config.time_mean, std=config.time_std)
    if config.objective == "preference":
        reference = models.geometry.to(device)
        return PreferenceObjective(
            reference=reference, beta=config.beta, anchor=config.anchor, draws=config.draws, times=times
        )
    if config.objective == "layout":
        return LayoutObjective(
            times=times,
            weights=config.weights,
            condition_dropout=config.condition_dropout,
            points_dropout=config.points_dropout,
        )
    flow = FlowMatchingObjective(
        times=times,
        weights=config.weights,
        draws=config.draws,
        condition_dropout=config.condition_dropout,
        points_dropout=config.points_dropout,
    )
    if config.objective == "self_consistency":
        return SelfConsistencyObjective(flow=flow, weights=config.weights)
    return flow


def _trajectories(
    config: RunConfig, models: Models, source: BatchSource[Any], *, file: Path, team: Team
) -> TrajectorySource:
    """Recorded once, by number 0; the others read what it wrote."""
    for may_record in (True, False):
        if team.leads == may_record:
            recorded = recorded_at(
                file,
                teacher=models.geometry,
                conditions=seen_by(
                    source,
                    batches=math.ceil(config.num_trajectories / config.micro_batch_size),
                    seed=config.seed,
                    points_dropout=config.points_dropout,
                ),
                plan=TeacherPlan(),
                seed=config.seed,
                on_progress=lambda done: log.info(
                    "%d of %d walks of the teacher recorded", done, config.num_trajectories
                ),
            )
        team.gather(may_record)  # nobody reads before it is written
    return TrajectorySource(recorded, batch_size=config.micro_batch_size, seed=config.seed)


def _geometry_source(config: RunConfig, models: Models, dataset: Dataset | None) -> BatchSource[Any]:
    vae, size = models.ss_vae, models.geometry.preset.image_size
    if config.objective == "preference":
        return preference_source(
            _given(dataset, config),
            vae,
            size=size,
            batch_size=config.micro_batch_size,
            seed=config.seed,
            batches=config.steps * config.micro_batches,
        )
    if config.data == "scenes":
        return FreshScenes(
            vae,
            size=size,
            mixture=config.mixture,
            stream=FRESH_STREAM + config.seed,
            batch_size=config.micro_batch_size,
        )
    replay = None
    if config.replay_share > 0:
        replay = procedural_set(
            vae,
            size=size,
            count=config.num_replay,
            stream=REPLAY_STREAM + config.seed,
            mixture=config.mixture,
        )
    return MixedSource(
        demonstration_set(_given(dataset, config), vae, size=size),
        replay,
        batch_size=config.micro_batch_size,
        replay_share=config.replay_share,
        seed=config.seed,
    )


def _texture_setup(config: RunConfig, models: Models, given: Dataset, *, device: torch.device) -> StageSetup:
    if config.data == "scenes" or config.frozen:
        raise ValueError(
            "a texture flow is fine-tuned whole and on a dataset; python -m training.components.texture makes one"
        )
    policy: TextureFlow = copy.deepcopy(models.texture)
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(".network." not in name)  # a pretrained image encoder stays as it is
    times = TimeSampler(mean=config.time_mean, std=config.time_std)
    preset = models.preset
    if config.objective == "preference":
        preference = TexturePreferenceObjective(
            reference=models.texture.to(device), beta=config.beta, anchor=config.anchor, times=times
        )
        pairs = TexturePreferenceSource(
            texture_pairs(given, preset),
            models.slat_vae,
            preset,
            batch_size=config.micro_batch_size,
            seed=config.seed,
        )
        return StageSetup(model=policy, objective=preference, source=pairs, reference=preference.frozen)
    objective = TextureObjective(
        vae=copy.deepcopy(models.slat_vae).to(device),
        times=times,
        condition_dropout=config.condition_dropout,
    )
    accepted = TextureDemonstrationSource(
        texture_demonstrations(given, preset),
        models.slat_vae,
        preset,
        batch_size=config.micro_batch_size,
        seed=config.seed,
    )
    return StageSetup(model=policy, objective=objective, source=accepted)


def _given(dataset: Dataset | None, config: RunConfig) -> Dataset:
    """The dataset, of which ``artists`` takes the demonstrations that they made."""
    assert dataset is not None, "stage_setup refuses this"
    if config.data != "artists":
        return dataset
    made = tuple(item for item in dataset.demonstrations if item.source == ARTIST)
    return replace(dataset, demonstrations=made)
