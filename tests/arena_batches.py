"""Arenas that ask for candidates of their own, and what workers would make of them, as rows."""

from __future__ import annotations

from typing import Any

from engine.models import (
    Arena,
    CandidateBatch,
    Checkpoint,
    Project,
)
from engine.services import arena, candidates
from engine.services.new_candidate import NewCandidate
from engine.transitions import Actor

MEL = Actor(name="mel")


def opened(of: Project, *makers: Checkpoint, **more: Any) -> Arena:
    return arena.open_arena(
        **{
            "project_id": of.pk,
            "name": "a",
            "checkpoint_ids": [each.pk for each in makers],
            "votes": 1,
            "seed": 7,
            "num_targets": 40,
            "actor": MEL,
            **more,
        }
    )


def made(batch: CandidateBatch, **changes: Any) -> CandidateBatch:
    """The batch as the worker ends it."""
    values = {
        "index": 0,
        "source": "candid8",
        "checkpoint_id": batch.checkpoint_id,
        "seed": batch.seed,
        "latents_key": "la/a.safetensors",
        "mesh_key": f"me/{batch.pk}.glb",
        "preview_key": f"pr/{batch.pk}.glb",
        **changes,
    }
    candidates.begin_batch(batch_id=batch.pk)
    return candidates.complete_batch(batch_id=batch.pk, candidates=[NewCandidate(**values)], seconds=1.0)
