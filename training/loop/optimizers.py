"""Optimizers, learning-rate schedule and exponential moving average of a run."""

from __future__ import annotations

import math

import torch
from torch import nn

from training.configs import OptimizerConfig


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """One or two optimizers over the parameters that require gradients; ValueError when none does."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("every parameter is frozen: there is nothing to train")
    matrices = [p for name, p in trained if config.kind == "muon" and p.dim() == 2 and "blocks." in name]
    chosen = {id(parameter) for parameter in matrices}
    rest = [parameter for _, parameter in trained if id(parameter) not in chosen]
    made: list[torch.optim.Optimizer] = []
    if rest:
        made.append(
            torch.optim.AdamW(
                rest, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
            )
        )
    if matrices:
        made.append(
            torch.optim.Muon(
                matrices,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                ns_steps=4,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return made


def learning_rate_share(config: OptimizerConfig, *, step: int, progress: float) -> float:
    """The learning rate at a step as a share of its peak; ``progress`` runs from 0 to 1 over the run."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.decay == "cosine":
        fall = 0.5 * (1.0 + math.cos(math.pi * progress))
    else:
        fall = min(1.0, (1.0 - progress) / config.tail)
    return warm * (config.floor + (1.0 - config.floor) * fall)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Move ``average`` towards ``model``, both spread alike; the first steps count more, so that it never lags."""
    keep = min(decay, (1.0 + step) / (10.0 + step))
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1.0 - keep)
