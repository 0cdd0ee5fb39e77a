"""Flow-DPO: preference loss on velocity errors (Diffusion-DPO for rectified flow; SAM 3D appendix C.3)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def flow_dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float,
) -> Tensor:
    """B losses softplus(beta * [(policy - reference)(chosen) - (policy - reference)(rejected)]) of velocity errors.

    Every argument is the per-example error (B) at the same noise and t for chosen and rejected. At policy = reference
    it is ln 2.
    """
    assert policy_chosen.shape == policy_rejected.shape == reference_chosen.shape == reference_rejected.shape
    margin = (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)
    return F.softplus(beta * margin)


def implicit_accuracy(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor
) -> Tensor:
    """Share of pairs whose error, against the reference, fell more for the chosen than for the rejected."""
    better = (policy_chosen - reference_chosen) < (policy_rejected - reference_rejected)
    return better.float().mean()
