"""One candidate's share of a batch, decoded and written as the files that people look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from modelzoo.contracts import GeneratedCandidate, Pose, SamplerSettings, Unit
from modelzoo.decoders.cleanup import AFTER_EXTRACTION, Surface, cleaned
from modelzoo.decoders.colour_volume import ColourVolume
from modelzoo.decoders.gaussians import CellGaussians
from modelzoo.decoders.mesh import DecodedMesh, mesh_from_field, mesh_from_surface
from modelzoo.exports.gaussian_ply import Gaussians, disc_normals, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, glb_from_textured, preview_glb_from_mesh
from modelzoo.exports.texture import SIZE as TEXTURE_SIZE
from modelzoo.exports.texture import textured
from modelzoo.frames import pose_from_parts
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.photo_colours import STEP as PHOTO_STEP
from modelzoo.photo_colours import PhotoView, seen_surface
from modelzoo.refinement import Layout, RefinedLayout
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent

FIELD_BLUR = 0.6  # voxels; takes the last steps out of a surface without moving it
MIN_OPACITY, MAX_SPLAT_DISTANCE = 0.1, 1.5 / 64

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VoxelShape:
    """A field (R, R, R), positive inside, and the voxels of its active cells ``coords`` (N, 3)."""

    field: NDArray[np.float32]
    coords: NDArray[np.int64]
    content: CellContent

    def decoded(self) -> DecodedMesh:
        volume = self._volume()
        smooth = gaussian_filter(self.field, FIELD_BLUR)
        return mesh_from_field(smooth, colour_voxels=volume.voxels, colours=volume.colours)

    def colours_at(self, points: Floats) -> Floats:
        """sRGB (M, 3) at object points (M, 3)."""
        return self._volume().at(points)

    def _volume(self) -> ColourVolume:
        """Voxels near the refined surface and their colours; all the cells' voxels when the surface is elsewhere."""
        side = round(self.content.field.shape[1] ** (1 / 3))
        inner = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        voxels = (self.coords[:, None] * side + inner[None]).reshape(-1, 3)
        near = (self.content.field.abs() < 0.9 * FIELD_CLAMP).numpy().reshape(-1)
        near = near if near.any() else np.ones_like(near)
        return ColourVolume(
            voxels=voxels[near],
            colours=self.content.colour.numpy().reshape(-1, 3)[near].astype(np.float32),
            resolution=self.field.shape[0],
        )


@dataclass(frozen=True, kw_only=True)
class SurfaceShape:
    """A surface that the decoder gave as triangles, with colours (V, 3) of its vertices."""

    surface: Surface
    colours: Floats
    steps: tuple[str, ...] = ()

    def decoded(self) -> DecodedMesh:
        surface, taken = cleaned(self.surface, AFTER_EXTRACTION)
        mesh = mesh_from_surface(surface.vertices, surface.faces, self.colours_at(surface.vertices))
        return DecodedMesh(mesh=mesh, steps=(*self.steps, *(str(step) for step in taken)))

    def colours_at(self, points: Floats) -> Floats:
        """sRGB (M, 3) at object points (M, 3): those of the nearest vertex."""
        found: Floats = self.colours[cKDTree(self.surface.vertices).query(points)[1]]
        return found


@dataclass(frozen=True, kw_only=True)
class CandidateParts:
    """What the models made of one seed; ``notes`` names what was not the plain way before its files were made."""

    seed: int
    latents: CandidateLatents
    refined: RefinedLayout
    shape: VoxelShape | SurfaceShape
    gaussians: CellGaussians
    notes: tuple[str, ...] = ()


def candidate_files(
    parts: CandidateParts, photo: PhotoView, *, unit: Unit, settings: SamplerSettings
) -> GeneratedCandidate:
    """Mesh, preview, Gaussians and latents; ``fallbacks`` names every step that was not the plain way."""
    decoded, layout = parts.shape.decoded(), parts.refined.layout
    mesh = decoded.mesh
    seen = seen_surface(photo, layout, mesh.vertices, mesh.faces)
    vertex_colours, used = seen.coloured(mesh.vertices, mesh.normals, mesh.colours, two_sided=False)
    mesh = replace(mesh, colours=vertex_colours)
    splats = _kept_gaussians(parts.gaussians, mesh.vertices)
    discs = disc_normals(splats.rotations_wxyz)
    splats = replace(
        splats, colours=seen.coloured(splats.positions, discs, splats.colours, two_sided=True)[0]
    )
    return GeneratedCandidate(
        seed=parts.seed,
        pose=pose_of(layout, unit=unit),
        latents=latents_to_bytes(parts.latents),
        mesh_glb=glb_from_mesh(mesh),
        preview_glb=preview_glb_from_mesh(mesh),
        splat_ply=ply_from_gaussians(splats),
        num_vertices=len(mesh.vertices),
        num_faces=len(mesh.faces),
        num_splats=len(splats.positions),
        settings=settings,
        fallbacks=(
            *parts.notes,
            *parts.refined.steps,
            *decoded.steps,
            *((PHOTO_STEP,) if used else ()),
        ),
    )


def textured_glb(parts: CandidateParts, photo: PhotoView, *, size: int = TEXTURE_SIZE) -> bytes:
    """The candidate's mesh with few triangles and a texture, from its voxels and from what the photograph shows.

    Costs about two seconds of one core at the default size, so it is made for a candidate that somebody chose.
    """
    mesh = parts.shape.decoded().mesh
    seen = seen_surface(photo, parts.refined.layout, mesh.vertices, mesh.faces)

    def paint(points: Floats, normals: Floats) -> Floats:
        return seen.coloured(points, normals, parts.shape.colours_at(points), two_sided=False)[0]

    return glb_from_textured(textured(mesh, paint, size=size))


def pose_of(layout: Layout, *, unit: Unit) -> Pose:
    """The layout as a T_camera_object of the point map's unit."""
    return pose_from_parts(
        rotation=layout.rotation, translation=layout.translation, scale=layout.scale, unit=unit
    )


def _kept_gaussians(gaussians: CellGaussians, vertices: NDArray[np.float32]) -> Gaussians:
    """Opaque Gaussians near the mesh; at least one, so that the file is never empty."""
    positions = gaussians.positions.numpy().reshape(-1, 3)
    opacities = gaussians.opacities.numpy().reshape(-1)
    keep = opacities > MIN_OPACITY
    near = cKDTree(vertices).query(positions[keep], distance_upper_bound=MAX_SPLAT_DISTANCE)[0]
    keep[keep] = np.isfinite(near)
    if not keep.any():
        keep[int(opacities.argmax())] = True
    return Gaussians(
        positions=positions[keep],
        scales=gaussians.scales.numpy().reshape(-1, 3)[keep],
        rotations_wxyz=gaussians.rotations_wxyz.numpy().reshape(-1, 4)[keep],
        opacities=opacities[keep],
        colours=gaussians.colours.numpy().reshape(-1, 3)[keep].clip(0, 1),
    )
