"""Judges an artist's GLB: loads it within limits, measures it, and brings it into the canonical cube."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual import ColorVisuals, TextureVisuals

from modelzoo import frames
from modelzoo.decoders.mesh import ColouredMesh
from workers.glb_limits import GlbRefused, measure

MOST_FACES = 1_000_000
FEWEST_FACES = 4
FILL = 0.94  # of the unit cube's side, as the model's own candidates fill it
THINNEST = 1e-3  # extent along the thinnest axis as a share of the longest; less is a sheet, not an object
MOST_DEGENERATE = 0.5  # share of triangles without area
TEXTURE_FACES = 120_000  # a textured mesh is subdivided up to this, so that vertex colours keep the picture
GREY = 0.7

# What trimesh and the readers below it are known to raise on files that are not what they claim to be.
READING_ERRORS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OSError, struct.error),
    *(
        RecursionError,
        MemoryError,
        OverflowError,
        ZeroDivisionError,
        NotImplementedError,
        Image.DecompressionBombError,
    ),
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """``reasons`` say why the mesh goes back; without any, ``mesh`` is ready. ``report`` is JSON for people."""

    reasons: tuple[str, ...]
    report: dict[str, Any]
    mesh: ColouredMesh | None


def inspect(data: bytes) -> Inspection:
    """Reads, measures and normalises the GLB in ``data``; never raises for what a file may hold."""
    try:
        size = measure(data)
        parts = _parts(data)
    except GlbRefused as error:
        return _refused(str(error))
    except READING_ERRORS as error:
        return _refused(
            f"The mesh could not be read ({type(error).__name__}: {error}). Export it again as glTF Binary."
        )
    if not parts:
        return _refused("The GLB holds no triangles.")
    vertices, faces, colours = _joined(parts)
    reasons, report = _measured(vertices, faces)
    report["num_textures"] = size.num_images
    if reasons:
        return Inspection(reasons=reasons, report=_with_verdict(report, reasons), mesh=None)
    report["scale_into_cube"] = FILL / float(np.ptp(vertices, axis=0).max())
    return Inspection(reasons=(), report=_with_verdict(report, ()), mesh=_canonical(vertices, faces, colours))


def _refused(reason: str) -> Inspection:
    return Inspection(reasons=(reason,), report=_with_verdict({}, (reason,)), mesh=None)


def _with_verdict(report: dict[str, Any], reasons: tuple[str, ...]) -> dict[str, Any]:
    return {
        "accepted": not reasons,
        "reasons": list(reasons),
        "warnings": report.pop("warnings", []),
        **report,
    }


def _parts(data: bytes) -> list[trimesh.Trimesh]:
    scene = trimesh.load_scene(BytesIO(data), file_type="glb", process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if any(part.faces.min() < 0 or part.faces.max() >= len(part.vertices) for part in parts):
        raise GlbRefused("Some triangles name vertices that are not there. Export the mesh again.")
    return parts


def _joined(parts: list[trimesh.Trimesh]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Vertices (V, 3) Y-up, faces (F, 3) and sRGB colours (V, 3) in [0, 1] of all parts together."""
    vertices, faces, colours, offset = [], [], [], 0
    for part in parts:
        dense = _subdivided_for_texture(part, budget=TEXTURE_FACES // len(parts))
        vertices.append(np.asarray(dense.vertices, dtype=np.float64))
        faces.append(np.asarray(dense.faces, dtype=np.int64) + offset)
        colours.append(_colours(dense))
        offset += len(dense.vertices)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colours)


def _subdivided_for_texture(part: trimesh.Trimesh, *, budget: int) -> trimesh.Trimesh:
    while _texture(part) is not None and 4 * len(part.faces) <= budget:
        part = part.subdivide()
    return part


def _texture(part: trimesh.Trimesh) -> Image.Image | None:
    visual = part.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None or not np.isfinite(visual.uv).all():
        return None
    picture = getattr(visual.material, "baseColorTexture", None)
    return picture if isinstance(picture, Image.Image) else None


