"""A coloured mesh unwrapped to a texture: few triangles, and colours as fine as their source gives them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from modelzoo.contracts import Intrinsics
from modelzoo.decoders.mesh import ColouredMesh, decimate
from modelzoo.ports.unwrapping import charts
from modelzoo.silhouette import rasterise

MAX_FACES = 5000  # the unwrapper takes 0.3 s for these and fifty times as long for four times as many
SIZE = 1024  # pixels per side
JPEG_QUALITY = 92
NEIGHBOURS = 4  # vertices that share in a point's colour

Floats = NDArray[np.float32]
Paint = Callable[
    [Floats, Floats], Floats
]  # object points (N, 3) and unit normals (N, 3) to sRGB colours (N, 3)


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """Triangles in the object frame (Z-up) and an sRGB texture; ``uvs`` start at the picture's top left corner."""

    vertices: Floats  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3)
    normals: Floats  # (V, 3), unit
    uvs: Floats  # (V, 2), in [0, 1]
    texture: NDArray[np.uint8]  # (S, S, 3)

    def jpeg(self) -> bytes:
        """With full chroma resolution, so that colours do not bleed over the charts' edges."""
        buffer = io.BytesIO()
        Image.fromarray(self.texture).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """A mesh cut into charts: vertices on a cut are there once per chart. ``uvs`` (V, 2) are in [0, 1]."""

    vertices: Floats
    faces: NDArray[np.int32]
    normals: Floats
    uvs: Floats


def textured(
    mesh: ColouredMesh, paint: Paint | None = None, *, size: int = SIZE, max_faces: int = MAX_FACES
) -> TexturedMesh:
    """The mesh decimated to ``max_faces``, unwrapped, and painted; by default with the full mesh's own colours."""
    fewer = decimate(mesh, max_faces=max_faces)
    atlas = unwrapped(fewer, size=size)
    painted = texture_of(atlas, paint or paint_of(mesh), size=size)
    return TexturedMesh(
        vertices=atlas.vertices, faces=atlas.faces, normals=atlas.normals, uvs=atlas.uvs, texture=painted
    )


def unwrapped(mesh: ColouredMesh, *, size: int) -> Atlas:
    """The mesh cut into charts, for a texture of ``size`` pixels per side. Raises UnwrapperMissing."""
    source, faces, uvs = charts(mesh.vertices, mesh.faces, mesh.normals, size=size)
    return Atlas(vertices=mesh.vertices[source], faces=faces, normals=mesh.normals[source], uvs=uvs)


def texture_of(atlas: Atlas, paint: Paint, *, size: int) -> NDArray[np.uint8]:
    """sRGB pixels (S, S, 3): each is painted at the surface point under its centre; the gaps continue the charts."""
    covered, points = _drawn(atlas, atlas.vertices, size)
    normals = _drawn(atlas, atlas.normals, size)[1][covered]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    if not covered.any():
        raise ValueError(f"no chart covers the centre of any of {size} x {size} pixels")
    texture = np.zeros((size, size, 3), dtype=np.uint8)
    texture[covered] = np.rint(np.clip(paint(points[covered], normals), 0, 1) * 255)
    rows, columns = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    filled: NDArray[np.uint8] = texture[rows, columns]
    return filled


def paint_of(mesh: ColouredMesh) -> Paint:
    """Colours of the mesh's nearest vertices, the nearer the more."""
    tree = cKDTree(mesh.vertices)

    def paint(points: Floats, _: Floats) -> Floats:
        distance, index = tree.query(points, k=min(NEIGHBOURS, len(mesh.vertices)))
        share = 1 / np.maximum(distance.reshape(len(points), -1), 1e-6)
        share /= share.sum(axis=1, keepdims=True)
        mixed: Floats = (share[..., None] * mesh.colours[index.reshape(len(points), -1)]).sum(axis=1)
        return mixed

    return paint


def _drawn(atlas: Atlas, values: Floats, size: int) -> tuple[NDArray[np.bool_], Floats]:
    """Which pixels (S, S) a chart covers, and ``values`` (V, 3) interpolated there: the atlas seen by a flat camera."""
    flat = np.concatenate([atlas.uvs * size, np.ones((len(atlas.uvs), 1))], axis=1)
    camera = Intrinsics(fx=1, fy=1, cx=0, cy=0, width=size, height=size)
    drawn = rasterise(flat, atlas.faces, camera, colours=values)
    return drawn.mask, drawn.colour
