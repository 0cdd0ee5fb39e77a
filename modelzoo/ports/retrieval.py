"""Candidates out of a mesh library: the meshes whose rendered views look most like the masked photograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Intrinsics, Unit
from modelzoo.frames import pose_from_parts
from modelzoo.ports.foreign_mesh import candidate_from_mesh, splats_from_mesh
from modelzoo.ports.image_features import LiteEmbedder
from modelzoo.ports.placement import camera_of
from modelzoo.refinement import Layout, RefinedLayout, refine_layout
from modelzoo.retrieval.library import ImageEmbedder, LibraryRefused, Match, MeshLibrary, MeshRecord
from modelzoo.retrieval.views import masked_crop

VIEW_MARGIN = 0.04  # of cosine similarity, within which the silhouette decides between views of one mesh
MOST_VIEWS = 3
SURFACE_POINTS = 3000
RETRIEVED, VIEW_ROTATION = "retrieved_from_mesh_library", "rotation_of_the_most_alike_view"
MIN_POINTS = 8  # known inside the mask, for the point map to place anything

Floats = NDArray[np.float64]
Progress = Callable[[float], None]


class RetrievalSource:
    """A CandidateSource over one mesh library. A candidate follows from the library, the embedder and the request.

    Candidates have no latents of our models: ``latents`` is empty.
    """

    name = "retrieval"

    def __init__(self, library: MeshLibrary, embedder: ImageEmbedder) -> None:
        if library.embedder != embedder.identity:
            raise LibraryRefused(
                f"the library was made with {library.embedder}, not with {embedder.identity}"
            )
        self.library, self.embedder = library, embedder

    @classmethod
    def load(cls, folder: Path, *, device: str | torch.device = "cpu") -> RetrievalSource:
        """The source over the library in ``folder`` with the packaged encoder.

        Raises LibraryRefused or FeaturesMissing.
        """
        return cls(MeshLibrary.load(folder), LiteEmbedder.load(device=device))

    def generate(
        self, request: CandidateRequest, on_progress: Progress | None = None
    ) -> tuple[GeneratedCandidate, ...]:
        """One candidate per seed, each of another mesh, the most alike first. ``on_progress`` hears shares to 1.

        Raises ValueError when the library has fewer meshes than there are seeds, LibraryRefused when a file changed.
        """
        scene = _scene_of(request)
        matches = self.matches(request.image, request.mask, len(request.seeds))
        made = []
        for number, (seed, match) in enumerate(zip(request.seeds, matches, strict=True), start=1):
            made.append(self._candidate(seed, match, request, scene))
            if on_progress is not None:
                on_progress(number / len(matches))
        return tuple(made)

    def matches(self, image: NDArray[np.uint8], mask: NDArray[np.bool_], count: int) -> tuple[Match, ...]:
        """The ``count`` library meshes most like the masked object, best first."""
        crop = masked_crop(image, mask, side=self.embedder.side)
        return self.library.search(self.embedder.embed(crop[None])[0], count)

    def _candidate(
        self, seed: int, match: Match, request: CandidateRequest, scene: _Scene
    ) -> GeneratedCandidate:
        mesh, record = self.library.mesh(match.index), self.library.records[match.index]
        splats = splats_from_mesh(mesh, seed=seed)
        surface = splats.positions[:SURFACE_POINTS].astype(np.float64)
        refined = self._refined(surface, match, request, scene)
        layout = refined.layout
        pose = pose_from_parts(
            rotation=layout.rotation, translation=layout.translation, scale=layout.scale, unit=scene.unit
        )
        return candidate_from_mesh(
            mesh,
            seed=seed,
            pose=pose,
            settings=replace(request.settings, source_options=_options(record, match)),
            gaussians=splats,
            fallbacks=(RETRIEVED, *scene.notes, VIEW_ROTATION, *refined.steps, "splats_from_mesh"),
            name=record.name,
            copyright=_attribution(record),
        )

    def _refined(
        self, surface: Floats, match: Match, request: CandidateRequest, scene: _Scene
    ) -> RefinedLayout:
        """Of the views that look nearly as alike as the best one, that whose silhouette comes to meet the mask best."""
        order = np.argsort(-match.view_scores, kind="stable")[:MOST_VIEWS]
        alike = [view for view in order if match.view_scores[view] >= match.score - VIEW_MARGIN]
        tried = [
            refine_layout(
                scene.start(surface, self.library.rotations[view]),
                surface,
                mask=request.mask,
                points=request.points if scene.has_points else None,
                intrinsics=scene.camera,
                points_trusted=not request.approximate,
            )
            for view in alike
        ]
        return max(tried, key=lambda one: one.iou_after)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What a request says of its camera and of where its object is."""

    camera: Intrinsics
    centre: Floats  # pixels, of the mask's box
    span: float  # pixels, its longer side
    depth: float
    unit: Unit
    has_points: bool
    notes: tuple[str, ...]

    def start(self, surface: Floats, view: Floats) -> Layout:
        """The layout that shows ``surface`` as the view (R_camera_object, straight ahead) does, where the mask is."""
        ray = np.array(
            [
                (self.centre[0] - self.camera.cx) / self.camera.fx,
                (self.centre[1] - self.camera.cy) / self.camera.fy,
                1.0,
            ]
        )
        rotation = _turned_to(ray / np.linalg.norm(ray)) @ view
        seen = np.ptp((surface @ view.T)[:, :2], axis=0).max()
        scale = self.span / self.camera.fx * self.depth / max(float(seen), 1e-6)
        return Layout(rotation=rotation, translation=ray * self.depth, scale=scale)


def _scene_of(request: CandidateRequest) -> _Scene:
    rows, cols = np.flatnonzero(request.mask.any(axis=1)), np.flatnonzero(request.mask.any(axis=0))
    low, high = np.array([cols[0], rows[0]], float), np.array([cols[-1] + 1, rows[-1] + 1], float)
    camera, notes = camera_of(request)
    depth, has_points = 1.0, False
    if request.points is not None:
        known = request.points[request.mask & np.isfinite(request.points).all(axis=-1)]
        has_points = len(known) >= MIN_POINTS
        depth = float(np.median(known[:, 2])) if has_points else 1.0
        notes = notes if has_points else (*notes, "point_map_unknown_inside_mask")
    return _Scene(
        camera=camera,
        centre=(low + high) / 2,
        span=float((high - low).max()),
        depth=depth,
        unit=request.unit if has_points else "pointmap",
        has_points=has_points,
        notes=notes,
    )


def _attribution(record: MeshRecord) -> str:
    """Name, maker and licence, as Creative Commons asks for; written into the files."""
    return ", ".join(part for part in (record.name, record.creator, record.licence) if part)


def _options(record: MeshRecord, match: Match) -> dict[str, object]:
    """What was found, stored with the candidate."""
    return {
        "library_mesh": f"{record.collection}/{record.origin}",
        "similarity": round(match.score, 4),
        "creator": record.creator,
        "licence": record.licence,
        "size_m": None if record.size_m is None else list(record.size_m),
    }


def _turned_to(ray: Floats) -> Floats:
    """The smallest rotation that takes the optical axis to the unit vector ``ray``, which looks forward."""
    axis = np.cross([0.0, 0.0, 1.0], ray)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + ray[2]))
