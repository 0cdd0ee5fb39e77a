"""What every evaluation set is read into: one masked object of one photograph, with whatever is known of its truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, Intrinsics, Pose, Unit
from modelzoo.mesh_surfaces import scene_parts
from training.metrics.sampling import TriangleMesh

MESH_SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
Y_UP_SUFFIXES = (".glb", ".gltf")  # the only ones whose format says which way is up

#: What readers of pictures and meshes are known to raise on files that are not what they claim to be.
READING_ERRORS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, UnicodeError, OverflowError),
    Image.DecompressionBombError,
)


class LayoutRefused(ValueError):
    """A folder that is not laid out as its reader expects. The message says what is missing and what would be right."""


@dataclass(frozen=True, kw_only=True)
class EvaluationCase:
    """One target and its truth.

    ``points`` are in the OpenCV camera frame, NaN where unknown. ``mesh`` is in the object frame (Z-up), in ``unit``,
    not normalised; ``pose`` maps it into the camera frame, so that its scale is 1 where the mesh has its true size.
    ``unit`` ("m", or "pointmap" where sizes are known up to one factor) holds for points, mesh and pose alike.
    """

    name: str
    source: str
    image: NDArray[np.uint8]  # H x W x 3, sRGB
    mask: NDArray[np.bool_]  # H x W
    intrinsics: Intrinsics | None = None
    points: NDArray[np.float32] | None = None  # H x W x 3
    mesh: TriangleMesh | None = None
    pose: Pose | None = None
    unit: Unit = "pointmap"
    note: str = ""  # what a reader of a table should know of this truth

    def request(self, *, seeds: tuple[int, ...]) -> CandidateRequest:
        """What a candidate source is asked. Raises RequestRefused for a target that no model can answer."""
        return CandidateRequest(
            image=self.image, mask=self.mask, seeds=seeds, points=self.points, unit=self.unit
        )


def refuse(root: Path, found: str, *, expected: str) -> LayoutRefused:
    """The error to raise: what was found (or not), and the layout that the reader knows."""
    return LayoutRefused(f"{root}: {found}. Expected:\n{expected}")


def read_image(path: Path) -> NDArray[np.uint8]:
    """H x W x 3 sRGB."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def read_mask(path: Path, *, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """H x W: alpha where the picture has one, otherwise brightness, from half upwards. Raises ValueError."""
    with Image.open(path) as opened:
        channel = opened.getchannel("A") if "A" in opened.getbands() else opened.convert("L")
        mask = np.asarray(channel) >= 128
    if mask.shape != shape[:2]:
        raise ValueError(f"{path.name} is {mask.shape}, the photograph {tuple(shape[:2])}")
    if not mask.any():
        raise ValueError(f"{path.name} marks no pixel")
    return mask


def read_mesh(path: Path) -> TriangleMesh:
    """All triangles of a file as one mesh in the file's unit: GLB and glTF turned to Z-up, others as they lie.

    Raises ValueError when it holds none.
    """
    vertices, faces, offset = [], [], 0
    for part in scene_parts(trimesh.load_scene(path, process=False)):
        turned = np.asarray(part.mesh.vertices, np.float64) @ part.matrix[:3, :3].T
        vertices.append(turned + part.matrix[:3, 3])
        faces.append(np.asarray(part.mesh.faces, np.int64) + offset)
        offset += len(part.mesh.vertices)
    if not faces:
        raise ValueError(f"{path.name} holds no triangles")
    joined = np.concatenate(vertices)
    upright = frames.object_from_glb(joined) if path.suffix.lower() in Y_UP_SUFFIXES else joined
    return TriangleMesh(vertices=np.asarray(upright), faces=np.concatenate(faces))


def one_file(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    """The file of that name with one of these suffixes, in their order; None where there is none."""
    return next((path for s in suffixes if (path := folder / f"{stem}{s}").is_file()), None)
