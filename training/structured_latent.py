"""Trains the structured latent's VAE on procedural objects: ``python -m training.structured_latent --work FOLDER``."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from modelzoo.models.cells import CellBatch, active_cells, batch_cells
from modelzoo.presets import StructuredLatentPreset, preset_named
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent, StructuredLatentVAE
from training.data.cells import ObjectCells, cells_of, object_field, perturbed
from training.data.objects import make_object
from training.losses.structured_latent import CellTargets, gaussian_loss, kl_loss, surface_loss

STREAM, HELD_OUT_STREAM = 31, 900_031
MAX_CELLS = 1536
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
}


def draw_object_cells(*, stream: int, index: int, preset: StructuredLatentPreset) -> ObjectCells:
    """A repeatable object; its cells are those of a slightly wrong shape in two of three cases, as at inference."""
    rng = np.random.default_rng([stream, index])
    item = make_object(rng, shifted=bool(rng.random() < 0.4), quarter_turns=int(rng.integers(0, 4)))
    field = object_field(item, resolution=preset.grid * preset.cell)
    field = perturbed(field, rng, amplitude=float(rng.choice([0.0, 0.7, 1.5])))
    coords = active_cells(torch.from_numpy(field > 0)[None], grid=preset.grid, max_cells=MAX_CELLS)[0]
    return cells_of(item, coords.numpy(), grid=preset.grid, cell=preset.cell)


def collate(items: list[ObjectCells], *, grid: int) -> tuple[CellBatch, CellTargets]:
    """Objects as one packed batch."""
    cells = batch_cells([torch.from_numpy(item.coords) for item in items], grid=grid)
    columns = {
        name: torch.from_numpy(np.concatenate([getattr(item, name) for item in items])).float()
        for name in ("field", "colour", "surface", "normal")
    }
    return cells, CellTargets(**columns)


def train(
    *, work: Path, preset_name: str, objects: int, seconds: float, batch_size: int, lr: float, seed: int
) -> None:
    """Train for ``seconds``; the learning rate falls with the time spent, so that the end is always annealed.

    Raises ValueError for a preset whose latent is not over a field: that needs rendered views and a rasteriser.
    """
    preset = preset_named(preset_name).latent
    if (preset.features, preset.surface) != ("field", "field"):
        raise ValueError(f"{preset_name} sees {preset.features} and decodes {preset.surface}, not fields")
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = StructuredLatentVAE(preset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    pool = [draw_object_cells(stream=STREAM, index=i, preset=preset) for i in range(objects)]
    held_out = collate(
        [draw_object_cells(stream=HELD_OUT_STREAM, index=i, preset=preset) for i in range(12)],
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
            terms = losses(model, *batch)
            total = sum(WEIGHTS[name] * value for name, value in terms.items())
            assert isinstance(total, Tensor) and torch.isfinite(total), terms
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 50 == 0:
                _log(log, {"step": step, "share": share, **{k: float(v.detach()) for k, v in terms.items()}})
            if step % 200 == 0:
                _log(log, {"step": step, "held_out": evaluate(model, *held_out)})
        standardise_from(model, pool[:200])
        _log(log, {"step": step, "final": evaluate(model, *held_out)})
    save_file(model.state_dict(), work / "slat_vae.safetensors")


def losses(model: StructuredLatentVAE, cells: CellBatch, targets: CellTargets) -> dict[str, Tensor]:
    """All terms for one batch, with the latent drawn from its posterior."""
    mean, log_variance = model.encode(
        CellContent(field=_clamped(targets.field), colour=targets.colour), cells
    )
    latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    content, gaussians = model.decode(model.standardise(latent), cells)
    return {
        **surface_loss(content, targets),
        **gaussian_loss(gaussians, targets, grid=model.preset.grid),
        "kl": kl_loss(mean, log_variance),
    }


@torch.no_grad()
def evaluate(model: StructuredLatentVAE, cells: CellBatch, targets: CellTargets) -> dict[str, float]:
    """Voxel IoU inside the active cells, colour error near the surface and Gaussian errors in voxels."""
    mean, _ = model.encode(CellContent(field=_clamped(targets.field), colour=targets.colour), cells)
    content, gaussians = model.decode(model.standardise(mean), cells)
    inside, wanted = content.field > 0, targets.field > 0
    terms = {**surface_loss(content, targets), **gaussian_loss(gaussians, targets, grid=model.preset.grid)}
    return {
        "cell_iou": float((inside & wanted).sum() / (inside | wanted).sum()),
        "colour_l1": float(terms["colour"]),
        "covered_voxels": float(terms["covered"]) * model.preset.cell,
        "accurate_voxels": float(terms["accurate"]) * model.preset.cell,
        "gaussian_colour_l1": float(terms["gaussian_colour"]),
        "flat": float(terms["flat"]),
        "latent_std": float(mean.std(dim=0).mean()),
    }


@torch.no_grad()
def standardise_from(model: StructuredLatentVAE, items: list[ObjectCells]) -> None:
    """Set the latent's mean and deviation per channel from encoded objects."""
    means = []
    for start in range(0, len(items), 16):
        cells, targets = collate(items[start : start + 16], grid=model.preset.grid)
        means.append(
            model.encode(CellContent(field=_clamped(targets.field), colour=targets.colour), cells)[0]
        )
    latents = torch.cat(means)
    model.latent_mean.copy_(latents.mean(dim=0))
    model.latent_std.copy_(latents.std(dim=0).clamp(min=1e-3))


def _clamped(field: Tensor) -> Tensor:
    return field.clamp(-FIELD_CLAMP, FIELD_CLAMP)


def _batches(
    pool: list[ObjectCells], *, batch_size: int, seed: int, grid: int
) -> Iterator[tuple[CellBatch, CellTargets]]:
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
    parser.add_argument("--preset", dest="preset_name", default="tiny")
    parser.add_argument("--objects", type=int, default=700)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    train(**options)


if __name__ == "__main__":
    main()
