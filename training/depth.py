"""Trains the small depth net on procedural scenes: ``python -m training.depth --work FOLDER --output FOLDER``."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from modelzoo.checkpoint import Lineage, assemble
from modelzoo.depth import PRESET, depth_config_json
from modelzoo.models.depth_net import DepthConfig, DepthNet
from training.data.scenes import SceneKind, make_scene, render_scene
from training.losses.depth import depth_loss

STREAM, HELD_OUT_STREAM = 51, 900_051
WEIGHTS = {"depth": 1.0, "slope": 2.0, "sky": 0.3, "focal": 0.2}
EMA_DECAY = 0.995

View = tuple[np.ndarray, np.ndarray, float]  # rgb u8 (S, S, 3), depth (S, S) with NaN at the sky, focal


def draw_view(*, stream: int, index: int, size: int) -> View:
    """A repeatable photograph with its depth; nine in ten are full scenes."""
    rng = np.random.default_rng([stream, index])
    kind: SceneKind = ("isolated", "composited", "shifted")[int(rng.choice(3, p=[0.1, 0.5, 0.4]))]
    scene = make_scene(rng, kind)
    seen = render_scene(scene, rng, intrinsics=scene.intrinsics(size), supersample=1)
    return seen.rgb, seen.depth.astype(np.float32), scene.focal


def collate(views: list[View], rng: Generator | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images in [-1, 1], log-depth, what is known and log-focal; with ``rng`` also mirrored and recoloured."""
    images, depths = [], []
    for rgb, seen, _ in views:
        values, depth = rgb.astype(np.float32) / 255, seen
        if rng is not None:
            values = _recoloured(values, rng)
            if rng.random() < 0.5:
                values, depth = values[:, ::-1], depth[:, ::-1]
        images.append(values.transpose(2, 0, 1) * 2 - 1)
        depths.append(depth)
    depth_map = torch.from_numpy(np.stack(depths).copy())
    known = torch.isfinite(depth_map) & (depth_map > 0)
    log_depth = torch.where(known, depth_map, torch.ones_like(depth_map)).log()
    log_focal = torch.tensor([view[2] for view in views]).float().log()
    return torch.from_numpy(np.stack(images).copy()), log_depth, known, log_focal


def train(
    *, work: Path, output: Path, seconds: float, batch_size: int, lr: float, seed: int, pool_size: int
) -> None:
    """Train for ``seconds`` of this process's time and write the checkpoint folder ``output``."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = DepthConfig()
    model, average = DepthNet(config), DepthNet(config)
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    pool: deque[View] = deque(maxlen=pool_size)
    held_out = collate(
        [draw_view(stream=HELD_OUT_STREAM, index=i, size=config.view) for i in range(64)], None
    )
    rng, index, step, started = np.random.default_rng(seed), 0, 0, time.process_time()
    with (work / "log.jsonl").open("a") as log:
        while (share := (time.process_time() - started) / seconds) < 1:
            for _ in range(min(pool_size, 400) if not pool else 4):
                pool.append(draw_view(stream=STREAM, index=index, size=config.view))
                index += 1
            chosen = [pool[int(i)] for i in rng.integers(0, len(pool), batch_size)]
            image, log_depth, known, log_focal = collate(chosen, rng)
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
            terms = depth_loss(model(image), log_depth=log_depth, known=known, log_focal=log_focal)
            total = torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()
            if not torch.isfinite(total):
                raise FloatingPointError(f"loss is not finite at step {step}: {terms}")
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            _follow(average, model, decay=min(EMA_DECAY, step / (10 + step)))
            if step % 25 == 0:
                losses = {name: float(value.detach()) for name, value in terms.items()}
                _write(log, {"step": step, "share": round(share, 3), **losses})
            if step % 250 == 0:
                _write(log, {"step": step, "held_out": evaluate(average, *held_out)})
        measured = evaluate(average, *held_out)
        _write(log, {"step": step, "final": measured})
    assemble(
        {"depth": average.state_dict()},
        folder=output,
        preset=PRESET,
        config=depth_config_json(),
        lineage=Lineage(
            objective="depth",
            dataset_hash=f"procedural:stream-{STREAM}",
            command=f"python -m training.depth --seconds {seconds:g} --batch-size {batch_size} --lr {lr:g}",
            seed=seed,
            steps=step,
        ),
        golden=measured,
    )


@torch.no_grad()
def evaluate(
    model: DepthNet, image: Tensor, log_depth: Tensor, known: Tensor, log_focal: Tensor
) -> dict[str, float]:
    """Relative depth error after one scale per image, beside the best constant depth; focal error."""
    model.eval()
    found = model(image)
    model.train()
    errors, constant = [], []
    for b in range(len(image)):
        if known[b].sum() < 100:
            continue
        gap = (found.log_depth[b] - log_depth[b])[known[b]]
        errors.append(float((gap - gap.median()).abs().exp().sub(1).mean()))
        truth = log_depth[b][known[b]]
        constant.append(float((truth - truth.median()).abs().exp().sub(1).mean()))
    return {
        "relative_error": round(float(np.mean(errors)), 4),
        "constant_relative_error": round(float(np.mean(constant)), 4),
        "log_focal_error": round(float((found.log_focal - log_focal).abs().mean()), 4),
        "constant_log_focal_error": round(float((log_focal - log_focal.median()).abs().mean()), 4),
        "sky_accuracy": round(float(((found.sky > 0) == ~known).float().mean()), 4),
    }


@torch.no_grad()
def _follow(average: DepthNet, model: DepthNet, *, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)


def _recoloured(values: np.ndarray, rng: Generator) -> np.ndarray:
    """Photographs differ in exposure, white balance and contrast."""
    gain = np.exp(rng.normal(0, 0.15, 3)) * np.exp(rng.normal(0, 0.2))
    return np.asarray(np.clip(values ** np.exp(rng.normal(0, 0.2)) * gain, 0, 1), dtype=np.float32)


def _write(stream: Any, row: dict[str, Any]) -> None:
    stream.write(json.dumps(row) + "\n")
    stream.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=700.0)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--pool-size", type=int, default=4000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    train(**options)


if __name__ == "__main__":
    main()
