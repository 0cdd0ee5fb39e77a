"""Objects that can be put into a picture: procedural ones, drawn, and meshes of a folder, in a seeded order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from modelzoo.contracts import Intrinsics
from training.data.mesh_folder import MeshFolder, PreparedMesh
from training.data.objects import ProceduralObject, make_object, object_occupancy
from training.data.primitives import Floats
from training.data.surfaces import Placement, Surface, mesh_surface, solid_surface

MESHES_KEPT = 256  # read ones, per process


class Placeable(Protocol):
    """An object of the canonical cube that can be seen and voxelised."""

    @property
    def family(self) -> str: ...

    def seen(self, at: Placement, camera: Intrinsics) -> Surface: ...

    def extent(self, rotation: Floats) -> tuple[Floats, Floats]:
        """Lower and upper corner of its box after turning it, at scale one."""
        ...

    def occupancy(self, resolution: int) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class PlaceableSolid:
    """A procedural object."""

    item: ProceduralObject

    @property
    def family(self) -> str:
        return self.item.family

    def seen(self, at: Placement, camera: Intrinsics) -> Surface:
        return solid_surface(self.item.solids, at, camera)

    def extent(self, rotation: Floats) -> tuple[Floats, Floats]:
        return self.item.solids.mapped(rotation, np.zeros(3)).bounds()

    def occupancy(self, resolution: int) -> NDArray[np.bool_]:
        return object_occupancy(self.item, resolution=resolution)


@dataclass(frozen=True)
class PlaceableMesh:
    """A prepared mesh."""

    item: PreparedMesh

    @property
    def family(self) -> str:
        return self.item.name

    def seen(self, at: Placement, camera: Intrinsics) -> Surface:
        return mesh_surface(self.item.mesh, at, camera)

    def extent(self, rotation: Floats) -> tuple[Floats, Floats]:
        turned = self.item.mesh.vertices.astype(np.float64) @ rotation.T
        return turned.min(axis=0), turned.max(axis=0)

    def occupancy(self, resolution: int) -> NDArray[np.bool_]:
        """Raises ValueError for a resolution that the prepared one is no multiple of."""
        side = len(self.item.occupancy)
        if side % resolution:
            raise ValueError(f"meshes are prepared at {side}^3, which {resolution} does not divide")
        step = side // resolution
        blocks = self.item.occupancy.reshape(resolution, step, resolution, step, resolution, step)
        return np.asarray(blocks.any(axis=(1, 3, 5)))


class ObjectSource:
    """Draws objects: procedural ones with probability ``procedural``, otherwise meshes of the folder.

    Raises ValueError when meshes are asked for and there is no folder.
    """

    def __init__(self, meshes: MeshFolder | None, *, procedural: float, seed: int) -> None:
        if not 0.0 <= procedural <= 1.0:
            raise ValueError(f"the share of procedural objects lies in [0, 1], not {procedural}")
        if meshes is None and procedural < 1.0:
            raise ValueError("objects other than procedural ones need a folder of meshes")
        self.procedural = procedural
        count = 0 if meshes is None else len(meshes)
        self.order = np.random.default_rng([seed, count]).permutation(count)
        self._read = lru_cache(maxsize=MESHES_KEPT)(self._no_mesh if meshes is None else meshes.mesh)

    def draw(self, rng: Generator) -> Placeable:
        """Any object."""
        return self.numbered(int(rng.integers(0, max(1, len(self.order)))), rng)

    def numbered(self, number: int, rng: Generator) -> Placeable:
        """A procedural object, or the mesh whose turn it is: ``number`` counts through the folder in seeded order."""
        if rng.random() < self.procedural:
            return PlaceableSolid(make_object(rng))
        return PlaceableMesh(self._read(int(self.order[number % len(self.order)])))

    @staticmethod
    def _no_mesh(index: int) -> PreparedMesh:
        raise AssertionError(f"mesh {index} asked of a source that has none")
