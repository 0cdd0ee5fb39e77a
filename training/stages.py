"""What a stage's settings stand for: the model that it trains, the objective, and where its batches come from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
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
from training.objectives.flow_matching import FlowMatchingObjective, TimeSampler
from training.objectives.frozen import FrozenWeights
from training.objectives.layout import LayoutObjective
from training.objectives.preference import PreferenceObjective
from training.objectives.shortcut import SelfConsistencyObjective
from training.objectives.texture import TextureObjective, TexturePreferenceObjective
from training.trainer import Objective

REPLAY_STREAM, FRESH_STREAM = 500_000, 600_000  # plus the run's seed; people judge other worlds (800_000 on)
ARTIST = "artist"  # a manifest's source of what artists made


@dataclass(frozen=True, kw_only=True)
class StageSetup:
    """What a loop needs beside the settings; ``reference`` is what the objective compares with, if it does."""

    model: nn.Module
    objective: Objective[Any, Any]
    source: BatchSource[Any]
    reference: FrozenWeights | None = None


def stage_setup(
    config: RunConfig, models: Models, dataset: Dataset | None, *, device: torch.device
) -> StageSetup:
    """Everything of a stage that starts from a checkpoint's ``models``.

    Raises ManifestRefused for a bad dataset, and ValueError for an empty or missing one and for settings that mean
    nothing together.
    """
    if dataset is None and config.data != "scenes":
        raise ValueError(f"stage {config.stage} learns from {config.data}: it needs a dataset")
    if config.component == "texture":
        return _texture_setup(config, models, dataset, device)
    return _geometry_setup(config, models, dataset, device)


def _geometry_setup(
    config: RunConfig, models: Models, dataset: Dataset | None, device: torch.device
) -> StageSetup:
    policy: GeometryModel = copy.deepcopy(models.geometry)
    policy.thaw()
    policy.freeze(*config.frozen)
    source = _geometry_source(config, models, dataset)
    times = TimeSampler(mean=config.time_mean, std=config.time_std)
    flow = FlowMatchingObjective(
        times=times,
        weights=config.weights,
        draws=config.draws,
        condition_dropout=config.condition_dropout,
        points_dropout=config.points_dropout,
    )
    if config.objective == "flow":
        return StageSetup(model=policy, objective=flow, source=source)
    if config.objective == "layout":
        layout = LayoutObjective(
            times=times,
            weights=config.weights,
            condition_dropout=config.condition_dropout,
            points_dropout=config.points_dropout,
        )
        return StageSetup(model=policy, objective=layout, source=source)
    if config.objective == "shortcut":
        shortcut = SelfConsistencyObjective(flow=flow, weights=config.weights)
        return StageSetup(model=policy, objective=shortcut, source=source)
    preference = PreferenceObjective(
        reference=models.geometry.to(device), beta=config.beta, anchor=config.anchor, times=times
    )
    return StageSetup(model=policy, objective=preference, source=source, reference=preference.frozen)


def _geometry_source(config: RunConfig, models: Models, dataset: Dataset | None) -> BatchSource[Any]:
    vae, size = models.ss_vae, models.geometry.preset.image_size
    if config.objective == "preference":
        return preference_source(
            _given(dataset, config), vae, size=size, batch_size=config.micro_batch_size, seed=config.seed
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


def _texture_setup(
    config: RunConfig, models: Models, dataset: Dataset | None, device: torch.device
) -> StageSetup:
    if config.data == "scenes" or config.frozen:
        raise ValueError(
            "a texture flow is fine-tuned whole and on a dataset; python -m training.texture makes one"
        )
    policy: TextureFlow = copy.deepcopy(models.texture)
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(".network." not in name)  # a pretrained image encoder stays as it is
    times = TimeSampler(mean=config.time_mean, std=config.time_std)
    given, preset = _given(dataset, config), models.preset
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
