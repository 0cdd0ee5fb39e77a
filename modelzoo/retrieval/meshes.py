"""Mesh files of any maker as coloured meshes in the canonical cube; what is not fit to be a candidate is refused."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from modelzoo import frames
from modelzoo.decoders.mesh import ColouredMesh, decimate
from modelzoo.exports.plain_floats import with_plain_floats
from modelzoo.mesh_surfaces import Surface, joined_surface, scene_parts

SUFFIXES = frozenset({".glb", ".gltf", ".obj", ".ply", ".stl", ".off"})
FILL = 0.94  # of the unit cube's side, as the model's own candidates fill it
MAX_FACES = 40_000
MAX_FACES_READ = 2_000_000
MAX_FILE_BYTES = 512 * 1024 * 1024
TEXTURE_FACES = 40_000  # a textured mesh is subdivided up to this, so that vertex colours keep the picture
FLATTEST = 0.97  # share of the surface's squared normals along one axis; a closed cube has a third
THINNEST = 2e-3  # extent along the thinnest axis over the longest
MIN_SOLID = 1.5e-3  # of the canonical cube
SOLID_GRID = 32
OUTLIER_AREA, MAX_STRETCH = (
    0.01,
    1.8,
)  # the box may be this much longer than that of all but this share of the area

#: What trimesh and the readers below it are known to raise on files that are not what they claim to be.
READING_ERRORS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OSError, struct.error),
    *(RecursionError, MemoryError, OverflowError, ZeroDivisionError, NotImplementedError, UnicodeError),
    Image.DecompressionBombError,
)

Floats = NDArray[np.float64]

_READER = threading.Lock()


class MeshRefused(ValueError):
    """Why a mesh file is not taken into a library, in words for its owner; ``reason`` is one stable word, to count."""

    def __init__(self, message: str, *, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ReadMesh:
    """A mesh in the canonical cube (Z-up, longest side FILL) and its extents before that, in the file's unit."""

    mesh: ColouredMesh
    extents: tuple[float, float, float]  # along the object's x, y, z


