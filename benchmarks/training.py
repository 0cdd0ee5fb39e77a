"""Training: optimizer steps a second and the share of the device's arithmetic that they use, by stage and preset."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.result import Result
from modelzoo.registry import Models, build
from training.configs import RunConfig, Stage, default_config
from training.data.batches import BatchSource
from training.data.sources import DemonstrationSet, MixedSource, PreferenceSource, procedural_set
from training.loop.devices import moved
from training.loop.distributed import Team
from training.objectives.flow_matching import FlowMatchingObjective
from training.objectives.preference import PreferenceObjective
from training.trainer import LossModule, Objective, TrainingLoop

ON_CPU, ON_GPU = ("nano", "tiny"), ("tiny", "small", "base")
STEPS, WARM = 12, 4  # warm steps are not counted
EXAMPLES = 16
MATRIX = {"cpu": 1024, "cuda": 8192}  # side of the product that the peak is measured by
PRODUCTS = 8


@dataclass(frozen=True, kw_only=True)
class Trainee:
    """A stage with a batch that is ready: what is measured is the step alone."""

    config: RunConfig
    models: Models
    objective: Objective[Any, Any]
    source: BatchSource[Any]


def measure(*, seed: int) -> list[Result]:
    """On the GPU where there is one, and on one core always."""
    results = []
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for name in devices:
        device = torch.device(name)
        torch.set_num_threads(1)
        precision = "bfloat16" if name == "cuda" else "float32"
        peak = matrix_flops(device, torch.bfloat16 if name == "cuda" else torch.float32)
        note = f"product of two {MATRIX[name]}^2 matrices in {precision}; the MFU below is of this"
        results.append(
            Result(
                name=f"training: peak of {_device_name(device)}", value=peak / 1e9, unit="GFLOP/s", note=note
            )
        )
        for preset in ON_CPU if name == "cpu" else ON_GPU:
            for trainee in _trainees(preset, precision=precision, seed=seed, device=device):
                results += _step_cost(trainee, preset, peak=peak, device=device)
    return results


def matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product; of processor time on a CPU."""
    side = MATRIX[device.type]
    left = torch.randn(side, side, device=device, dtype=dtype)
    torch.mm(left, left)
    spent = []
    for _ in range(PRODUCTS):
        start = _now(device)
        torch.mm(left, left)
        spent.append(_now(device) - start)
    return float(2 * side**3 / min(spent))


def counted_flops(loss: Callable[[], Tensor]) -> int:
    """Matrix products, convolutions and attention of a loss and of its gradients, counted as they run."""
    counter = FlopCounterMode(display=False, custom_mapping=_ATTENTION_ON_CPU)
    with counter:
        loss().backward()
    return int(counter.get_total_flops())


def _trainees(preset: str, *, precision: str, seed: int, device: torch.device) -> Iterator[Trainee]:
    for stage in ("midtrain", "dpo"):
        models = build(preset, seed=seed)
        models.geometry.to(device)
        config = replace(_config(stage, seed), precision=precision)
        examples = procedural_set(
            models.ss_vae,
            size=models.geometry.preset.image_size,
            count=EXAMPLES,
            stream=seed,
            mixture=config.mixture,
        )
        objective, source = _parts(config, models, examples, preset=preset, device=device)
        yield Trainee(config=config, models=models, objective=objective, source=source)


def _config(stage: Stage, seed: int) -> RunConfig:
    return replace(default_config(stage, steps=STEPS, seed=seed), max_chosen_rise=float("inf"))


def _parts(
    config: RunConfig, models: Models, examples: DemonstrationSet, *, preset: str, device: torch.device
) -> tuple[Objective[Any, Any], BatchSource[Any]]:
    size, seed = config.batch_size, config.seed
    if config.objective == "preference":
        reference = build(preset, seed=seed).geometry.to(device)
        rejected = examples.shape.flip(2)
        pairs = PreferenceSource(examples.condition, examples.shape, rejected, batch_size=size, seed=seed)
        return PreferenceObjective(reference=reference, beta=config.beta), pairs
    batches = MixedSource(examples, None, batch_size=size, replay_share=0.0, seed=seed)
    return FlowMatchingObjective(draws=config.draws), batches


def _step_cost(trainee: Trainee, preset: str, *, peak: float, device: torch.device) -> list[Result]:
    model, generator = trainee.models.geometry, torch.Generator(device)
    module = LossModule(model, trainee.objective, trainee.config.precision)
    flops = counted_flops(lambda: module(moved(trainee.source.batch(0), device), generator)[0])
    model.zero_grad(set_to_none=True)
    ends: list[float] = []
    with TemporaryDirectory(prefix="candid8-training-") as folder:
        TrainingLoop(
            config=trainee.config,
            model=model,
            objective=trainee.objective,
            source=trainee.source,
            folder=Path(folder),
            on_progress=lambda step, total, metrics: ends.append(_now(device)),
            team=Team(device=device),
        ).run()
    spent = statistics.median(
        late - early for early, late in zip(ends[WARM:], ends[WARM + 1 :], strict=False)
    )
    config, where = trainee.config, _device_name(device)
    batch = (
        f"{config.batch_size} pairs"
        if config.data == "pairs"
        else f"{config.batch_size} x {config.draws} draws"
    )
    name = f"training: {preset}, {config.stage}, {where}"
    return [
        Result(name=name, value=1 / spent, unit="steps/s", note=f"{batch}, {config.precision}"),
        Result(
            name=f"{name}, MFU",
            value=flops / spent / peak,
            unit="share",
            note=f"{flops / 1e9:.1f} GFLOP a step",
        ),
    ]


def _now(device: torch.device) -> float:
    """Seconds: of the clock, when a GPU is done; of this process on a CPU, so that other work hardly counts."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "one CPU core"


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(
    gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))


_ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
