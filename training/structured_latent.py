"""Trains the structured latent's VAE on procedural objects: ``python -m training.structured_latent --work FOLDER``."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from modelzoo.decoders.flexicubes import CubeSurface
from modelzoo.encoders.dinov2 import VIEW_CHANNELS, DinoV2Embedder
from modelzoo.models.cells import CellBatch, active_cells, batch_cells
from modelzoo.presets import ModelPreset, StructuredLatentPreset, preset_named
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent, StructuredLatentVAE
from modelzoo.vae.view_features import gather_view_features
from training.data.cells import ObjectCells, cells_of, nearest_surface, object_field, perturbed
from training.data.objects import ProceduralObject, make_object
from training.data.views import ViewEmbedder, feature_views, object_views
from training.losses.autoencoder import kl_loss
from training.losses.structured_latent import (
    CellTargets,
    CubeTargets,
    cube_loss,
    gaussian_loss,
    surface_loss,
)

STREAM, HELD_OUT_STREAM = 31, 900_031
MAX_CELLS = 1536  # of an object on tiny's 16^3 grid; as many times more as the grid's side grows, squared
NUM_VIEWS, VIEW_SIZE = 24, 224  # of an object whose encoder sees views
WEIGHTS = {
    "field": 1.0,
    "sign": 0.5,
    "colour": 3.0,
    "covered": 1.0,
    "accurate": 1.0,
    "gaussian_colour": 1.5,
    "flat": 0.3,
    "scale": 0.2,
    "opacity": 0.2,
    "kl": 2e-3,
    "surface": 1.0,
    "normal": 0.5,
    "deviation": 0.5,
    "weights": 0.2,
    "spread": 0.01,
}


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
    item = make_object(rng, shifted=bool(rng.random() < 0.4), quarter_turns=int(rng.integers(0, 4)))
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


def train(
    *,
    work: Path,
    preset: StructuredLatentPreset,
    embed: ViewEmbedder | None,
    objects: int,
    seconds: float,
    batch_size: int,
    lr: float,
    seed: int,
) -> None:
    """Train for ``seconds``; the learning rate falls with the time spent, so that the end is always annealed."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    model = StructuredLatentVAE(preset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    pool = [draw_object(stream=STREAM, index=i, preset=preset, embed=embed) for i in range(objects)]
    held_out = collate(
        [draw_object(stream=HELD_OUT_STREAM, index=i, preset=preset, embed=embed) for i in range(12)],
        grid=preset.grid,
    )
    started, step = time.process_time(), 0
    with (work / "log.jsonl").open("a") as log:
        for batch in _batches(pool, batch_size=batch_size, seed=seed, grid=preset.grid):
            share = (time.process_time() - started) / seconds
            if share >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = (
                    lr * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
                )
            terms = losses(model, batch, generator)
            total = weighted(terms)
            if not torch.isfinite(total):
                raise FloatingPointError(f"the loss is not finite at step {step}: {terms}")
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 50 == 0:
                _log(log, {"step": step, "share": share, **{k: float(v.detach()) for k, v in terms.items()}})
            if step % 200 == 0:
                _log(log, {"step": step, "held_out": evaluate(model, held_out)})
        standardise_from(model, pool[:200])
        _log(log, {"step": step, "final": evaluate(model, held_out)})
    save_file(model.state_dict(), work / "slat_vae.safetensors")


def losses(model: StructuredLatentVAE, batch: LatentBatch, generator: Generator) -> dict[str, Tensor]:
    """All terms for one batch, with the latent drawn from its posterior."""
    mean, log_variance = model.encode(batch.seen, batch.cells)
    latent = mean + torch.randn(mean.shape, generator=generator) * (0.5 * log_variance).exp()
    terms = _decoded_terms(model, batch, model.standardise(latent))
    return {**terms, "kl": kl_loss(mean, log_variance)}


def weighted(terms: dict[str, Tensor]) -> Tensor:
    """The sum that is trained."""
    return torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()


@torch.no_grad()
def evaluate(model: StructuredLatentVAE, batch: LatentBatch) -> dict[str, float]:
    """Voxel IoU inside the active cells of a field, or vertices' distance in cubes; colour and Gaussian errors."""
    mean, _ = model.encode(batch.seen, batch.cells)
    latent, cell = model.standardise(mean), model.preset.cell
    terms = _decoded_terms(model, batch, latent)
    found = {
        "colour_l1": float(terms["colour"]),
        "covered_voxels": float(terms["covered"]) * cell,
        "accurate_voxels": float(terms["accurate"]) * cell,
        "gaussian_colour_l1": float(terms["gaussian_colour"]),
        "flat": float(terms["flat"]),
        "latent_std": float(mean.std(dim=0).mean()),
    }
    if model.preset.surface == "flexicubes":
        return {"surface_cubes": float(terms["surface"]), **found}
    inside = model.decode(latent, batch.cells)[0].field > 0
    wanted = batch.targets.field > 0
    return {"cell_iou": float((inside & wanted).sum() / (inside | wanted).sum()), **found}