def read_mesh(
    path: Path,
    *,
    up: str = "y",
    turn: Floats | None = None,
    extents: tuple[float, float, float] | None = None,
) -> ReadMesh:
    """The mesh of a file, judged and made canonical.

    ``up`` is the file's upward axis, "y" or "z"; ``turn`` (3 x 3) is applied in the file's axes; ``extents`` along the
    object's x, y and z, where given, are what the mesh is stretched to. Raises MeshRefused.
    """
    if up not in {"y", "z"}:
        raise ValueError(f'up must be "y" or "z", not {up!r}')
    if path.stat().st_size > MAX_FILE_BYTES:
        raise MeshRefused(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB", reason="too_large")
    try:
        surface = _read(path)
    except MeshRefused:
        raise
    except READING_ERRORS as error:
        raise MeshRefused(f"it could not be read ({type(error).__name__}: {error})") from error
    faces = surface.faces
    vertices = surface.vertices if turn is None else surface.vertices @ turn.T
    vertices = np.asarray(frames.object_from_glb(vertices)) if up == "y" else vertices
    vertices = _stretched(vertices, extents)
    refuse_unfit(vertices, faces)
    found = np.ptp(vertices, axis=0)
    return ReadMesh(
        mesh=_canonical(vertices, faces, surface.colours),
        extents=(float(found[0]), float(found[1]), float(found[2])),
    )


def refuse_unfit(vertices: Floats, faces: NDArray[np.int64]) -> None:
    """Raises MeshRefused for what the paper's data filters drop: hardly any volume, flat sheets, far fragments."""
    if len(faces) < 4:
        raise MeshRefused(f"{len(faces)} triangles cannot enclose an object", reason="empty")
    if not np.isfinite(vertices).all():
        raise MeshRefused("some vertices are not finite numbers", reason="not_finite")
    corners = vertices[faces]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(crossed, axis=1) / 2
    extent = np.ptp(vertices[np.unique(faces)], axis=0)
    longest = float(extent.max())
    if longest < 1e-9 or area.sum() <= 0:
        raise MeshRefused("its triangles have no area", reason="empty")
    if float(extent.min()) < THINNEST * longest or _flatness(crossed, area) > FLATTEST:
        raise MeshRefused("it is flat: nearly all of its surface faces one way", reason="flat")
    if _stretch(corners.mean(axis=1), area, longest) > MAX_STRETCH:
        raise MeshRefused("fragments lie far from the rest of it", reason="fragments")
    fitted = (vertices - vertices.min(axis=0)) / longest
    share = _touched_share(fitted, faces)
    if share < MIN_SOLID:
        raise MeshRefused(f"it fills only {share:.2%} of its cube: too thin to be seen", reason="tiny_volume")


def _read(path: Path) -> Surface:
    with _READER:  # trimesh's readers of OBJ materials keep state
        if path.suffix.lower() == ".glb":
            scene = trimesh.load_scene(
                BytesIO(with_plain_floats(path.read_bytes())), file_type="glb", process=False
            )
        else:
            scene = trimesh.load_scene(path, process=False)
    parts = scene_parts(scene)
    if not parts:
        raise MeshRefused("it holds no triangles", reason="empty")
    if sum(len(part.mesh.faces) for part in parts) > MAX_FACES_READ:
        raise MeshRefused(f"it has more than {MAX_FACES_READ:,} triangles", reason="too_large")
    linear = path.suffix.lower() in {".glb", ".gltf"}
    return joined_surface(parts, linear=linear, most_textured_faces=TEXTURE_FACES)


def _stretched(vertices: Floats, extents: tuple[float, float, float] | None) -> Floats:
    if extents is None:
        return vertices
    measured = np.ptp(vertices, axis=0)
    return vertices * np.where(measured > 1e-9, np.asarray(extents) / np.maximum(measured, 1e-9), 1.0)


def _flatness(crossed: Floats, area: Floats) -> float:
    """The largest share of the squared normals, weighted by area, along any one axis."""
    normals = crossed / np.maximum(2 * area, 1e-300)[:, None]
    spread = (normals * area[:, None]).T @ normals / area.sum()
    return float(np.linalg.eigvalsh(spread)[-1])


def _stretch(centres: Floats, area: Floats, longest: float) -> float:
    """The longest side over that of the box of all but the outermost share of the area on each axis."""
    inner = 0.0
    for axis in range(3):
        order = np.argsort(centres[:, axis])
        reached = np.cumsum(area[order]) / area.sum()
        first, last = np.searchsorted(reached, (OUTLIER_AREA / 2, 1 - OUTLIER_AREA / 2))
        places = centres[order, axis]
        inner = max(inner, float(places[min(last, len(places) - 1)] - places[first]))
    # Few large triangles have their centres well inside the box: only a fine surface says where it ends.
    return longest / max(inner, 1e-9) if len(area) >= 200 else 1.0


def _touched_share(vertices: Floats, faces: NDArray[np.int64]) -> float:
    """Share of a grid's cells that surface points (vertices in the unit cube, and points inside triangles) lie in."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    steps = (
        [(i / 6, j / 6) for i in range(7) for j in range(7 - i)] if len(faces) < 20_000 else [(1 / 3, 1 / 3)]
    )
    points = np.concatenate([a + u * (b - a) + v * (c - a) for u, v in steps])
    cells = np.clip((points * SOLID_GRID).astype(int), 0, SOLID_GRID - 1)
    flat = (cells[:, 0] * SOLID_GRID + cells[:, 1]) * SOLID_GRID + cells[:, 2]
    return len(np.unique(flat)) / SOLID_GRID**3


def _canonical(vertices: Floats, faces: NDArray[np.int64], colours: Floats) -> ColouredMesh:
    used, renamed = np.unique(faces, return_inverse=True)
    vertices, faces, colours = vertices[used], renamed.reshape(-1, 3), colours[used]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centred = (vertices - (low + high) / 2) * (FILL / float((high - low).max()))
    normals = trimesh.Trimesh(vertices=centred, faces=faces, process=False).vertex_normals
    mesh = ColouredMesh(
        vertices=centred.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=np.asarray(normals, dtype=np.float32),
        colours=np.clip(colours, 0, 1).astype(np.float32),
    )
    return decimate(mesh, max_faces=MAX_FACES)
