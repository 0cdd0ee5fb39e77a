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

from modelzoo import frames
from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.exports.plain_floats import with_plain_floats
from modelzoo.mesh_surfaces import Surface, joined_surface, scene_parts
from workers.glb_limits import GlbRefused, measure

MOST_FACES = 1_000_000
FEWEST_FACES = 4
FILL = 0.94  # of the unit cube's side, as the model's own candidates fill it
THINNEST = 1e-3  # extent along the thinnest axis as a share of the longest; less is a sheet, not an object
MOST_DEGENERATE = 0.5  # share of triangles without area
TEXTURE_FACES = 120_000  # a textured mesh is subdivided up to this, so that vertex colours keep the picture

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
        scene = trimesh.load_scene(BytesIO(with_plain_floats(data)), file_type="glb", process=False)
        parts = scene_parts(scene)
    except GlbRefused as error:
        return _refused(str(error))
    except READING_ERRORS as error:
        return _refused(
            f"The mesh could not be read ({type(error).__name__}: {error}). Export it again as glTF Binary."
        )
    if not parts:
        return _refused("The GLB holds no triangles.")
    surface = joined_surface(parts, linear=True, most_textured_faces=TEXTURE_FACES)
    vertices, faces = surface.vertices, surface.faces
    reasons, report = _measured(vertices, faces)
    report["num_textures"] = size.num_images
    if reasons:
        return Inspection(reasons=reasons, report=_with_verdict(report, reasons), mesh=None)
    report["scale_into_cube"] = FILL / float(np.ptp(vertices, axis=0).max())
    return Inspection(reasons=(), report=_with_verdict(report, ()), mesh=_canonical(surface))


def _refused(reason: str) -> Inspection:
    return Inspection(reasons=(reason,), report=_with_verdict({}, (reason,)), mesh=None)


def _with_verdict(report: dict[str, Any], reasons: tuple[str, ...]) -> dict[str, Any]:
    return {
        "accepted": not reasons,
        "reasons": list(reasons),
        "warnings": report.pop("warnings", []),
        **report,
    }


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


def _canonical(surface: Surface) -> ColouredMesh:
    """Centred, its longest side FILL long, Z-up."""
    upright, faces = np.asarray(frames.object_from_glb(surface.vertices)), surface.faces
    low, high = upright.min(axis=0), upright.max(axis=0)
    centred = (upright - (low + high) / 2) * (FILL / float((high - low).max()))
    normals = trimesh.Trimesh(vertices=centred, faces=faces, process=False).vertex_normals
    return ColouredMesh(
        vertices=centred.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=np.asarray(normals, dtype=np.float32),
        colours=surface.colours.astype(np.float32),
    )
