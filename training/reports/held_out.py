"""Held-out procedural objects and what a geometry model draws for them: the common ground of every report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from modelzoo.conditioning import Normaliser, decode_layout
from modelzoo.contracts import SamplerSettings
from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import ConditionBatch, views_tensor
from training.data.samples import HELD_OUT_STREAM, Example, Mixture, make_example
from training.data.scenes import AnnotatedWorld
from training.metrics.overlap import volume_iou
from training.metrics.pose import rotation_error_deg, scale_error, translation_error

SHIPPED = SamplerSettings()
UNSEEN = Mixture(isolated=1 / 3, composited=1 / 3, shifted=1 / 3, spoilt_points=0.0)
_NOTHING = Mixture(isolated=0.0, composited=0.0, spoilt_points=0.0)
#: Each annotated world by itself.
ALONE: Mapping[AnnotatedWorld, Mixture] = {
    "shifted": replace(_NOTHING, shifted=1.0),
    "foreign": replace(_NOTHING, foreign=1.0),
}
_T = TypeVar("_T")
_IDENTITY = Normaliser(shift=np.zeros(3), scale=1.0)


@dataclass(frozen=True, kw_only=True)
class SamplerPlan:
    """How candidates are drawn for an evaluation: as annotators get them, unless said otherwise."""

    num_samples: int = 8
    steps: int = SHIPPED.geometry_steps
    rescale_t: float = SHIPPED.geometry_rescale_t
    cfg_strength: float = SHIPPED.geometry_cfg_strength
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """N x K candidates: solid grids (bool) and layouts (13 numbers each, raw)."""

    grids: Tensor
    layouts: Tensor


def held_out_examples(
    *, count: int, seed: int = 0, size: int = 64, resolution: int = 64, mixture: Mixture = UNSEEN
) -> list[Example]:
    """``count`` examples of a stream that is never trained on."""
    stream = HELD_OUT_STREAM + 1 + seed
    return [
        make_example(stream=stream, index=index, mixture=mixture, size=size, resolution=resolution)
        for index in range(count)
    ]


def condition_batch(examples: list[Example]) -> ConditionBatch:
    """The examples' views as one batch."""
    return ConditionBatch(
        crop=views_tensor(
            *(np.stack([getattr(e, n) for e in examples]) for n in ("crop_rgb", "crop_mask", "crop_points"))
        ),
        full=views_tensor(
            *(np.stack([getattr(e, n) for e in examples]) for n in ("full_rgb", "full_mask", "full_points"))
        ),
        box=torch.from_numpy(np.stack([e.box for e in examples])),
    )


def each_at_once(work: Callable[[int], _T], count: int) -> list[_T]:
    """``work`` of 0 to ``count`` - 1 in order, as many at once as torch has threads, and no gradients.

    Each has one thread: the small sums of one object gain nothing from a second, other objects do.
    """
    threads = torch.get_num_threads()

    @torch.no_grad()  # of this thread alone, so not around the pool
    def one(index: int) -> _T:
        return work(index)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(count)))
    finally:
        torch.set_num_threads(threads)


def draw(model: GeometryModel, vae: SparseStructureVAE, views: ConditionBatch, plan: SamplerPlan) -> Drawn:
    """K candidates for each target; candidate k of target i has the same noise for every model."""
    shape = model.preset.latent_shape

    def one(index: int) -> tuple[Tensor, Tensor]:
        tokens = model.encode(views.crop[index, None], views.full[index, None], views.box[index, None])
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + index)
        noise_shape = torch.randn((plan.num_samples, *shape), generator=generator)
        noise_layout = torch.randn((plan.num_samples, LAYOUT_DIM), generator=generator)
        sample = draw_geometry(
            model,
            tokens,
            noise_shape=noise_shape,
            noise_layout=noise_layout,
            settings=FlowSettings(steps=plan.steps, rescale_t=plan.rescale_t, cfg_strength=plan.cfg_strength),
        )
        return vae.decode(sample.shape) > 0, sample.layout

    grids, layouts = zip(*each_at_once(one, len(views)), strict=True)
    return Drawn(grids=torch.stack(grids), layouts=torch.stack(layouts))


def truth_grids(examples: list[Example]) -> Tensor:
    """N x R x R x R solid occupancies."""
    return torch.from_numpy(np.stack([example.occupancy for example in examples]))


def overlaps(drawn: Drawn, truth: Tensor) -> Tensor:
    """N x K volume IoUs (solid)."""
    return volume_iou(drawn.grids, truth[:, None])


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """Medians over all candidates."""

    rotation_deg: float
    translation: float
    log_scale: float

    def as_dict(self) -> dict[str, float]:
        """For reports."""
        return {name: round(value, 4) for name, value in self.__dict__.items()}


def pose_errors(layouts: Tensor, examples: list[Example]) -> PoseErrors:
    """Median errors of N x K layouts against the examples'; translation relative to the object's longest side."""
    rows = []
    for index, example in enumerate(examples):
        rotation, translation, scale = decode_layout(example.layout, _IDENTITY)
        for guess in layouts[index].numpy():
            r, t, s = decode_layout(guess, _IDENTITY)
            rows.append(
                (
                    rotation_error_deg(r, rotation),
                    translation_error(t, translation, size=scale),
                    scale_error(s, scale),
                )
            )
    rotation_deg, translation_share, log_scale = np.median(np.array(rows), axis=0)
    return PoseErrors(rotation_deg=rotation_deg, translation=translation_share, log_scale=log_scale)
