"""What the autoencoders are trained on besides their own targets: occupancy, and closeness to the unit normal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SOLID_WEIGHT = 2.0  # of a solid voxel's cross-entropy beside an empty one's
CROSS_WEIGHT = 3.0  # of the cross-entropy beside Dice


def occupancy_loss(logits: Tensor, occupancy: Tensor) -> Tensor:
    """3 x binary cross-entropy (solid weighted 2) + Dice, averaged over the batch; both B x R x R x R."""
    assert logits.shape == occupancy.shape, (logits.shape, occupancy.shape)
    target = occupancy.float()
    cross = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.tensor(SOLID_WEIGHT, device=logits.device)
    )
    guess = logits.sigmoid().flatten(1)
    overlap = (guess * target.flatten(1)).sum(1)
    dice = 1.0 - (2.0 * overlap + 1.0) / (guess.sum(1) + target.flatten(1).sum(1) + 1.0)
    return CROSS_WEIGHT * cross + dice.mean()


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over all latent numbers of KL(N(mean, variance) || N(0, 1))."""
    assert mean.shape == log_variance.shape, (mean.shape, log_variance.shape)
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