@torch.no_grad()
def standardise_from(model: StructuredLatentVAE, objects: list[LatentObject]) -> None:
    """Set the latent's mean and deviation per channel from encoded objects."""
    means = []
    for start in range(0, len(objects), 16):
        batch = collate(objects[start : start + 16], grid=model.preset.grid)
        means.append(model.encode(batch.seen, batch.cells)[0])
    latents = torch.cat(means)
    model.latent_mean.copy_(latents.mean(dim=0))
    model.latent_std.copy_(latents.std(dim=0).clamp(min=1e-3))


def cube_targets(
    items: tuple[ProceduralObject, ...], points: Tensor, surface: CubeSurface, *, resolution: int
) -> CubeTargets:
    """What is true of each object at a grid's corners ``points`` (V, 4) and at the vertices found."""
    distance = np.empty(len(points), np.float32)
    columns = {
        name: np.empty((len(surface.vertices), 3), np.float32) for name in ("surface", "normal", "colour")
    }
    corner_batch, corners = points[:, 0].numpy(), (points[:, 1:].numpy() / resolution - 0.5)
    vertex_batch, vertices = surface.vertex_batch.numpy(), surface.vertices.detach().numpy()
    for index, item in enumerate(items):
        own = corner_batch == index
        distance[own] = nearest_surface(item, corners[own]).distance
        own = vertex_batch == index
        near = nearest_surface(item, vertices[own])
        for name, column in columns.items():
            column[own] = getattr(near, name)
    return CubeTargets(
        distance=torch.from_numpy(distance), **{name: torch.from_numpy(one) for name, one in columns.items()}
    )


def view_embedder(preset: ModelPreset, weights: Path | None) -> ViewEmbedder | None:
    """Patch features of the preset's DINOv2 where its encoder sees views, from a safetensors file; otherwise None.

    Raises ValueError when weights are needed and there are none, CheckpointRefused when they do not fit.
    """
    if preset.latent.features == "field":
        return None
    if weights is None or preset.texture.condition is None:
        raise ValueError(f"the encoder of {preset.name} sees views: give --dinov2 FILE")
    kinds = [
        one for one in preset.texture.condition.embedders if (one.kind, one.reads) == ("dinov2", "image")
    ]
    embedder = DinoV2Embedder(kinds[0])
    embedder.load_local(weights)

    def embed(pictures: Tensor) -> Tensor:
        rest = pictures.new_zeros(len(pictures), VIEW_CHANNELS - 3, *pictures.shape[2:])
        views = torch.cat([pictures, rest], dim=1)
        half = len(views) // 2  # the embedder reads two views a photograph, so two pictures at a time
        tokens: Tensor = torch.cat(embedder(views[:half], views[half:], views.new_zeros(half, 4)))
        side = kinds[0].size // kinds[0].patch
        maps: Tensor = tokens[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
        return maps

    return embed


def _decoded_terms(model: StructuredLatentVAE, batch: LatentBatch, latent: Tensor) -> dict[str, Tensor]:
    """Terms of the surface, and of the sets of Gaussians as their mean."""
    preset = model.preset
    sets = range(len(preset.gaussians))
    if preset.surface == "flexicubes":
        cubes = model.decode_cubes(latent, batch.cells)
        found = cubes.surface(quads="fan")
        targets = cube_targets(batch.items, cubes.grid.points, found, resolution=cubes.grid.resolution)
        surface = cube_loss(cubes, found, targets)
        gaussians = [model.decode_gaussians(latent, batch.cells, which=which) for which in sets]
    else:
        content, first = model.decode(latent, batch.cells)
        surface = surface_loss(content, batch.targets)
        gaussians = [first, *(model.decode_gaussians(latent, batch.cells, which=which) for which in sets[1:])]
    each = [gaussian_loss(one, batch.targets, grid=preset.grid) for one in gaussians]
    return {**surface, **{name: torch.stack([one[name] for one in each]).mean() for name in each[0]}}


def _batches(pool: list[LatentObject], *, batch_size: int, seed: int, grid: int) -> Iterator[LatentBatch]:
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(pool))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            yield collate([pool[i] for i in order[start : start + batch_size]], grid=grid)


def _log(stream: Any, row: dict[str, Any]) -> None:
    stream.write(json.dumps(row) + "\n")
    stream.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--dinov2", type=Path, help="weights, where the preset's encoder sees views")
    parser.add_argument("--objects", type=int, default=700)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    preset = preset_named(options.pop("preset"))
    embed = view_embedder(preset, options.pop("dinov2"))
    train(preset=preset.latent, embed=embed, **options)


if __name__ == "__main__":
    main()
