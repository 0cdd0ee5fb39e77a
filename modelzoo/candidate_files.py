"""One candidate's share of a batch, decoded and written as the files that people look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from modelzoo.alignment import FittedLayout, Layout
from modelzoo.contracts import GeneratedCandidate, Pose, SamplerSettings, Unit
from modelzoo.decoders.colour_volume import ColourVolume
from modelzoo.decoders.gaussians import CellGaussians
from modelzoo.decoders.mesh import DecodedMesh, mesh_from_field
from modelzoo.exports.gaussian_ply import Gaussians, disc_normals, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, glb_from_textured, preview_glb_from_mesh
from modelzoo.exports.texture import SIZE as TEXTURE_SIZE
from modelzoo.exports.texture import textured
from modelzoo.frames import pose_from_parts
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.photo_colours import STEP as PHOTO_STEP
from modelzoo.photo_colours import PhotoView, seen_surface
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent

FIELD_BLUR = 0.6  # voxels; takes the last steps out of a surface without moving it
MIN_OPACITY, MAX_SPLAT_DISTANCE = 0.1, 1.5 / 64

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CandidateParts:
    """What the models made of one seed; ``field`` (R, R, R) is refined, ``coords`` (N, 3) are its active cells."""

    seed: int
    latents: CandidateLatents
    fitted: FittedLayout
    field: NDArray[np.float32]
    coords: NDArray[np.int64]
    content: CellContent
    gaussians: CellGaussians


def candidate_files(
    parts: CandidateParts, photo: PhotoView, *, unit: Unit, settings: SamplerSettings
) -> GeneratedCandidate:
    """Mesh, preview, Gaussians and latents; ``fallbacks`` names every step that was not the plain way."""
    decoded, layout = _decoded(parts), parts.fitted.layout
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
        fallbacks=(*parts.fitted.steps, *decoded.steps, *((PHOTO_STEP,) if used else ())),
    )


def textured_glb(parts: CandidateParts, photo: PhotoView, *, size: int = TEXTURE_SIZE) -> bytes:
    """The candidate's mesh with few triangles and a texture, from its voxels and from what the photograph shows.

    Costs about two seconds of one core at the default size, so it is made for a candidate that somebody chose.
    """
    mesh, volume = _decoded(parts).mesh, _colour_volume(parts)
    seen = seen_surface(photo, parts.fitted.layout, mesh.vertices, mesh.faces)

    def paint(points: Floats, normals: Floats) -> Floats:
        return seen.coloured(points, normals, volume.at(points), two_sided=False)[0]

    return glb_from_textured(textured(mesh, paint, size=size))


def pose_of(layout: Layout, *, unit: Unit) -> Pose:
    """The layout as a T_camera_object of the point map's unit."""
    return pose_from_parts(
        rotation=layout.rotation, translation=layout.translation, scale=layout.scale, unit=unit
    )


def _decoded(parts: CandidateParts) -> DecodedMesh:
    volume = _colour_volume(parts)
    smooth = gaussian_filter(parts.field, FIELD_BLUR)
    return mesh_from_field(smooth, colour_voxels=volume.voxels, colours=volume.colours)


def _colour_volume(parts: CandidateParts) -> ColourVolume:
    """Voxels near the refined surface and their colours; all of the cells' voxels when the surface is elsewhere."""
    side = round(parts.content.field.shape[1] ** (1 / 3))
    inner = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = (parts.coords[:, None] * side + inner[None]).reshape(-1, 3)
    near = (parts.content.field.abs() < 0.9 * FIELD_CLAMP).numpy().reshape(-1)
    near = near if near.any() else np.ones_like(near)
    return ColourVolume(
        voxels=voxels[near],
        colours=parts.content.colour.numpy().reshape(-1, 3)[near].astype(np.float32),
        resolution=parts.field.shape[0],
    )


def _kept_gaussians(gaussians: CellGaussians, vertices: NDArray[np.float32]) -> Gaussians:
    """Opaque Gaussians near the mesh; at least one, so that the file is never empty."""
    positions = gaussians.positions.numpy().reshape(-1, 3)
    opacities = gaussians.opacities.numpy().reshape(-1)
    near = cKDTree(vertices).query(positions, distance_upper_bound=MAX_SPLAT_DISTANCE)[0]
    keep = (opacities > MIN_OPACITY) & np.isfinite(near)
    if not keep.any():
        keep[int(opacities.argmax())] = True
    return Gaussians(
        positions=positions[keep],
        scales=gaussians.scales.numpy().reshape(-1, 3)[keep],
        rotations_wxyz=gaussians.rotations_wxyz.numpy().reshape(-1, 4)[keep],
        opacities=opacities[keep],
        colours=gaussians.colours.numpy().reshape(-1, 3)[keep].clip(0, 1),
    )
