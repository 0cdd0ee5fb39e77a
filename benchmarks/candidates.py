"""Eight candidates of one target on the CPU: seconds once loaded, against eight single ones, and bytes on the wire."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage import data

from benchmarks.result import Result
from modelzoo.contracts import CandidateRequest
from modelzoo.pipeline import CandidatePipeline

CHECKPOINT = Path(__file__).resolve().parents[1] / "fixtures" / "checkpoints" / "tiny"
REPEATS = 3
CORES = 2
MIB = 2**20


def measure(*, seed: int) -> list[Result]:
    torch.set_num_threads(CORES)
    pipeline = CandidatePipeline.load(CHECKPOINT, device="cpu")
    request = _coffee(seeds=tuple(range(seed, seed + 8)))
    batch = pipeline.generate(request)  # the first one warms caches and compiled parts
    together = _fastest(lambda: pipeline.generate(request))
    # Batches of one are not to be filled up to eight rows, as they are where their bits must not depend on company.
    alone = replace(request, settings=replace(request.settings, batch_rows=0))
    singles = _fastest(
        lambda: [pipeline.generate(replace(alone, seeds=(one,))) for one in request.seeds], repeats=1
    )
    return [
        Result(
            name="eight candidates, colour + GLB + splat, 2 CPU cores", value=together, unit="s", budget=3
        ),
        Result(
            name="the same as a share of eight single ones", value=together / singles, unit="ratio", budget=1
        ),
        Result(
            name="eight meshes on the wire",
            value=sum(len(c.mesh_glb) for c in batch) / MIB,
            unit="MiB",
            budget=8,
        ),
        Result(
            name="eight previews on the wire",
            value=sum(len(c.preview_glb) for c in batch) / MIB,
            unit="MiB",
            budget=1,
        ),
        Result(name="eight splats on the wire", value=sum(len(c.splat_ply) for c in batch) / MIB, unit="MiB"),
    ]


def _coffee(*, seeds: tuple[int, ...]) -> CandidateRequest:
    """A real photograph with an ellipse for a mask: the cost does not depend on how well it fits."""
    image = data.coffee()
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows - 0.45 * height) / (0.3 * height)) ** 2 + ((columns - 0.5 * width) / (0.3 * width)) ** 2 < 1
    return CandidateRequest(image=image, mask=mask, seeds=seeds)


def _fastest(work: object, *, repeats: int = REPEATS) -> float:
    assert callable(work)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
