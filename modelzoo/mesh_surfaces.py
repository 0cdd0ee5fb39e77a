"""The surface of a scene that trimesh has read: triangles of all its parts with one colour per vertex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from modelzoo.exports.colour_space import linear_from_srgb, srgb_from_linear

GREY = 0.7  # sRGB, of what was never coloured

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScenePart:
    """One mesh of a scene and T_scene_mesh (4, 4)."""

    mesh: trimesh.Trimesh
    matrix: Floats


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Vertices (V, 3) in the scene's axes and unit, faces (F, 3), sRGB colours (V, 3) in [0, 1]."""

    vertices: Floats
    faces: NDArray[np.int64]
    colours: Floats


def scene_parts(scene: trimesh.Scene) -> list[ScenePart]:
    """Every mesh with triangles, once for each place where it stands.

    Raises ValueError for triangles of vertices that are not there.
    """
    # Not scene.dump(): that loses vertex colours of meshes that have a material, too.
    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    found = [(scene.geometry[name], np.asarray(matrix, dtype=np.float64)) for matrix, name in placed]
    parts = [
        ScenePart(mesh=mesh, matrix=matrix)
        for mesh, matrix in found
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)
    ]
    if any(part.mesh.faces.min() < 0 or part.mesh.faces.max() >= len(part.mesh.vertices) for part in parts):
        raise ValueError("some triangles name vertices that are not there")
    return parts


def joined_surface(parts: list[ScenePart], *, linear: bool, most_textured_faces: int) -> Surface:
    """All parts together, those with a picture subdivided as far as ``most_textured_faces`` of all allow.

    ``linear`` says whether the file's vertex colours are; pictures never are.
    """
    vertices, faces, colours, offset = [], [], [], 0
    for part in parts:
        dense, matrix = part.mesh, part.matrix
        while _picture(dense) is not None and 4 * len(dense.faces) <= most_textured_faces // len(parts):
            dense = dense.subdivide()
        vertices.append(np.asarray(dense.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])
        own = np.asarray(dense.faces, dtype=np.int64) + offset
        faces.append(own[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else own)
        colours.append(_colours(dense, linear=linear))
        offset += len(dense.vertices)
    return Surface(
        vertices=np.concatenate(vertices), faces=np.concatenate(faces), colours=np.concatenate(colours)
    )


def _picture(part: trimesh.Trimesh) -> Image.Image | None:
    visual = part.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None or len(visual.uv) != len(part.vertices):
        return None
    if not np.isfinite(visual.uv).all():
        return None
    match visual.material:
        case PBRMaterial(baseColorTexture=Image.Image() as picture):
            return picture
        case SimpleMaterial(image=Image.Image() as picture):
            return picture
    return None


def _colours(part: trimesh.Trimesh, *, linear: bool) -> Floats:
    picture = _picture(part)
    visual: Any = part.visual  # which kind it is, is asked where it matters
    if picture is not None:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
        height, width = pixels.shape[:2]
        uv = np.asarray(visual.uv, dtype=np.float64)
        # trimesh measures v upwards from the picture's last row, whatever the file does.
        column = np.floor(uv[:, 0] % 1.0 * width).astype(int).clip(0, width - 1)
        row = np.floor((1.0 - uv[:, 1]) % 1.0 * height).astype(int).clip(0, height - 1)
        sampled = pixels[row, column]
        return (
            srgb_from_linear(linear_from_srgb(sampled) * _factor(part))
            if isinstance(visual.material, PBRMaterial)
            else sampled
        )
    painted = _painted(part)
    if painted is None:
        return np.tile(_plain(part), (len(part.vertices), 1))
    if isinstance(visual, TextureVisuals) and isinstance(visual.material, PBRMaterial):
        painted = painted * _factor(part)
    return srgb_from_linear(painted) if linear else painted


def _painted(part: trimesh.Trimesh) -> Floats | None:
    """The file's own vertex colours, scaled to [0, 1]."""
    visual: Any = part.visual
    if isinstance(visual, ColorVisuals):
        given: Any = visual.vertex_colors if visual.kind in {"vertex", "face"} else None
    else:
        given = visual.vertex_attributes.data.get("color")
    if given is None or len(given) != len(part.vertices):
        return None
    values = np.asarray(given)
    most = float(np.iinfo(values.dtype).max) if np.issubdtype(values.dtype, np.integer) else 1.0
    return values[:, :3].astype(np.float64) / most


def _plain(part: trimesh.Trimesh) -> Floats:
    """The sRGB colour of a part without a picture."""
    visual: Any = part.visual
    material: Any = visual.material if isinstance(visual, TextureVisuals) else None
    if isinstance(material, SimpleMaterial):
        return np.asarray(material.diffuse, dtype=np.float64)[:3] / 255
    if isinstance(material, PBRMaterial) and material.baseColorFactor is not None:
        return srgb_from_linear(_factor(part))
    return np.full(3, GREY)


def _factor(part: trimesh.Trimesh) -> Floats:
    """The linear base colour factor of a part with a PBR material."""
    visual: Any = part.visual
    factor = visual.material.baseColorFactor
    if factor is None:
        return np.ones(3)
    values = np.asarray(factor)
    return values[:3].astype(np.float64) / (255 if values.dtype == np.uint8 else 1)
