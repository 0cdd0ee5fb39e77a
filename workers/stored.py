"""Candidates as blobs, and what their rows will say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from engine import blobs
from engine.services.new_candidate import NewCandidate
from engine.services.stage3 import pose_json
from modelzoo.contracts import GeneratedCandidate

GLB, BINARY = "model/gltf-binary", "application/octet-stream"
PUTS_AT_ONCE = 8


def stored_candidates(
    made: Sequence[GeneratedCandidate],
    *,
    source: str,
    first: int = 0,
    checkpoint_id: int | None = None,
    generation: int | None = None,
) -> list[NewCandidate]:
    """Puts every file into the store; the candidates are numbered from ``first`` on, in their order."""
    store: Callable[[int, GeneratedCandidate], NewCandidate] = partial(
        _stored, source=source, checkpoint_id=checkpoint_id, generation=generation
    )
    with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        return list(pool.map(store, range(first, first + len(made)), made))


def _stored(
    index: int, made: GeneratedCandidate, *, source: str, checkpoint_id: int | None, generation: int | None
) -> NewCandidate:
    return NewCandidate(
        index=index,
        source=source,
        checkpoint_id=checkpoint_id,
        generation=generation,
        seed=made.seed,
        settings=asdict(made.settings),
        pose=pose_json(made.pose),
        latents_key=blobs.put(made.latents, suffix=".safetensors", content_type=BINARY)
        if made.latents
        else "",
        mesh_key=blobs.put(made.mesh_glb, suffix=".glb", content_type=GLB),
        preview_key=blobs.put(made.preview_glb, suffix=".glb", content_type=GLB),
        splat_key=blobs.put(made.splat_ply, suffix=".ply", content_type=BINARY),
        num_vertices=made.num_vertices,
        num_faces=made.num_faces,
        num_splats=made.num_splats,
        fallbacks=made.fallbacks,
    )
