"""Batches as the objectives take them, and how examples become them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.conditioning import CLIP

Made_co = TypeVar("Made_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class ConditionBatch:
    """Views of B targets: B x 8 x S x S twice and B x 4."""

    crop: Tensor
    full: Tensor
    box: Tensor

    def __len__(self) -> int:
        return int(self.crop.shape[0])


@dataclass(frozen=True, kw_only=True)
class DemonstrationBatch:
    """Targets with their answer: raw shape latents (B x C x D^3), raw layouts (B x 13), and who has a layout (B)."""

    condition: ConditionBatch
    shape: Tensor
    layout: Tensor
    has_layout: Tensor


@dataclass(frozen=True, kw_only=True)
class PreferenceBatch:
    """Targets with a chosen and a rejected raw shape latent (B x C x D^3 each)."""

    condition: ConditionBatch
    chosen: Tensor
    rejected: Tensor


class BatchSource(Protocol[Made_co]):
    """Gives the batch of a step, the same one whenever it is asked (streams say where they do not)."""

    def batch(self, step: int) -> Made_co: ...


def views_tensor(rgb: NDArray[np.uint8], mask: NDArray[np.generic], points: NDArray[np.floating]) -> Tensor:
    """Stack B views: u8 RGB (B x S x S x 3), mask (B x S x S) and normalised points (NaN unknown) to B x 8 x S x S."""
    colour = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    place = torch.from_numpy(points.astype(np.float32)).permute(0, 3, 1, 2)
    valid = torch.isfinite(place).all(dim=1, keepdim=True)
    place = torch.where(valid, place.clamp(-CLIP, CLIP), torch.zeros(()))
    inside = torch.from_numpy(mask.astype(np.float32))[:, None]
    return torch.cat([colour, inside, place, valid.float()], dim=1)


def demonstration_batch(rows: Mapping[str, NDArray[np.generic]]) -> DemonstrationBatch:
    """A batch from stacked example arrays (the fields of a stored example)."""
    condition = ConditionBatch(
        crop=views_tensor(rows["crop_rgb"], rows["crop_mask"], rows["crop_points"]),  # type: ignore[arg-type]
        full=views_tensor(rows["full_rgb"], rows["full_mask"], rows["full_points"]),  # type: ignore[arg-type]
        box=torch.from_numpy(np.asarray(rows["box"], dtype=np.float32)),
    )
    layout = torch.from_numpy(np.asarray(rows["layout"], dtype=np.float32))
    return DemonstrationBatch(
        condition=condition,
        shape=torch.from_numpy(np.asarray(rows["latent"], dtype=np.float32)),
        layout=layout,
        has_layout=torch.ones(len(layout), dtype=torch.bool),
    )


def without_points(condition: ConditionBatch, dropped: Tensor) -> ConditionBatch:
    """Hide the point map of the rows in ``dropped`` (B bool): zero xyz, zero validity, flag cleared."""
    keep = (~dropped).float()
    gate = torch.ones(len(condition), 8, 1, 1)
    gate[:, 4:] = keep.view(-1, 1, 1, 1)
    flag = torch.ones(len(condition), 4)
    flag[:, 3] = keep
    return ConditionBatch(crop=condition.crop * gate, full=condition.full * gate, box=condition.box * flag)


def mirrored_batch(
    batch: DemonstrationBatch, chosen: Tensor, *, mirrored_shape: Tensor
) -> DemonstrationBatch:
    """The rows in ``chosen`` (B bool) as a mirror shows them: left and right of photograph, points and object swapped.

    With S = diag(-1, 1, 1) of camera and object frame alike, R becomes S R S and t becomes S t; the latent of the
    mirrored object (B x C x D^3) must be given, since the autoencoder does not promise to mirror.
    """
    assert chosen.shape == batch.has_layout.shape and mirrored_shape.shape == batch.shape.shape
    rows, sign = chosen.to(batch.layout.dtype), torch.ones(len(chosen), 8, 1, 1)
    sign[:, 4] -= 2.0 * rows[:, None, None]

    def view(given: Tensor) -> Tensor:
        return torch.where(chosen[:, None, None, None], given.flip(-1), given) * sign

    box_sign, layout_sign = torch.ones(len(chosen), 4), torch.ones_like(batch.layout)
    box_sign[:, 0] -= 2.0 * rows
    for number in (1, 2, 3, 6):  # y and z of R's first column, x of its second, x of t
        layout_sign[:, number] -= 2.0 * rows
    condition = ConditionBatch(
        crop=view(batch.condition.crop), full=view(batch.condition.full), box=batch.condition.box * box_sign
    )
    return DemonstrationBatch(
        condition=condition,
        shape=torch.where(chosen[:, None, None, None, None], mirrored_shape, batch.shape),
        layout=batch.layout * layout_sign,
        has_layout=batch.has_layout,
    )
