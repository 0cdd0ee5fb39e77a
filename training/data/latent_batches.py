"""Batches for the structured latent's VAE: a pool of procedural objects, cut into active cells and packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelzoo.models.cells import CellBatch, active_cells, batch_cells
from modelzoo.presets import StructuredLatentPreset
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent
from modelzoo.vae.view_features import gather_view_features
from training.data.cells import ObjectCells, cells_of, object_field, perturbed
from training.data.objects import ProceduralObject, World, make_object
from training.data.views import ViewEmbedder, feature_views, object_views
from training.losses.structured_latent import CellTargets

MAX_CELLS = 1536  # of an object on tiny's 16^3 grid; as many times more as the grid's side grows, squared
NUM_VIEWS, VIEW_SIZE = 24, 224  # of an object whose encoder sees views


@dataclass(frozen=True, kw_only=True)
class LatentObject:
    """An object, its cells, and features (N, F) gathered from views where the encoder sees those."""

    item: ProceduralObject
    cells: ObjectCells
    features: Tensor | None


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Objects packed; ``seen`` is what the encoder sees of them."""

    items: tuple[ProceduralObject, ...]
    cells: CellBatch
    targets: CellTargets
    seen: CellContent | Tensor


def draw_object(
    *, stream: int, index: int, preset: StructuredLatentPreset, embed: ViewEmbedder | None = None
) -> LatentObject:
    """A repeatable object; its cells are those of a slightly wrong shape in two of three cases, as at inference.

    Raises ValueError when the preset's encoder sees views and there is nothing to ``embed`` them.
    """
    rng = np.random.default_rng([stream, index])
    world: World = "shifted" if rng.random() < 0.4 else "rendered"
    item = make_object(rng, world=world, quarter_turns=int(rng.integers(0, 4)))
    field = object_field(item, resolution=preset.grid * preset.cell)
    field = perturbed(field, rng, amplitude=float(rng.choice([0.0, 0.7, 1.5])))
    limit = MAX_CELLS * max(1, preset.grid // 16) ** 2
    coords = active_cells(torch.from_numpy(field > 0)[None], grid=preset.grid, max_cells=limit)[0]
    cells = cells_of(item, coords.numpy(), grid=preset.grid, cell=preset.cell)
    if preset.features == "field":
        return LatentObject(item=item, cells=cells, features=None)
    if embed is None:
        raise ValueError("an encoder that sees views needs an image embedder")
    centres = (coords.float() + 0.5) / preset.grid - 0.5
    views = feature_views(object_views(item, num_views=NUM_VIEWS, size=VIEW_SIZE), embed)
    return LatentObject(item=item, cells=cells, features=gather_view_features(centres, views).features)


def collate(objects: list[LatentObject], *, grid: int) -> LatentBatch:
    """Objects as one packed batch."""
    cells = batch_cells([torch.from_numpy(one.cells.coords) for one in objects], grid=grid)
    columns = {
        name: torch.from_numpy(np.concatenate([getattr(one.cells, name) for one in objects])).float()
        for name in ("field", "colour", "surface", "normal")
    }
    targets = CellTargets(**columns)
    features = [one.features for one in objects if one.features is not None]
    content = CellContent(field=targets.field.clamp(-FIELD_CLAMP, FIELD_CLAMP), colour=targets.colour)
    return LatentBatch(
        items=tuple(one.item for one in objects),
        cells=cells,
        targets=targets,
        seen=torch.cat(features) if features else content,
    )


class LatentSource:
    """Objects of a pool, in an order of each pass's own: a step's batch follows from seed and step."""

    def __init__(self, pool: list[LatentObject], *, grid: int, batch_size: int, seed: int) -> None:
        if len(pool) < batch_size:
            raise ValueError(f"a pool of {len(pool)} objects gives no batch of {batch_size}")
        self.pool, self.grid = pool, grid
        self.batch_size, self.seed = batch_size, seed

    def batch(self, step: int) -> LatentBatch:
        """The objects of a step, packed."""
        passed, at = divmod(step, len(self.pool) // self.batch_size)
        order = np.random.default_rng([self.seed, passed]).permutation(len(self.pool))
        rows = order[at * self.batch_size : (at + 1) * self.batch_size]
        return collate([self.pool[int(row)] for row in rows], grid=self.grid)
