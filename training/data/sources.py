"""Batch sources that give the same batch for the same step: memorised sets, demonstrations with replay, preferences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelzoo.conditioning import Condition
from modelzoo.models.geometry import LAYOUT_DIM
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import ConditionBatch, DemonstrationBatch, PreferenceBatch, views_tensor
from training.data.manifests import Dataset, PairReader, Prepared, prepare_demonstration
from training.data.memory import tidily
from training.data.samples import Mixture, make_example


@dataclass(frozen=True, kw_only=True)
class DemonstrationSet:
    """N prepared targets with raw latents and layouts, in memory."""

    condition: ConditionBatch
    shape: Tensor
    layout: Tensor
    has_layout: Tensor

    def __len__(self) -> int:
        return len(self.condition)

    def rows(self, chosen: Tensor) -> DemonstrationBatch:
        """The targets of the given indices."""
        return DemonstrationBatch(
            condition=pick(self.condition, chosen),
            shape=self.shape[chosen],
            layout=self.layout[chosen],
            has_layout=self.has_layout[chosen],
        )


class MixedSource:
    """Part of each batch from the demonstrations, the rest replayed procedural examples."""

    def __init__(
        self,
        demonstrations: DemonstrationSet,
        replay: DemonstrationSet | None,
        *,
        batch_size: int,
        replay_share: float,
        seed: int,
    ) -> None:
        if len(demonstrations) == 0:
            raise ValueError("there are no demonstrations to train on")
        self.demonstrations, self.replay = demonstrations, replay
        self.batch_size, self.seed = batch_size, seed
        self.num_replayed = 0 if replay is None else round(batch_size * replay_share)

    def batch(self, step: int) -> DemonstrationBatch:
        """Draws with replacement by the step's own generator."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        count = self.batch_size - self.num_replayed
        parts = []
        if count:
            parts.append(
                self.demonstrations.rows(
                    torch.randint(len(self.demonstrations), (count,), generator=generator)
                )
            )
        if self.replay is not None and self.num_replayed:
            parts.append(
                self.replay.rows(torch.randint(len(self.replay), (self.num_replayed,), generator=generator))
            )
        return DemonstrationBatch(
            condition=joined([part.condition for part in parts]),
            shape=torch.cat([part.shape for part in parts]),
            layout=torch.cat([part.layout for part in parts]),
            has_layout=torch.cat([part.has_layout for part in parts]),
        )


class FreshScenes:
    """Procedural examples made when they are asked for, each one once."""

    def __init__(
        self, vae: SparseStructureVAE, *, size: int, mixture: Mixture, stream: int, batch_size: int
    ) -> None:
        self.vae, self.size, self.mixture = vae, size, mixture
        self.stream, self.batch_size = stream, batch_size

    def batch(self, step: int) -> DemonstrationBatch:
        """The examples of a step."""
        made = procedural_set(
            self.vae,
            size=self.size,
            count=self.batch_size,
            stream=self.stream,
            mixture=self.mixture,
            start=step * self.batch_size,
        )
        return made.rows(torch.arange(self.batch_size))


class PreferenceSource:
    """Preference pairs, drawn with replacement by the step's own generator."""

    def __init__(
        self,
        condition: ConditionBatch,
        chosen: Tensor,
        rejected: Tensor,
        *,
        batch_size: int,
        seed: int,
        among: Tensor | None = None,
    ) -> None:
        """``among`` (N) says where the pair of each of N numbers stands, when not all pairs are there."""
        if len(condition) == 0:
            raise ValueError("there are no preference pairs to train on")
        self.condition, self.chosen, self.rejected = condition, chosen, rejected
        self.batch_size, self.seed = batch_size, seed
        self._among = torch.arange(len(condition)) if among is None else among

    def batch(self, step: int) -> PreferenceBatch:
        """The pairs of a step."""
        numbers = drawn_pairs(len(self._among), step, batch_size=self.batch_size, seed=self.seed)
        rows = self._among[numbers]
        assert (rows >= 0).all(), f"the pairs of step {step} were not prepared"
        return PreferenceBatch(
            condition=pick(self.condition, rows), chosen=self.chosen[rows], rejected=self.rejected[rows]
        )


