"""One target to its candidates: geometry, layout, texture and both decoders, all seeds in batched forwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.candidate_files import candidate_files, pose_of
from modelzoo.checkpoint import WEIGHTS_NAME, read_manifest
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Pose
from modelzoo.latents import latents_from_bytes
from modelzoo.memory import peak_memory
from modelzoo.photo_colours import photo_view
from modelzoo.registry import Models
from modelzoo.shape_stage import DrawnShape, Progress, draw_poses, draw_shapes
from modelzoo.stages import Memory, Precision, Stages, load_stages
from modelzoo.targets import Target, target_of
from modelzoo.texture_stage import texture_shapes

logger = logging.getLogger(__name__)


#: What a pre-filter chooses by: a number for each shape of the target, higher is better.
ShapeScore = Callable[[Target, Sequence[DrawnShape]], Sequence[float] | NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A candidate that a pre-filter kept, with its score and its place among all that were drawn (1 is the best)."""

    candidate: GeneratedCandidate
    score: float
    rank: int


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
            made = self._finished(target, drawn, lambda share: report(0.4 + 0.6 * share))
        logger.info(
            "candidates drawn",
            extra={"candidates": len(made), "peak_bytes": peak.bytes, "preset": self.stages.preset.name},
        )
        return made

    @torch.inference_mode()
    def generate_best(
        self,
        request: CandidateRequest,
        *,
        keep: int,
        score: ShapeScore,
        on_progress: Progress | None = None,
    ) -> tuple[Kept, ...]:
        """The ``keep`` of as many candidates as there are seeds that ``score`` likes best, the best one first.

        Only the shapes of the others are drawn: they get no texture and no files. A kept one is what ``generate``
        makes of its seed. Raises as ``generate`` does, and ValueError for scores that do not rank the shapes.
        """
        report = on_progress or _ignore
        if not 1 <= keep <= len(request.seeds):
            raise ValueError(f"cannot keep {keep} of {len(request.seeds)} candidates")
        target = target_of(request, self.stages.preset)
        drawn = draw_shapes(self.stages, target, lambda share: report(0.7 * share))
        scores = np.asarray(score(target, drawn), dtype=np.float64)
        if scores.shape != (len(drawn),) or not np.isfinite(scores).all():
            raise ValueError(f"a score must be a finite number for each of {len(drawn)} shapes")
        best = np.argsort(-scores, kind="stable")[:keep]
        made = self._finished(
            target, [drawn[index] for index in best], lambda share: report(0.7 + 0.3 * share)
        )
        return tuple(
            Kept(candidate=one, score=float(scores[index]), rank=rank)
            for rank, (one, index) in enumerate(zip(made, best, strict=True), start=1)
        )

    def _finished(
        self, target: Target, drawn: list[DrawnShape], report: Progress
    ) -> tuple[GeneratedCandidate, ...]:
        """The shapes with texture, as files."""
        request = target.request
        parts = texture_shapes(self.stages, target, drawn, lambda share: report(0.5 * share))
        photo = photo_view(request.image, request.mask, target.intrinsics)
        with ThreadPoolExecutor(self.export_threads) as pool:
            files = pool.map(
                lambda one: candidate_files(one, photo, unit=target.unit, settings=request.settings),
                parts,
            )
            made = []
            for index, one in enumerate(files):
                made.append(replace(one, fallbacks=(*target.notes, *one.fallbacks)))
                report(0.5 + 0.5 * (index + 1) / len(drawn))
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
