"""One target to its candidates: geometry, layout, texture and both decoders, all seeds in batched forwards."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from modelzoo.candidate_files import candidate_files, pose_of
from modelzoo.checkpoint import WEIGHTS_NAME, read_manifest
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Pose
from modelzoo.latents import latents_from_bytes
from modelzoo.memory import peak_memory
from modelzoo.photo_colours import photo_view
from modelzoo.registry import Models
from modelzoo.shape_stage import Progress, draw_poses, draw_shapes
from modelzoo.stages import Memory, Precision, Stages, load_stages
from modelzoo.targets import target_of
from modelzoo.texture_stage import texture_shapes

logger = logging.getLogger(__name__)


class CandidatePipeline:
    """A CandidateSource and a LayoutSource over our own models.

    A candidate follows from weights, seed and settings: bit for bit on the same device with the same number of
    threads, alone or in any company, as long as ``SamplerSettings.batch_rows`` is not 0. It is paid for by filling
    the last batch up. With 0, latents alone and in a batch agree within 1e-3: on a CPU, sums over one, two or three
    rows are blocked differently from those over more. Both are tested on a CPU. On a GPU the texture stage also adds
    up with atomics, whose order changes from run to run, so that there only the shape can be held to its bits.

    A candidate whose numbers turn infinite or NaN leaves the others of its batch alone. It is drawn again from another
    stream of its own seed, up to three times in all, which its ``fallbacks`` say as ``redrawn_after_non_finite``;
    then SamplingFailed names its seed.
    """

    name = "candid8"

    def __init__(self, stages: Stages, *, export_threads: int = 2) -> None:
        self.stages = stages
        self.export_threads = export_threads

    @property
    def models(self) -> Models:
        return self.stages.models

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
        memory: Memory = "resident",
    ) -> CandidatePipeline:
        """The pipeline of a checkpoint folder; the rest as in ``load_stages``. Raises CheckpointRefused."""
        manifest = read_manifest(folder)
        weights = folder / WEIGHTS_NAME
        return cls(load_stages(weights, manifest, device=device, precision=precision, memory=memory))

    @torch.inference_mode()
    def generate(
        self, request: CandidateRequest, on_progress: Progress | None = None
    ) -> tuple[GeneratedCandidate, ...]:
        """One candidate per seed, in the order of the seeds. ``on_progress`` hears shares from 0 to 1.

        Raises SamplingFailed, and ValueError for a mask that is too thin for this preset's views.
        """
        report = on_progress or _ignore
        with peak_memory(self.stages.device) as peak:
            target = target_of(request, self.stages.preset)
            drawn = draw_shapes(self.stages, target, lambda share: report(0.4 * share))
            parts = texture_shapes(self.stages, target, drawn, lambda share: report(0.4 + 0.3 * share))
            photo = photo_view(request.image, request.mask, target.intrinsics)
            with ThreadPoolExecutor(self.export_threads) as pool:
                files = pool.map(
                    lambda one: candidate_files(one, photo, unit=target.unit, settings=request.settings),
                    parts,
                )
                made = []
                for index, one in enumerate(files):
                    made.append(replace(one, fallbacks=(*target.notes, *one.fallbacks)))
                    report(0.7 + 0.3 * (index + 1) / len(request.seeds))
        logger.info(
            "candidates drawn",
            extra={"candidates": len(made), "peak_bytes": peak.bytes, "preset": self.stages.preset.name},
        )
        return tuple(made)

    @torch.inference_mode()
    def propose_layout(self, request: CandidateRequest, *, latents: bytes) -> tuple[Pose, ...]:
        """One pose per seed for the shape in ``latents``: the shape stream is held on the way to it, the layout drawn.

        A shape without a latent of ours is encoded from its occupancy. Raises ValueError for other bytes.
        """
        given = latents_from_bytes(latents)
        target = target_of(request, self.stages.preset)
        refined = draw_poses(self.stages, target, given)
        return tuple(pose_of(one.layout, unit=target.unit) for one in refined)


def _ignore(_: float) -> None:
    """No one listens."""
