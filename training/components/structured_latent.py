"""Trains the structured latent's VAE on procedural objects.

``python -m training.components.structured_latent --work FOLDER``.

The same call goes on where a run was stopped (SIGTERM saves).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from modelzoo.encoders.dinov2 import VIEW_CHANNELS, DinoV2Embedder
from modelzoo.presets import ModelPreset, StructuredLatentPreset, preset_named
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.components.held_out_log import write_row
from training.configs import RunConfig, default_config
from training.data.latent_batches import LatentBatch, LatentObject, LatentSource, collate, draw_object
from training.data.views import ViewEmbedder
from training.loop.reporting import shown_on
from training.objectives.structured_latent import LatentObjective, decoded_terms
from training.trainer import LoopResult, Progress, TrainingLoop

STREAM, HELD_OUT_STREAM = 31, 900_031
NUM_HELD_OUT = 12
STANDARDISED_BY = 200  # objects
EVALUATE_EVERY, PRINT_EVERY = 200, 50
WEIGHTS_FILE = "slat_vae.safetensors"


def train(
    *,
    work: Path,
    preset: StructuredLatentPreset,
    config: RunConfig,
    embed: ViewEmbedder | None,
    objects: int,
    held_out: int = NUM_HELD_OUT,
    on_progress: Progress | None = None,
) -> LoopResult:
    """Train on a pool of ``objects``, or go on in ``work``; a finished run leaves its weights and held-out numbers."""
    pool = [draw_object(stream=STREAM, index=i, preset=preset, embed=embed) for i in range(objects)]
    unseen = [
        draw_object(stream=HELD_OUT_STREAM, index=i, preset=preset, embed=embed) for i in range(held_out)
    ]
    unseen_batch = collate(unseen, grid=preset.grid)
    torch.manual_seed(config.seed)

    def report(step: int, steps: int, metrics: dict[str, float]) -> None:
        if on_progress is not None:
            on_progress(step, steps, metrics)
        if step % EVALUATE_EVERY == 0:
            write_row(work, {"step": step, **evaluate(loop.average, unseen_batch)})

    loop = TrainingLoop(
        config=config,
        model=StructuredLatentVAE(preset),
        objective=LatentObjective(),
        source=LatentSource(pool, grid=preset.grid, batch_size=config.micro_batch_size, seed=config.seed),
        folder=work,
        on_progress=report,
    )
    result = loop.run()
    if result.reason == "finished":
        standardise_from(loop.average, pool[:STANDARDISED_BY])
        write_row(work, {"step": result.steps, **evaluate(loop.average, unseen_batch)})
        save_file(loop.average.state_dict(), work / WEIGHTS_FILE)
    return result


@torch.no_grad()
def evaluate(model: StructuredLatentVAE, batch: LatentBatch) -> dict[str, float]:
    """Voxel IoU inside the active cells of a field, or vertices' distance in cubes; colour and Gaussian errors."""
    mean, _ = model.encode(batch.seen, batch.cells)
    latent, cell = model.standardise(mean), model.preset.cell
    terms = decoded_terms(model, batch, latent)
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


def main() -> int:
    """75 as exit status says that it was stopped and goes on by the same command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--dinov2", type=Path, help="weights, where the preset's encoder sees views")
    parser.add_argument("--objects", type=int, default=700)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    preset = preset_named(options.preset)
    result = train(
        work=options.work,
        preset=preset.latent,
        config=default_config("latent", steps=options.steps, seed=options.seed),
        embed=view_embedder(preset, options.dinov2),
        objects=options.objects,
        on_progress=shown_on(sys.stdout, every=PRINT_EVERY),
    )
    return os.EX_TEMPFAIL if result.reason == "stopped" else 0


if __name__ == "__main__":
    sys.exit(main())
