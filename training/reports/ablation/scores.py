"""Scores of the ablation's checkpoints on one fixed held-out set of an annotated world, kept on disk one file each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from modelzoo.presets import GeometryPreset
from modelzoo.registry import load_models
from training.data.samples import Example
from training.data.scenes import AnnotatedWorld
from training.loop.fingerprint import weights_sha256
from training.reports.held_out import (
    ALONE,
    Drawn,
    SamplerPlan,
    condition_batch,
    draw,
    held_out_examples,
    overlaps,
    truth_grids,
)
from training.reports.scoring import GeometryScorer, ShapeScores

HELD_OUT_SEED = 0  # of the set that the report is about; settings are tried on another


@dataclass(frozen=True, kw_only=True)
class StageScores:
    """Every metric of the first candidates (N x K), and overlap of more of them (N x M), object by object.

    ``texture`` is the sha256 of the checkpoint's texture flow, which no stage of geometry may have changed.
    """

    shape: ShapeScores
    many_overlaps: np.ndarray
    texture: str


class HeldOutSet:
    """``count`` objects that no training saw, as a preset sees them, their truths prepared once."""

    def __init__(
        self,
        preset: GeometryPreset,
        *,
        count: int,
        scored: int,
        drawn: int,
        seed: int = HELD_OUT_SEED,
        world: AnnotatedWorld = "shifted",
    ) -> None:
        if scored > drawn:
            raise ValueError(f"{scored} candidates cannot be scored when {drawn} are drawn")
        self.examples: list[Example] = held_out_examples(
            count=count,
            seed=seed,
            size=preset.image_size,
            resolution=preset.resolution,
            mixture=ALONE[world],
        )
        self.scored, self.drawn, self.seed, self.world = scored, drawn, seed, world
        self._scorer = GeometryScorer(self.examples, seed=seed)

    def about(self) -> dict[str, object]:
        """Which objects these are, and how much is drawn of each."""
        return {
            "world": self.world,
            "objects": len(self.examples),
            "objects_seed": self.seed,
            "scored": self.scored,
            "drawn": self.drawn,
        }

    def scores(self, checkpoint: Path, kept: Path) -> StageScores:
        """Draw and score a checkpoint, or read what was kept of it. All checkpoints start from the same noise."""
        if not kept.exists():
            self._measure(checkpoint, kept)
        return read_scores(kept)

    def _measure(self, checkpoint: Path, kept: Path) -> None:
        models = load_models(checkpoint)[1]
        plan = SamplerPlan(num_samples=self.drawn, seed=HELD_OUT_SEED)
        drawn = draw(models.geometry, models.ss_vae, condition_batch(self.examples), plan)
        many = overlaps(drawn, truth_grids(self.examples)).double().numpy()
        first = Drawn(grids=drawn.grids[:, : self.scored], layouts=drawn.layouts[:, : self.scored])
        scores = self._scorer.score(first)
        columns = {one.name: getattr(scores, one.name) for one in fields(scores)}
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".new.npz")
        np.savez(draft, many_overlaps=many, texture=weights_sha256(models.texture), **columns)
        draft.replace(kept)


def read_scores(kept: Path) -> StageScores:
    """What ``HeldOutSet.scores`` kept."""
    with np.load(kept) as file:
        columns = {name: file[name] for name in file.files}
    many, texture = columns.pop("many_overlaps"), str(columns.pop("texture"))
    return StageScores(many_overlaps=many, texture=texture, shape=ShapeScores(**columns))
