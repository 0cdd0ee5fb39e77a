"""Training of the learned reward on judged pairs, by the one loop that trains everything."""

from __future__ import annotations

from pathlib import Path

import torch

from training.configs import OptimizerConfig, RunConfig
from training.objectives.reward import RewardObjective, RewardPairSource
from training.reward.candidates import CandidateSet, JudgedPairs
from training.reward.model import RewardModel, RewardPreset
from training.trainer import TrainingLoop


def reward_config(*, steps: int = 300, seed: int = 0) -> RunConfig:
    """A CPU-minute or less. The weight decay matters: there are hundreds of pairs, not millions."""
    return RunConfig(
        stage="reward",
        data="pairs",
        objective="preference",
        steps=steps,
        batch_size=64,
        seed=seed,
        optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=0.1, warmup_steps=20, ema_decay=0.98),
    )


def fit_reward(
    candidates: CandidateSet, pairs: JudgedPairs, preset: RewardPreset, config: RunConfig, *, folder: Path
) -> RewardModel:
    """The moving average of a reward trained on ``pairs``; the encoder behind the tokens stays as it is.

    The run's log and state lie in ``folder``, from which it resumes. Raises ValueError without pairs, NonFiniteLoss.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = RewardModel(preset)
    model.standardise_by(candidates.measurements)
    loop = TrainingLoop(
        config=config,
        model=model,
        objective=RewardObjective(),
        source=RewardPairSource(candidates, pairs, batch_size=config.micro_batch_size, seed=config.seed),
        folder=folder,
    )
    loop.run()
    return loop.average
