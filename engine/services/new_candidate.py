"""A candidate whose blobs are stored, before it is a row; as JSON while its batch waits for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import BadInput
from engine.models import Candidate
from engine.services.mix import OWN


@dataclass(frozen=True, kw_only=True)
class NewCandidate:
    """One candidate whose blobs are stored, ready to become a row."""

    index: int
    source: str
    mesh_key: str
    preview_key: str
    checkpoint_id: int | None = None
    generation: int | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    pose: dict[str, Any] | None = None
    latents_key: str = ""
    splat_key: str = ""
    num_vertices: int = 0
    num_faces: int = 0
    num_splats: int = 0
    fallbacks: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.source or not self.mesh_key or not self.preview_key:
            raise BadInput("A candidate names its source and the keys of its mesh and its preview.")
        if self.source == OWN and (self.checkpoint_id is None or self.seed is None):
            raise BadInput("A candidate of our own model names its checkpoint and its seed.")

    def row(self, *, project_id: int, target_id: int, batch_id: int | None) -> Candidate:
        """The unsaved row."""
        return Candidate(
            project_id=project_id,
            target_id=target_id,
            batch_id=batch_id,
            index=self.index,
            source=self.source,
            checkpoint_id=self.checkpoint_id,
            generation=self.generation,
            seed=self.seed,
            settings=self.settings,
            pose=self.pose,
            latents_key=self.latents_key,
            mesh_key=self.mesh_key,
            preview_key=self.preview_key,
            splat_key=self.splat_key,
            num_vertices=self.num_vertices,
            num_faces=self.num_faces,
            num_splats=self.num_splats,
            fallbacks=list(self.fallbacks),
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "fallbacks": list(self.fallbacks)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> NewCandidate:
        return cls(**document)
