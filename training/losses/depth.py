"""Losses of the depth net: depth up to one scale, its edges, the sky and the focal length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from modelzoo.models.depth_net import DepthPrediction


def depth_loss(
    predicted: DepthPrediction, *, log_depth: Tensor, known: Tensor, log_focal: Tensor
) -> dict[str, Tensor]:
    """``log_depth`` (B, H, W) is meant only where ``known``; every term is a mean and does not change with scale."""
    assert predicted.log_depth.shape == log_depth.shape == known.shape, (
        predicted.log_depth.shape,
        log_depth.shape,
    )
    gap = (predicted.log_depth - log_depth) * known
    count = known.flatten(1).sum(dim=1).clamp(min=1)
    middle = _masked_median(gap, known)
    aligned = ((gap - middle[:, None, None]).abs() * known).flatten(1).sum(dim=1) / count
    slope = torch.zeros_like(aligned)
    for scale in (1, 2, 4, 8):
        for axis in (1, 2):
            both = known & known.roll(-scale, axis)
            inside = both.narrow(axis, 0, both.shape[axis] - scale)
            step = (gap.roll(-scale, axis) - gap).narrow(axis, 0, both.shape[axis] - scale).abs() * inside
            slope = slope + step.flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1).clamp(min=1)
    return {
        "depth": aligned.mean(),
        "slope": slope.mean() / 8,
        "sky": F.binary_cross_entropy_with_logits(predicted.sky, (~known).to(predicted.sky.dtype)),
        "focal": (predicted.log_focal - log_focal).abs().mean(),
    }


def _masked_median(values: Tensor, known: Tensor) -> Tensor:
    """Median over each image's known pixels (B,), without a gradient; zero where there is none."""
    hidden = values.detach().masked_fill(~known, float("nan")).flatten(1)
    return torch.nan_to_num(hidden.nanmedian(dim=1).values)
