"""Time, memory and arithmetic of one call of a network: alone, eight at once, in half precision, compiled."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.models.arithmetic import counted_flops, peak_flops
from benchmarks.models.workloads import STAGES, Stage, workload
from modelzoo.presets import PRESETS, ModelPreset, preset_named

ON_CPU = ("nano", "tiny", "small")  # the others take minutes a step there
TOGETHER = 8
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: the median of at least ``repeats`` calls and ``seconds``, whichever takes longer."""

    repeats: int = 5
    seconds: float = 1.0
    compiled: bool = True


QUICK = Effort(repeats=1, seconds=0.0, compiled=False)


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Milliseconds of one call for one object and for eight; None where it was not measured.

    Of wall time on a GPU; on a CPU of processor time, all threads together, which other work on the machine hardly
    changes.
    """

    preset: str
    stage: Stage
    device: str
    rows: int  # tokens or cells of one object
    gflop: float  # of one object
    single_ms: float
    together_ms: float  # eight in one batch, float32, eager
    half_ms: float  # eight in one batch under bfloat16 autocast
    compiled_ms: float | None  # eight in one batch, compiled: bfloat16 on a GPU, float32 on a CPU
    peak_mib: (
        float  # weights, inputs and activations of eight in one batch: of the device; of the process on a CPU
    )
    mfu: float | None  # share of the device's half-precision peak, the faster of eager and compiled

    @property
    def batching(self) -> float:
        """How many times faster eight at once are than one by one."""
        return TOGETHER * self.single_ms / self.together_ms


def device_of(name: str | None = None) -> torch.device:
    """The named device, or the GPU where there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def fitting_presets(device: torch.device | None = None) -> list[ModelPreset]:
    """All presets on a GPU, the small ones on a CPU."""
    names = PRESETS if (device or device_of()).type == "cuda" else ON_CPU
    return [preset_named(name) for name in names]


def measured(
    preset: ModelPreset,
    *,
    seed: int,
    device: torch.device | None = None,
    effort: Effort | None = None,
) -> list[StageCost]:
    """Costs of encoding a photograph, of one geometry step and of one texture step."""
    where, how = device or device_of(), effort or Effort()
    return [_stage_cost(preset, stage, device=where, effort=how, seed=seed) for stage in STAGES]


@torch.inference_mode()
def _stage_cost(
    preset: ModelPreset, stage: Stage, *, device: torch.device, effort: Effort, seed: int
) -> StageCost:
    work = workload(preset, stage, device=device, seed=seed)
    one, eight = work.arguments(1), work.arguments(TOGETHER)
    flops = counted_flops(work.network, one)
    single = _milliseconds(work.network, one, device=device, effort=effort)
    _reset_peak(device)
    together = _milliseconds(work.network, eight, device=device, effort=effort)
    peak = _peak_mib(device)
    half = _milliseconds(work.network, eight, device=device, effort=effort, half=True)
    compiled = None
    if effort.compiled:
        on_gpu = device.type == "cuda"
        network = torch.compile(work.network)
        compiled = _milliseconds(network, eight, device=device, effort=effort, half=on_gpu)
        torch.compiler.reset()
    return StageCost(
        preset=preset.name,
        stage=stage,
        device=_device_name(device),
        rows=work.rows,
        gflop=flops / 1e9,
        single_ms=single,
        together_ms=together,
        half_ms=half,
        compiled_ms=compiled,
        peak_mib=peak,
        mfu=_mfu(TOGETHER * flops, min(half, compiled or half), device),
    )


def _milliseconds(
    network: Callable[..., object],
    arguments: Sequence[object],
    *,
    device: torch.device,
    effort: Effort,
    half: bool = False,
) -> float:
    """The median of the calls; one call before them warms caches and compiles."""
    times: list[float] = []
    with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
        network(*arguments)
        while len(times) < effort.repeats or sum(times) < effort.seconds:
            start = _clock_s(device)
            network(*arguments)
            times.append(_clock_s(device) - start)
    return 1000.0 * statistics.median(times)


def _mfu(flops: int, milliseconds: float, device: torch.device) -> float | None:
    peak = peak_flops(device)
    return None if peak is None else flops / (milliseconds / 1000.0) / peak


def _clock_s(device: torch.device) -> float:
    """Wall time once the GPU has done all that it was given, or this process's time on the CPU."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
