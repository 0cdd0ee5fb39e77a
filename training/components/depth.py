"""Trains the small depth net on procedural scenes.

``python -m training.components.depth --work FOLDER --output FOLDER``.

The same call goes on where a run was stopped (SIGTERM saves).
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from modelzoo.checkpoint import Lineage, assemble
from modelzoo.depth import PRESET, depth_config_json
from modelzoo.models.depth_net import DepthConfig, DepthNet
from training.components.held_out_log import write_row
from training.configs import RunConfig, default_config
from training.data.scenes import SceneKind, make_scene, render_scene
from training.loop.reporting import shown_on
from training.losses.depth import depth_loss
from training.trainer import LoopResult, Progress, TrainingLoop

STREAM, HELD_OUT_STREAM = 51, 900_051
NUM_HELD_OUT = 64
FIRST_VIEWS, NEW_VIEWS = 400, 4  # before the first step, and with each
WEIGHTS = {"depth": 1.0, "slope": 2.0, "sky": 0.3, "focal": 0.2}
EVALUATE_EVERY, PRINT_EVERY = 250, 25

View = tuple[np.ndarray, np.ndarray, float]  # rgb u8 (S, S, 3), depth (S, S) with NaN at the sky, focal


def draw_view(*, stream: int, index: int, size: int) -> View:
    """A repeatable photograph with its depth; nine in ten are full scenes."""
    rng = np.random.default_rng([stream, index])
    kind: SceneKind = ("isolated", "composited", "shifted")[int(rng.choice(3, p=[0.1, 0.5, 0.4]))]
    scene = make_scene(rng, kind)
    seen = render_scene(scene, rng, intrinsics=scene.intrinsics(size), supersample=1)
    return seen.rgb, seen.depth.astype(np.float32), scene.focal


@dataclass(frozen=True, kw_only=True)
class DepthBatch:
    """Images in [-1, 1] (B x 3 x S x S), log-depth and where it is known (B x S x S), and log-focal (B)."""

    image: Tensor
    log_depth: Tensor
    known: Tensor
    log_focal: Tensor


class DepthSource:
    """Views of fresh scenes, each in reach for ``window / NEW_VIEWS`` steps: the newest ones follow from the step."""

    def __init__(self, *, stream: int, size: int, batch_size: int, window: int, seed: int) -> None:
        self.stream, self.size, self.batch_size = stream, size, batch_size
        self.window, self.seed = window, seed
        self._drawn: dict[int, View] = {}

    def batch(self, step: int) -> DepthBatch:
        """A step's views, some mirrored, all recoloured."""
        rng = np.random.default_rng([self.seed, step])
        newest = min(self.window, FIRST_VIEWS) + NEW_VIEWS * step
        oldest = max(0, newest - self.window)
        self._drawn = {index: view for index, view in self._drawn.items() if index >= oldest}
        chosen = [int(index) for index in rng.integers(oldest, newest, self.batch_size)]
        for index in chosen:
            if index not in self._drawn:
                self._drawn[index] = draw_view(stream=self.stream, index=index, size=self.size)
        return collate([self._drawn[index] for index in chosen], rng)


def collate(views: list[View], rng: Generator | None) -> DepthBatch:
    """Views as one batch; with ``rng`` also mirrored and recoloured."""
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
    return DepthBatch(
        image=torch.from_numpy(np.stack(images).copy()), log_depth=log_depth, known=known, log_focal=log_focal
    )


class DepthObjective:
    """The weighted sum of the depth net's terms."""

    def loss(
        self, model: DepthNet, batch: DepthBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and every term of it."""
        terms = depth_loss(
            model(batch.image), log_depth=batch.log_depth, known=batch.known, log_focal=batch.log_focal
        )
        total = torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()
        return total, {name: float(value.detach()) for name, value in terms.items()}


def train(
    *,
    work: Path,
    output: Path,
    config: RunConfig,
    window: int,
    held_out: int = NUM_HELD_OUT,
    on_progress: Progress | None = None,
) -> LoopResult:
    """Train, or go on in ``work``; a finished run writes the checkpoint folder ``output``."""
    sizes = DepthConfig()
    unseen = collate(
        [draw_view(stream=HELD_OUT_STREAM, index=i, size=sizes.view) for i in range(held_out)], None
    )
    torch.manual_seed(config.seed)

    def report(step: int, steps: int, metrics: dict[str, float]) -> None:
        if on_progress is not None:
            on_progress(step, steps, metrics)
        if step % EVALUATE_EVERY == 0:
            write_row(work, {"step": step, **evaluate(loop.average, unseen)})

    loop = TrainingLoop(
        config=config,
        model=DepthNet(sizes),
        objective=DepthObjective(),
        source=DepthSource(
            stream=STREAM,
            size=sizes.view,
            batch_size=config.micro_batch_size,
            window=window,
            seed=config.seed,
        ),
        folder=work,
        on_progress=report,
    )
    result = loop.run()
    if result.reason == "finished":
        measured = evaluate(loop.average, unseen)
        write_row(work, {"step": result.steps, **measured})
        assemble(
            {"depth": loop.average.state_dict()},
            folder=output,
            preset=PRESET,
            config=depth_config_json(),
            lineage=Lineage(
                objective="depth",
                dataset_hash=f"procedural:stream-{STREAM}",
                command=(
                    "python -m training.components.depth --work W --output C"
                    f" --steps {config.steps} --seed {config.seed}"
                ),
                seed=config.seed,
                steps=result.steps,
            ),
            golden=measured,
        )
    return result


@torch.no_grad()
def evaluate(model: DepthNet, batch: DepthBatch) -> dict[str, float]:
    """Relative depth error after one scale per image, beside the best constant depth; focal error."""
    log_depth, known, log_focal = batch.log_depth, batch.known, batch.log_focal
    found = model(batch.image)
    errors, constant = [], []
    for b in range(len(known)):
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


def _recoloured(values: np.ndarray, rng: Generator) -> np.ndarray:
    """Photographs differ in exposure, white balance and contrast."""
    gain = np.exp(rng.normal(0, 0.15, 3)) * np.exp(rng.normal(0, 0.2))
    return np.asarray(np.clip(values ** np.exp(rng.normal(0, 0.2)) * gain, 0, 1), dtype=np.float32)


def main() -> int:
    """75 as exit status says that it was stopped and goes on by the same command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--window", type=int, default=4000, help="views that a batch chooses from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = train(
        work=options.work,
        output=options.output,
        config=default_config("depth", steps=options.steps, seed=options.seed),
        window=options.window,
        on_progress=shown_on(sys.stdout, every=PRINT_EVERY),
    )
    return os.EX_TEMPFAIL if result.reason == "stopped" else 0


if __name__ == "__main__":
    sys.exit(main())
