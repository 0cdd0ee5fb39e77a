"""The one model that serves on a device: a new checkpoint is loaded beside it, checked, and swapped in at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelzoo.checkpoint import (
    CheckpointRefused,
    Manifest,
    StateDict,
    manifest_from_document,
)
from modelzoo.contracts import CandidateRequest, SamplerSettings, SamplingFailed
from modelzoo.latents import latents_from_bytes
from modelzoo.pipeline import CandidatePipeline
from modelzoo.registry import build, fill
from modelzoo.stages import Memory, Precision, Resident, Stages, load_stages

GOLDEN_TOLERANCE = 0.03  # other machines round differently; other weights differ by tenths
GOLDEN_SEED = 20_260_101

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What serves now: take it once per job, and every candidate names the checkpoint that made it."""

    sha256: str
    generation: int
    pipeline: CandidatePipeline
    manifest: Manifest


class ModelSlot:
    """Holds the serving pipeline of one device. Readers never wait; one swap runs at a time.

    ``precision`` and ``memory`` are those of ``load_stages``. A swap loads beside what serves, so for its duration
    resident weights are held twice; the old ones are freed with the last job that uses them.
    """

    def __init__(
        self, device: str = "cpu", *, precision: Precision = "float32", memory: Memory = "resident"
    ) -> None:
        self.device = device
        self.precision = precision
        self.memory = memory
        self._serving: Serving | None = None
        self._swapping = threading.Lock()

    @property
    def current(self) -> Serving | None:
        """What serves now, or None before the first swap."""
        return self._serving

    def swap(self, *, weights: Path, manifest: Mapping[str, Any], generation: int) -> Serving:
        """Load, warm and check the checkpoint, then serve it.

        Raises CheckpointRefused with the reason, and what served before keeps serving. Golden outputs are checked in
        float32, whatever the precision that serves; a pass in that precision warms its kernels.
        """
        with self._swapping:
            checked = manifest_from_document(manifest)
            stages = load_stages(weights, checked, device=self.device, memory=self.memory)
            check_golden(stages, checked.golden)
            stages.precision = self.precision
            pipeline = CandidatePipeline(stages)
            if self.precision != "float32":
                pipeline.generate(golden_request())
            serving = Serving(
                sha256=checked.sha256, generation=generation, pipeline=pipeline, manifest=checked
            )
            self._serving = serving
        logger.info("checkpoint swapped", extra={"sha256": serving.sha256, "generation": generation})
        return serving


def golden_request(seeds: tuple[int, ...] = (GOLDEN_SEED,)) -> CandidateRequest:
    """A box of stripes before a wall, with its point map: made by arithmetic alone, the same everywhere."""
    rows, cols = np.meshgrid(np.arange(96), np.arange(128), indexing="ij")
    mask = (np.abs(cols - 70) < 26) & (np.abs(rows - 50) < 22)
    image = np.stack([60 + cols, 200 - rows, np.full_like(rows, 120)], axis=-1)
    image[mask] = np.where((cols[mask] // 6 % 2 == 0)[:, None], [210, 60, 40], [240, 220, 190])
    depth = np.where(mask, 2.0 + 0.004 * np.abs(cols - 70), 3.0)
    points = np.stack([(cols + 0.5 - 64) / 150 * depth, (rows + 0.5 - 48) / 150 * depth, depth], axis=-1)
    return CandidateRequest(
        image=image.astype(np.uint8),
        mask=mask,
        seeds=seeds,
        points=points.astype(np.float32),
        # Spelled out: golden outputs must not change when the defaults of candidates do.
        settings=SamplerSettings(
            geometry_steps=4,
            geometry_rescale_t=4.0,
            geometry_cfg_strength=0.0,
            texture_steps=2,
            texture_rescale_t=2.0,
            texture_cfg_strength=0.0,
            batch_rows=0,
        ),
    )


def golden_outputs(components: dict[str, StateDict], preset: str) -> dict[str, Any]:
    """What a manifest states as golden: the digest of these weights, rounded to half precision as they are saved."""
    halved = {
        component: {
            name: value.half().float() if value.is_floating_point() else value
            for name, value in state.items()
        }
        for component, state in components.items()
    }
    return golden_digest(Resident(fill(build(preset), halved)))


def golden_digest(stages: Stages) -> dict[str, Any]:
    """A short digest of what the models make of the golden request; it also warms them."""
    made = CandidatePipeline(stages).generate(golden_request())[0]
    latents = latents_from_bytes(made.latents)
    assert latents.shape_latent is not None and latents.layout is not None
    with stages.using("geometry"), torch.no_grad():
        geometry = stages.models.geometry
        raw = torch.from_numpy(latents.shape_latent)[None].to(stages.device)
        shape = geometry.standardise_shape(raw).cpu().numpy().reshape(-1)
        layout = geometry.standardise_layout(torch.from_numpy(latents.layout).to(stages.device)).cpu().numpy()
    feats = latents.slat_feats.astype(np.float32)
    return {
        "shape": _rounded([shape.mean(), shape.std(), *shape[:: max(1, len(shape) // 16)][:16]]),
        "layout": _rounded(layout),
        "occupied": _rounded([latents.occupancy.mean()]),
        "texture": _rounded([*feats.mean(axis=0), *feats.std(axis=0)]),
    }


def check_golden(stages: Stages, golden: Mapping[str, Any]) -> None:
    """Raises CheckpointRefused unless the models reproduce the digest in the manifest."""
    if not golden:
        raise CheckpointRefused(
            "golden_missing", "the manifest has no golden outputs to check the weights against"
        )
    try:
        found = golden_digest(stages)
    except (SamplingFailed, torch.linalg.LinAlgError) as failed:  # type: ignore[attr-defined]  # met by the SVD
        raise CheckpointRefused("golden_not_finite", f"golden outputs are not finite: {failed}") from failed
    for name, values in found.items():
        stated = golden.get(name)
        if not isinstance(stated, list) or len(stated) != len(values):
            raise CheckpointRefused(
                "golden_mismatch", f"golden output {name} is missing or of another length"
            )
        gap = float(np.abs(np.array(stated, dtype=np.float64) - values).max())
        if not gap <= GOLDEN_TOLERANCE:
            raise CheckpointRefused("golden_mismatch", f"golden output {name} differs by {gap:.4f}")


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) + 0.0 for value in values]  # no -0.0, which a JSON column does not keep
