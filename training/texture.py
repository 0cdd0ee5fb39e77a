"""Trains the texture flow on procedural photographs: ``python -m training.texture --work FOLDER --vae FILE``."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.cells import CellBatch, batch_cells, coarse_features
from modelzoo.models.texture_flow import TextureCondition, TextureConfig, TextureFlow, sample_texture
from modelzoo.texture_conditioning import Placement, texture_condition
from modelzoo.vae.structured_latent import CellContent, StructuredLatentConfig, StructuredLatentVAE
from training.data.cells import ObjectCells
from training.data.textured import TexturedSample, draw_textured_sample, jittered_pose

STREAM, HELD_OUT_STREAM = 41, 900_041
GRID = 16
TIME_MEAN, TIME_STD = -1.0, 1.3
DROP_PHOTOGRAPH, DROP_DEPTH = 0.1, 0.2
EMA_DECAY = 0.998


@dataclass(frozen=True, kw_only=True)
class PooledSample:
    """A sample with everything that does not change from use to use already worked out."""

    sample: TexturedSample
    features: Tensor  # (N, V) float16, the coarse shape as the model sees it
    latent: Tensor  # (N, C), standardised


@dataclass(frozen=True, kw_only=True)
class TextureBatch:
    """Several samples, packed."""

    cells: CellBatch
    condition: TextureCondition
    latent: Tensor


class Trainer:
    """The model, its moving average and the pool of samples, of which the oldest gives way to each new one."""

    def __init__(self, *, work: Path, vae: StructuredLatentVAE, lr: float, seed: int, pool_size: int) -> None:
        self.work, self.vae, self.lr, self.seed = work, vae, lr, seed
        self.model, self.average = TextureFlow(TextureConfig()), TextureFlow(TextureConfig())
        self.step, self.next_index, self.spent = 0, 0, 0.0
        if (work / "state.safetensors").exists():
            self._resume()
        else:
            self.average.load_state_dict(self.model.state_dict())
        self.average.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98)
        )
        self.pool: deque[PooledSample] = deque(maxlen=pool_size)
        self.generator = torch.Generator().manual_seed(seed + self.step)
        self.rng = np.random.default_rng([seed, self.step])

    def fill(self, count: int) -> None:
        """Draw samples until ``count`` more are in the pool."""
        for _ in range(count):
            drawn = None
            while drawn is None:
                drawn = draw_textured_sample(
                    stream=STREAM, index=self.next_index, size=self.model.config.view, grid=GRID
                )
                self.next_index += 1
            self.pool.append(pooled(drawn, self.vae))

    def advance(self, *, batch_size: int, share: float) -> dict[str, float]:
        """One optimiser step at ``share`` of the run's time."""
        for group in self.optimizer.param_groups:
            group["lr"] = (
                self.lr * min(1.0, (self.step + 1) / 100) * (0.03 + 0.485 * (1 + math.cos(math.pi * share)))
            )
        chosen = [self.pool[int(i)] for i in self.rng.integers(0, len(self.pool), batch_size)]
        batch = collate(chosen, self.rng, pose_error=1.0)
        t = sample_times(batch_size, mean=TIME_MEAN, std=TIME_STD, generator=self.generator)
        noise = torch.randn(batch.latent.shape, generator=self.generator)
        drop = torch.rand(batch_size, generator=self.generator) < DROP_PHOTOGRAPH
        self.model.train()
        encoded = self.model.without_photograph(self.model.encode(batch.condition, batch.cells), drop)
        x_t = interpolate(noise, batch.latent, t[batch.cells.batch])
        velocity = self.model(x_t, t, encoded, batch.cells)
        per_cell = (velocity - true_velocity(noise, batch.latent)).square().mean(dim=1)
        loss = per_cell.mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is {float(loss)} at step {self.step}")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
        early = per_cell.detach()[(t < 0.15)[batch.cells.batch]]
        return {"loss": float(loss.detach()), "early": float(early.mean()) if len(early) else float("nan")}

    def save(self) -> None:
        """Write model, average and counters; the optimiser's moments start anew after a resume."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        state["counters"] = torch.tensor([self.step, self.next_index, int(self.spent)])
        save_file(state, self.work / "state.safetensors.part")
        (self.work / "state.safetensors.part").replace(self.work / "state.safetensors")
        save_file(self.average.state_dict(), self.work / "texture.safetensors.part")
        (self.work / "texture.safetensors.part").replace(self.work / "texture.safetensors")

    def _resume(self) -> None:
        state = load_file(self.work / "state.safetensors")
        self.step, self.next_index, spent = (int(v) for v in state.pop("counters"))
        self.spent = float(spent)
        for name, module in (("model.", self.model), ("average.", self.average)):
            module.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for mine, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)


@torch.no_grad()
def pooled(sample: TexturedSample, vae: StructuredLatentVAE) -> PooledSample:
    """Encode the true cells and look up the coarse shape once."""
    cells = batch_cells([torch.from_numpy(sample.cells.coords)], grid=GRID)
    content = CellContent(
        field=torch.from_numpy(sample.cells.field).clamp(-2, 2), colour=torch.from_numpy(sample.cells.colour)
    )
    latent = vae.standardise(vae.encode(content, cells)[0])
    features = coarse_features(torch.from_numpy(sample.occupancy.astype(np.float32))[None], cells)
    slim = ObjectCells(**{**sample.cells.__dict__, "surface": np.empty(0), "normal": np.empty(0)})
    fields = {**sample.__dict__, "cells": slim, "occupancy": np.empty(0)}
    return PooledSample(sample=TexturedSample(**fields), features=features.half(), latent=latent)


def collate(items: list[PooledSample], rng: Generator, *, pose_error: float) -> TextureBatch:
    """Pack samples; poses and point maps get errors, some point maps are withheld."""
    samples = [item.sample for item in items]
    cells = batch_cells([torch.from_numpy(sample.cells.coords) for sample in samples], grid=GRID)
    amounts = [pose_error * float(rng.choice([0.0, 0.5, 1.0, 1.5])) for _ in samples]
    poses = [
        jittered_pose(sample, rng, amount=amount) for sample, amount in zip(samples, amounts, strict=True)
    ]
    rgb = np.stack([sample.rgb for sample in samples]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    mask = np.stack([sample.mask for sample in samples])[:, None].astype(np.float32)
    depth = np.stack(
        [
            np.full_like(sample.depth, np.nan)
            if rng.random() < DROP_DEPTH
            else sample.depth * np.float32(np.exp(rng.normal(0, 0.01)))
            for sample in samples
        ]
    )
    condition = texture_condition(
        view=torch.from_numpy(np.concatenate([rgb, mask], axis=1)),
        depth=torch.from_numpy(depth),
        camera=torch.from_numpy(np.stack([sample.camera for sample in samples])),
        placement=Placement(
            rotation=torch.from_numpy(np.stack([pose[0] for pose in poses])),
            translation=torch.from_numpy(np.stack([pose[1] for pose in poses])),
            scale=torch.tensor([pose[2] for pose in poses], dtype=torch.float32),
        ),
        field=torch.cat([item.features for item in items]).float(),
        cells=cells,
    )
    return TextureBatch(cells=cells, condition=condition, latent=torch.cat([item.latent for item in items]))


@torch.no_grad()
def evaluate(
    model: TextureFlow, vae: StructuredLatentVAE, items: list[PooledSample], *, steps: int = 6
) -> dict[str, float]:
    """Colour error of what the photograph shows and hides, beside one mean colour; IoU within the cells."""
    model.eval()
    batch = collate(items, np.random.default_rng(0), pose_error=0.7)
    noise = torch.randn(batch.latent.shape, generator=torch.Generator().manual_seed(0))
    latent = sample_texture(model, batch.condition, batch.cells, noise=noise, steps=steps, rescale_t=2.0)
    content, _ = vae.decode(latent, batch.cells)
    oracle, _ = vae.decode(batch.latent, batch.cells)
    field = torch.cat([torch.from_numpy(item.sample.cells.field) for item in items])
    colour = torch.cat([torch.from_numpy(item.sample.cells.colour) for item in items])
    near = field.abs() < 1.0
    hidden = batch.condition.probe_depth[..., 0].mean(dim=1) > 0.3
    owned = [batch.cells.batch == b for b in range(len(items))]
    flat = torch.stack([colour[own][near[own]].mean(0) for own in owned])
    given = torch.cat([item.features for item in items]).float() > 0

    def error(guess: Tensor, cells: Tensor) -> float:
        return float((guess - colour)[cells[:, None] & near].abs().mean())

    def iou(inside: Tensor) -> float:
        return float((inside & (field > 0)).sum() / (inside | (field > 0)).sum())

    mean_colour = flat[batch.cells.batch][:, None].expand_as(colour)
    return {
        "visible_l1": error(content.colour, ~hidden),
        "hidden_l1": error(content.colour, hidden),
        "mean_colour_visible_l1": error(mean_colour, ~hidden),
        "mean_colour_hidden_l1": error(mean_colour, hidden),
        "vae_l1": error(oracle.colour, torch.ones_like(hidden)),
        "iou_given": iou(given),
        "iou_refined": iou(content.field > 0),
        "iou_vae": iou(oracle.field > 0),
    }


def train(
    *, work: Path, vae_file: Path, seconds: float, batch_size: int, lr: float, seed: int, pool_size: int
) -> None:
    """Train until ``seconds`` of this process's time are spent, over all resumes; save every few minutes."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    vae = StructuredLatentVAE(StructuredLatentConfig())
    vae.load_state_dict(load_file(vae_file))
    vae.eval()
    trainer = Trainer(work=work, vae=vae, lr=lr, seed=seed, pool_size=pool_size)
    held_out = [
        pooled(sample, vae)
        for index in range(20)
        if (sample := draw_textured_sample(stream=HELD_OUT_STREAM, index=index, size=128, grid=GRID))
        is not None
    ][:12]
    trainer.fill(min(pool_size, 300))
    before, mark = trainer.spent, time.process_time()
    with (work / "log.jsonl").open("a") as log:
        while trainer.spent < seconds:
            if trainer.step % 2 == 0:
                trainer.fill(1)
            row = trainer.advance(batch_size=batch_size, share=min(1.0, trainer.spent / seconds))
            trainer.spent = before + time.process_time() - mark
            if trainer.step % 25 == 0:
                _write(log, {"step": trainer.step, "seconds": round(trainer.spent), **row})
            if trainer.step % 500 == 0:
                trainer.save()
                _write(log, {"step": trainer.step, "held_out": evaluate(trainer.average, vae, held_out)})
        trainer.save()
        _write(log, {"step": trainer.step, "final": evaluate(trainer.average, vae, held_out)})


def _write(stream: Any, row: dict[str, Any]) -> None:
    stream.write(json.dumps(row) + "\n")
    stream.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--vae", dest="vae_file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1500.0)
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--pool-size", type=int, default=2500)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    train(**options)


if __name__ == "__main__":
    main()
