"""Annotated targets of a frozen dataset version: photograph, accepted mesh and the pose that a person gave it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzoo.camera import intrinsics_from_points
from modelzoo.frames import rotation_from_wxyz
from modelzoo.retrieval.meshes import FILL, read_mesh
from training.data.manifests import Dataset, Demonstration, ManifestRefused, read_dataset, resized_points
from training.data.mesh_folder import RESOLUTION, PreparedMesh
from training.data.photographs import MOST_PIXELS, Photograph, framed, shrunk
from training.data.placeable import PlaceableMesh
from training.data.solids import mesh_of_glb, solid_from_mesh
from training.data.surfaces import Placement
from training.data.vacated import Vacated, emptied

KEPT = 256  # read targets, per process


@dataclass(frozen=True, kw_only=True)
class AnnotatedTarget:
    """A posed mesh in its photograph; ``place`` is the photograph without it, or why that cannot be made."""

    photograph: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    item: PlaceableMesh
    at: Placement
    place: Vacated | str


class AnnotatedTargets:
    """The demonstrations of a dataset version that have a mesh, a pose and a measured point map.

    Raises ManifestRefused for a dataset that cannot be read or has none of them.
    """

    def __init__(self, folder: Path, *, side: int) -> None:
        self.dataset: Dataset = read_dataset(folder)
        self.side = side
        self.usable = tuple(
            item
            for item in self.dataset.demonstrations
            if item.mesh is not None
            and item.pose is not None
            and item.pointmap
            and not item.pointmap_approximate
        )
        if not self.usable:
            raise ManifestRefused("no demonstration has a mesh, a pose and a measured point map")
        self._read = lru_cache(maxsize=KEPT)(self._target)

    def __len__(self) -> int:
        return len(self.usable)

    @property
    def sha256(self) -> str:
        return self.dataset.sha256

    def target(self, number: int, *, zoom: float) -> AnnotatedTarget:
        """Annotated target ``number`` from so near. Raises ManifestRefused when its blobs are missing or wrong."""
        return self._read(number, zoom)

    def _target(self, number: int, zoom: float) -> AnnotatedTarget:
        item = self.usable[number]
        try:
            whole = shrunk(self._photograph(item), side=MOST_PIXELS)
            seen = framed(whole, whole.masks[0], zoom=zoom, side=self.side)
            mesh, at = posed_mesh(self.dataset.blob(str(item.mesh)), item)
        except ValueError as error:
            raise ManifestRefused(f"demonstration {item.id}: {error}") from error
        return AnnotatedTarget(
            photograph=seen.image, mask=seen.masks[0], item=mesh, at=at, place=emptied(seen, seen.masks[0])
        )

    def _photograph(self, item: Demonstration) -> Photograph:
        image = np.asarray(Image.open(io.BytesIO(self.dataset.blob(item.image))).convert("RGB"))
        mask = np.asarray(Image.open(io.BytesIO(self.dataset.blob(item.mask))).convert("L")) > 127
        with np.load(io.BytesIO(self.dataset.blob(str(item.pointmap))), allow_pickle=False) as stored:
            points = np.asarray(stored["points"], dtype=np.float32)
        points = resized_points(points, height=image.shape[0], width=image.shape[1])
        camera = intrinsics_from_points(points)
        if mask.shape != image.shape[:2] or camera is None:
            raise ManifestRefused("its mask has another size, or its points are not a pinhole camera's")
        return Photograph(name=item.id, image=image, points=points, camera=camera, masks=(mask,))


def posed_mesh(glb: bytes, item: Demonstration) -> tuple[PlaceableMesh, Placement]:
    """The mesh in the canonical cube, and the annotated pose for it there. Raises ValueError for an unfit mesh."""
    assert item.pose is not None
    vertices, faces = mesh_of_glb(glb)
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    with NamedTemporaryFile(suffix=".glb") as file:
        file.write(glb)
        file.flush()
        mesh = read_mesh(Path(file.name)).mesh
    occupancy = solid_from_mesh(
        mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), resolution=RESOLUTION
    )
    rotation = rotation_from_wxyz(item.pose.rotation_wxyz)
    at = Placement(
        rotation=rotation,
        translation=np.array(item.pose.translation) + rotation @ (item.pose.scale * (low + high) / 2),
        scale=item.pose.scale * float((high - low).max()) / FILL,
    )
    name = hashlib.sha256(glb).hexdigest()[:12]
    return PlaceableMesh(PreparedMesh(name=name, mesh=mesh, occupancy=occupancy)), at