def drawn_pairs(count: int, step: int, *, batch_size: int, seed: int) -> Tensor:
    """Which of ``count`` pairs a step draws."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return torch.randint(count, (batch_size,), generator=generator)


def demonstration_set(dataset: Dataset, vae: SparseStructureVAE, *, size: int) -> DemonstrationSet:
    """Every demonstration of a dataset, prepared. Raises ManifestRefused, or ValueError when there is none.

    Each is written into its place of a few large arrays: kept one by one between the large ones that encoding takes
    and gives back, 1 400 of them held 13 GB of memory in pieces.
    """
    items = dataset.demonstrations
    if not items:
        raise ValueError("the dataset has no demonstrations")
    count = len(items)
    views = np.zeros((2, count, 8, size, size), np.float32)
    box = np.zeros((count, 4), np.float32)
    layout, has_layout = np.zeros((count, LAYOUT_DIM), np.float32), torch.zeros(count, dtype=torch.bool)
    shape = torch.zeros((count, *vae.preset.latent_shape))
    for row, item in enumerate(tidily(items)):
        ready = prepare_demonstration(dataset, item, vae, size=size)
        views[0, row], views[1, row], box[row] = (
            ready.condition.crop,
            ready.condition.full,
            ready.condition.box,
        )
        shape[row] = ready.latent
        if ready.layout is not None:
            layout[row], has_layout[row] = ready.layout, True
    condition = ConditionBatch(
        crop=torch.from_numpy(views[0]), full=torch.from_numpy(views[1]), box=torch.from_numpy(box)
    )
    return DemonstrationSet(
        condition=condition, shape=shape, layout=torch.from_numpy(layout), has_layout=has_layout
    )


def preference_source(
    dataset: Dataset,
    vae: SparseStructureVAE,
    *,
    size: int,
    batch_size: int,
    seed: int,
    batches: int | None = None,
) -> PreferenceSource:
    """The preference pairs of a dataset, prepared: all, or those that the first ``batches`` draw of them.

    A short run draws a few hundred of thousands. Raises ManifestRefused, or ValueError when there is no pair.
    """
    items = dataset.preferences
    if not items:
        raise ValueError("the dataset has no preference pairs")
    wanted = torch.arange(len(items))
    if batches is not None:
        steps = [drawn_pairs(len(items), step, batch_size=batch_size, seed=seed) for step in range(batches)]
        wanted = torch.cat(steps).unique()
    among = torch.full((len(items),), -1)
    among[wanted] = torch.arange(len(wanted))
    reader = PairReader(dataset, vae, size=size, most=len(wanted))
    pairs: list[tuple[Prepared, Prepared]] = [
        reader.pair(items[number]) for number in tidily(wanted.tolist())
    ]
    return PreferenceSource(
        _conditions([chosen.condition for chosen, _ in pairs]),
        torch.stack([chosen.latent for chosen, _ in pairs]),
        torch.stack([rejected.latent for _, rejected in pairs]),
        batch_size=batch_size,
        seed=seed,
        among=among,
    )


@torch.no_grad()
def procedural_set(
    vae: SparseStructureVAE, *, size: int, count: int, stream: int, mixture: Mixture, start: int = 0
) -> DemonstrationSet:
    """Procedural examples as demonstrations: replay, and memorisable sets for tests."""
    examples = [
        make_example(
            stream=stream,
            index=start + i,
            mixture=mixture,
            size=size,
            resolution=vae.preset.resolution,
        )
        for i in range(count)
    ]
    grids = torch.from_numpy(np.stack([example.occupancy for example in examples]))
    views = [
        views_tensor(
            *(
                np.stack([getattr(e, f"{view}_{part}") for e in examples])
                for part in ("rgb", "mask", "points")
            )
        )
        for view in ("crop", "full")
    ]
    return DemonstrationSet(
        condition=ConditionBatch(
            crop=views[0],
            full=views[1],
            box=torch.from_numpy(np.stack([example.box for example in examples])),
        ),
        shape=torch.cat([vae.encode(chunk)[0] for chunk in torch.split(grids, 16)]),
        layout=torch.from_numpy(np.stack([example.layout for example in examples])),
        has_layout=torch.ones(count, dtype=torch.bool),
    )


def pick(condition: ConditionBatch, rows: Tensor) -> ConditionBatch:
    """The conditions of the given indices."""
    return ConditionBatch(crop=condition.crop[rows], full=condition.full[rows], box=condition.box[rows])


def joined(parts: list[ConditionBatch]) -> ConditionBatch:
    """Conditions one after the other."""
    return ConditionBatch(
        crop=torch.cat([part.crop for part in parts]),
        full=torch.cat([part.full for part in parts]),
        box=torch.cat([part.box for part in parts]),
    )


def _conditions(items: list[Condition]) -> ConditionBatch:
    return ConditionBatch(
        crop=torch.from_numpy(np.stack([item.crop for item in items])),
        full=torch.from_numpy(np.stack([item.full for item in items])),
        box=torch.from_numpy(np.stack([item.box for item in items])),
    )
