"""Candidates out of a mesh library: the meshes whose rendered views look most like the masked photograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.alignment import FittedLayout, Layout, fit_layout
from modelzoo.camera import intrinsics_from_points, typical_intrinsics
from modelzoo.candidate_files import pose_of
from modelzoo.conditioning import TYPICAL_FOCAL
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, Intrinsics, Unit
from modelzoo.decoders.mesh import ColouredMesh, decimate
from modelzoo.exports.gaussian_ply import ply_from_gaussians
from modelzoo.exports.glb import PREVIEW_FACES, glb_from_mesh
from modelzoo.ports.image_features import LiteEmbedder
from modelzoo.retrieval.library import ImageEmbedder, LibraryRefused, Match, MeshLibrary, MeshRecord
from modelzoo.retrieval.splats import gaussians_on_surface
from modelzoo.retrieval.views import masked_crop

VIEW_MARGIN = 0.04  # of cosine similarity, within which the silhouette decides between views of one mesh
MOST_VIEWS = 3
SURFACE_POINTS = 3000
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
        """The source over the library in ``folder`` with the packaged encoder. Raises LibraryRefused, FeaturesMissing."""
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
        fitted = self._fitted(mesh, match, request, scene)
        splats = gaussians_on_surface(mesh, seed=seed)
        preview = decimate(mesh, max_faces=PREVIEW_FACES)
        return GeneratedCandidate(
            seed=seed,
            pose=pose_of(fitted.layout, unit=scene.unit),
            latents=b"",
            mesh_glb=glb_from_mesh(mesh, name=record.name),
            preview_glb=glb_from_mesh(preview, name=record.name),
            splat_ply=ply_from_gaussians(splats),
            num_vertices=len(mesh.vertices),
            num_faces=len(mesh.faces),
            num_splats=len(splats.positions),
            settings=request.settings,
            fallbacks=(*_told(record, match), *scene.notes, *fitted.steps),
        )

    def _fitted(
        self, mesh: ColouredMesh, match: Match, request: CandidateRequest, scene: _Scene
    ) -> FittedLayout:
        """Of the views that look nearly as alike as the best one, that whose fitted silhouette meets the mask best."""
        surface = _surface(mesh)
        order = np.argsort(-match.view_scores, kind="stable")[:MOST_VIEWS]
        alike = [view for view in order if match.view_scores[view] >= match.score - VIEW_MARGIN]
        tried = [
            fit_layout(
                scene.start(surface, self.library.rotations[view]),
                surface,
                mask=request.mask,
                points=request.points if scene.has_points else None,
                intrinsics=scene.camera,
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
    height, width = request.mask.shape
    rows, cols = np.flatnonzero(request.mask.any(axis=1)), np.flatnonzero(request.mask.any(axis=0))
    low, high = np.array([cols[0], rows[0]], float), np.array([cols[-1] + 1, rows[-1] + 1], float)
    camera, depth, notes = None, 1.0, ["point_map_missing"]
    if request.points is not None:
        known = request.points[request.mask & np.isfinite(request.points).all(axis=-1)]
        notes = ["point_map_unknown_inside_mask"]
        if len(known) >= MIN_POINTS:
            depth, camera = float(np.median(known[:, 2])), intrinsics_from_points(request.points)
            notes = [] if camera else ["camera_guessed"]
    has_points = not notes or notes == ["camera_guessed"]
    return _Scene(
        camera=camera or typical_intrinsics(height=height, width=width, focal_factor=TYPICAL_FOCAL),
        centre=(low + high) / 2,
        span=float((high - low).max()),
        depth=depth,
        unit=request.unit if has_points else "pointmap",
        has_points=has_points,
        notes=tuple(notes),
    )


def _told(record: MeshRecord, match: Match) -> tuple[str, ...]:
    """What a label must be able to say: that this shape was found, where, and under which licence."""
    whose = f"{record.creator}, {record.licence}" if record.creator else record.licence
    return (
        f"retrieved_mesh: {record.collection}/{record.name} ({whose})",
        f"retrieval_similarity={match.score:.3f}",
        "rotation_from_nearest_view",
    )


def _surface(mesh: ColouredMesh) -> Floats:
    """Points (N, 3) evenly over the surface, the same ones every time."""
    return gaussians_on_surface(mesh, seed=0, count=SURFACE_POINTS).positions.astype(np.float64)


def _turned_to(ray: Floats) -> Floats:
    """The smallest rotation that takes the optical axis to the unit vector ``ray``, which looks forward."""
    axis = np.cross([0.0, 0.0, 1.0], ray)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + ray[2])