def _colours(part: trimesh.Trimesh) -> Floats:
    picture, visual = _texture(part), part.visual
    if picture is not None and isinstance(visual, TextureVisuals):
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
        height, width = pixels.shape[:2]
        uv = np.asarray(visual.uv, dtype=np.float64)
        # trimesh turns glTF's v around: v = 0 is the picture's last row.
        column = np.floor(uv[:, 0] % 1.0 * width).astype(int).clip(0, width - 1)
        row = np.floor((1.0 - uv[:, 1]) % 1.0 * height).astype(int).clip(0, height - 1)
        return _srgb(_linear(pixels[row, column]) * _base_colour(part))
    if isinstance(visual, ColorVisuals) and visual.kind == "vertex":
        return _srgb(np.asarray(visual.vertex_colors, dtype=np.float64)[:, :3] / 255)
    return np.tile(_srgb(_base_colour(part)), (len(part.vertices), 1))


def _base_colour(part: trimesh.Trimesh) -> Floats:
    """The material's linear colour factor."""
    factor = getattr(getattr(part.visual, "material", None), "baseColorFactor", None)
    if factor is None:
        has_texture = _texture(part) is not None
        return np.ones(3) if has_texture else _linear(np.full(3, GREY))
    values = np.asarray(factor, dtype=np.float64)[:3]
    return values / 255 if np.asarray(factor).dtype == np.uint8 else values


def _linear(colours: Floats) -> Floats:
    c = np.clip(colours, 0.0, 1.0)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _srgb(linear: Floats) -> Floats:
    c = np.clip(linear, 0.0, 1.0)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)


def _measured(vertices: Floats, faces: NDArray[np.int64]) -> tuple[tuple[str, ...], dict[str, Any]]:
    report: dict[str, Any] = {"num_vertices": len(vertices), "num_faces": len(faces), "warnings": []}
    if not np.isfinite(vertices).all():
        return ("Some vertices are not finite numbers. Apply all modifiers and export again.",), report
    reasons = []
    extent = np.ptp(vertices, axis=0)
    report["extent"] = [float(side) for side in extent]
    if len(faces) < FEWEST_FACES:
        reasons.append(f"{len(faces)} triangles cannot enclose an object.")
    if len(faces) > MOST_FACES:
        reasons.append(f"{len(faces):,} triangles are too many; decimate below {MOST_FACES:,}.")
    longest = float(extent.max())
    if not math.isfinite(longest) or longest < 1e-9:
        reasons.append("All vertices lie in one point.")
    elif float(extent.min()) < THINNEST * longest:
        reasons.append("The mesh is a flat sheet: it needs an extent along all three axes.")
    if reasons:
        return tuple(reasons), report
    return _topology(vertices, faces, report)


def _topology(
    vertices: Floats, faces: NDArray[np.int64], report: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    mesh = trimesh.Trimesh(vertices=vertices / np.ptp(vertices, axis=0).max(), faces=faces, process=False)
    degenerate = float((mesh.area_faces < 1e-14).mean())
    mesh.merge_vertices(merge_tex=True, merge_norm=True, digits_vertex=7)
    report.update(
        watertight=bool(mesh.is_watertight),
        winding_consistent=bool(mesh.is_winding_consistent),
        num_components=int(mesh.body_count),
        degenerate_share=degenerate,
    )
    if not report["watertight"]:
        report["warnings"].append("The surface has holes or loose edges, so inside and outside are guessed.")
    if not report["winding_consistent"]:
        report["warnings"].append("Some faces point inwards. Recalculate the normals outside.")
    if report["num_components"] > 50:
        report["warnings"].append(f"The mesh consists of {report['num_components']} loose pieces.")
    if degenerate > MOST_DEGENERATE:
        return (f"{degenerate:.0%} of the triangles have no area. Merge vertices by distance.",), report
    return (), report


def _canonical(vertices: Floats, faces: NDArray[np.int64], colours: Floats) -> ColouredMesh:
    """Centred, its longest side FILL long, Z-up."""
    upright = np.asarray(frames.object_from_glb(vertices))
    low, high = upright.min(axis=0), upright.max(axis=0)
    centred = (upright - (low + high) / 2) * (FILL / float((high - low).max()))
    normals = trimesh.Trimesh(vertices=centred, faces=faces, process=False).vertex_normals
    return ColouredMesh(
        vertices=centred.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=np.asarray(normals, dtype=np.float32),
        colours=colours.astype(np.float32),
    )
