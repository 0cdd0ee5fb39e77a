"""Trains the texture flow on procedural photographs.

``python -m training.components.texture --work FOLDER --vae FILE``.

The same call goes on where a run was stopped (SIGTERM saves). Every ``EVALUATE_EVERY`` steps and at the end the moving
average is written to ``texture.safetensors``, and its held-out numbers to ``held_out.jsonl``.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelzoo.models.texture_flow import TextureFlow, texture_velocity
from modelzoo.presets import ModelPreset, preset_named
from modelzoo.samplers import FlowSettings, sample
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.components.held_out_log import write_row
from training.configs import RunConfig, default_config
from training.data.texture_batches import (
    PooledSample,
    TextureBatch,
    TextureSource,
    WindowSize,
    collate,
    held_out_samples,
)
from training.loop.clock import progress_until
from training.losses.texture import NEAR_SURFACE
from training.objectives.texture import TextureObjective
from training.trainer import LoopResult, TrainingLoop

STREAM, HELD_OUT_STREAM = 41, 900_041
HELD_OUT_COUNT = 16
EVALUATE_EVERY = 500
HIDDEN_GAP = 0.075  # of the four cells that a probe's depth is clamped to, above which a cell is hidden


@torch.no_grad()
def evaluate(
    model: TextureFlow, vae: StructuredLatentVAE, items: list[PooledSample], *, steps: int = 2
) -> dict[str, float]:
    """PSNR (dB) of colours near the surface, on cells in the photograph's view and behind others.

    Beside the model stand one true mean colour an object (``mean``), the first guess that it starts from, and what the
    VAE makes of the truth; then the voxel IoU inside the cells.
    """
    batch = collate(items, vae, np.random.default_rng(0), pose_error=0.7)
    noise = torch.randn(batch.latent.shape, generator=torch.Generator().manual_seed(0))
    probes = batch.condition.probes
    assert probes is not None
    near = batch.field.abs() < NEAR_SURFACE
    velocity = texture_velocity(model, batch.condition, batch.cells)
    drawn = sample(velocity, noise, settings=FlowSettings(steps=steps, rescale_t=2.0))
    contents = {
        "model": vae.decode(drawn, batch.cells)[0],
        "guess": vae.decode(probes.guess, batch.cells)[0],
        "vae": vae.decode(batch.latent, batch.cells)[0],
    }
    colours = {name: content.colour for name, content in contents.items()} | {"mean": _mean_colours(batch)}
    hidden = (probes.depth[..., 0].mean(dim=1) > HIDDEN_GAP)[:, None]
    found = {"latent_mse": float((drawn - batch.latent).square().mean())}
    for side, chosen in (("visible", near & ~hidden), ("hidden", near & hidden)):
        for name, colour in colours.items():
            error = (colour - batch.colour)[chosen].square().mean()
            found[f"{side}_psnr_{name}"] = float(-10 * torch.log10(error))
    inside = {name: content.field > 0 for name, content in contents.items()}
    inside["given"] = torch.cat([torch.from_numpy(item.features) for item in items]) > 0
    solid = batch.field > 0
    return found | {f"iou_{k}": float((v & solid).sum() / (v | solid).sum()) for k, v in inside.items()}


def _mean_colours(batch: TextureBatch) -> Tensor:
    """Every voxel the mean of its object's true colours near the surface."""
    owner = batch.cells.batch[:, None].expand(batch.field.shape)
    near = batch.field.abs() < NEAR_SURFACE
    total = torch.zeros(batch.cells.size, 3).index_add(0, owner[near], batch.colour[near])
    return (total / torch.bincount(owner[near], minlength=batch.cells.size)[:, None])[owner]


def train(
    *,
    work: Path,
    vae_file: Path,
    preset: ModelPreset,
    config: RunConfig,
    window: WindowSize,
    held_out: int = HELD_OUT_COUNT,
    until: float | None = None,
) -> LoopResult:
    """Train for ``config.steps`` steps, or until the clock (epoch seconds) says ``until``, or go on with such a run.

    With a clock the rate falls towards the end time. ValueError for a preset without probes.
    """
    if not preset.texture.probes or preset.texture.condition is not None:
        raise ValueError(f"procedural texture samples have no full views, which {preset.name} wants")
    vae = StructuredLatentVAE(preset.latent)
    vae.load_state_dict(load_file(vae_file))
    vae.eval().requires_grad_(False)
    torch.manual_seed(config.seed)
    model, view = TextureFlow(preset.texture, preset.latent), preset.texture.view
    unseen = held_out_samples(vae, view=view, stream=HELD_OUT_STREAM, count=held_out)

    def report(step: int, steps: int, metrics: dict[str, float]) -> None:
        if step % EVALUATE_EVERY == 0:
            _write_average(loop.average, work)
            write_row(work, {"step": step, **evaluate(loop.average, vae, unseen)})

    loop = TrainingLoop(
        config=config,
        model=model,
        objective=TextureObjective(vae=vae),
        source=TextureSource(
            vae, view=view, stream=STREAM, batch_size=config.micro_batch_size, window=window, seed=config.seed
        ),
        folder=work,
        on_progress=report,
        clock_progress=None if until is None else progress_until(work / "started", until),
    )
    result = loop.run()
    _write_average(loop.average, work)
    write_row(work, {"step": result.steps, **evaluate(loop.average, vae, unseen)})
    return result


def _write_average(average: TextureFlow, work: Path) -> None:
    draft = work / "texture.safetensors.part"
    save_file(average.state_dict(), draft)
    draft.replace(work / "texture.safetensors")


def main() -> int:
    """75 as exit status says that it was stopped and goes on by the same command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="slat_vae.safetensors of the same preset")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--until", type=datetime.fromisoformat, help="end time, instead of --steps")
    parser.add_argument("--window", type=int, default=1000, help="samples that a batch chooses from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = train(
        work=options.work,
        vae_file=options.vae,
        preset=preset_named(options.preset),
        config=default_config("texture", steps=options.steps, seed=options.seed),
        window=WindowSize(most=options.window, first=min(240, options.window)),
        until=None if options.until is None else options.until.timestamp(),
    )
    return os.EX_TEMPFAIL if result.reason == "stopped" else 0


if __name__ == "__main__":
    sys.exit(main())
