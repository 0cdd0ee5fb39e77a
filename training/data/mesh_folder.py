"""Any folder of meshes as objects to synthesise with: judged as the paper does, made canonical, voxelised, kept."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.retrieval.entries import MeshEntry, NoMeshes, folder_entries
from modelzoo.retrieval.library import write_whole
from modelzoo.retrieval.meshes import MeshRefused, read_mesh
from training.data.solids import solid_from_mesh

RESOLUTION = 64
HEADER = "mesh"
MIN_SOLID_SHARE = 2e-3  # of the voxels of the cube: what is thinner leaves nothing to learn
FORMAT = "2"  # of a prepared mesh; part of its key, so that an older one is made again


@dataclass(frozen=True, kw_only=True)
class PreparedMesh:
    """A mesh in the canonical cube and its solid occupancy (R x R x R), indexed [x, y, z]."""

    name: str
    mesh: ColouredMesh
    occupancy: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MeshFolder:
    """The meshes that were accepted, by key (of their content, in order), and how many were refused for what reason."""

    prepared: Path
    keys: tuple[str, ...]
    refused: dict[str, int]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sha256(self) -> str:
        """Of what the accepted meshes are made from."""
        return hashlib.sha256("\n".join(self.keys).encode()).hexdigest()

    def mesh(self, index: int) -> PreparedMesh:
        """The accepted mesh of that number. Raises MeshRefused when its prepared file is gone or damaged."""
        key = self.keys[index]
        try:
            return prepared_from_bytes((self.prepared / f"{key}.safetensors").read_bytes())
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise MeshRefused(f"prepared mesh {key} cannot be read: {error}", reason="unreadable") from error


def prepare_folder(
    folder: Path, prepared: Path, *, up: str = "y", pool: Executor | None = None
) -> MeshFolder:
    """Judge and prepare every mesh of ``folder`` into ``prepared``; what is there already is not made again.

    Raises NoMeshes when the folder holds no mesh, or none that is fit (the message counts the reasons).
    """
    entries = folder_entries(folder, up=up)
    verdicts = (
        [prepare_entry(entry, prepared) for entry in entries]
        if pool is None
        else list(pool.map(prepare_entry, entries, [prepared] * len(entries), chunksize=4))
    )
    return _collected(prepared, verdicts, folder=folder)


def prepare_entry(entry: MeshEntry, prepared: Path) -> tuple[str, str]:
    """Key of the prepared mesh and why it was refused ("" when it was not); the verdict is kept beside it."""
    key = hashlib.sha256(f"{FORMAT} {RESOLUTION} {entry.content()}".encode()).hexdigest()[:32]
    verdict = prepared / f"{key}.json"
    if verdict.exists():
        return key, str(json.loads(verdict.read_text())["refused"])
    reason, told = "", ""
    try:
        write_whole(prepared / f"{key}.safetensors", prepared_to_bytes(_prepared(entry)))
    except MeshRefused as error:
        reason, told = error.reason, str(error)
    record = {"origin": entry.origin, "refused": reason, "message": told}
    write_whole(verdict, (json.dumps(record, sort_keys=True) + "\n").encode())
    return key, reason


def refuse_thin(occupancy: NDArray[np.bool_]) -> None:
    """Raises MeshRefused for a solid that fills hardly any of its cube."""
    share = float(occupancy.mean())
    if share < MIN_SOLID_SHARE:
        raise MeshRefused(f"its solid fills only {share:.2%} of its cube", reason="tiny_volume")


def prepared_to_bytes(item: PreparedMesh) -> bytes:
    """Safetensors: the mesh, its colours in 8 bits, its occupancy in single bits."""
    arrays: dict[str, NDArray[Any]] = {
        "vertices": item.mesh.vertices,
        "faces": item.mesh.faces,
        "normals": item.mesh.normals,
        "colours": np.round(item.mesh.colours * 255).astype(np.uint8),
        "occupancy": np.packbits(item.occupancy),
    }
    header = {"name": item.name, "resolution": len(item.occupancy)}
    return bytes(save(arrays, metadata={HEADER: json.dumps(header)}))


def prepared_from_bytes(data: bytes) -> PreparedMesh:
    """The inverse of ``prepared_to_bytes``. Raises SafetensorError, KeyError or ValueError for other bytes."""
    arrays = load(data)
    stored = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    header = json.loads(stored[HEADER])
    side = int(header["resolution"])
    bits = np.unpackbits(arrays["occupancy"], count=side**3).astype(np.bool_)
    mesh = ColouredMesh(
        vertices=arrays["vertices"],
        faces=arrays["faces"],
        normals=arrays["normals"],
        colours=(arrays["colours"] / 255).astype(np.float32),
    )
    return PreparedMesh(name=header["name"], mesh=mesh, occupancy=bits.reshape(side, side, side))


def _prepared(entry: MeshEntry) -> PreparedMesh:
    mesh = read_mesh(entry.path, up=entry.up).mesh
    occupancy = solid_from_mesh(
        mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), resolution=RESOLUTION
    )
    refuse_thin(occupancy)
    return PreparedMesh(name=entry.name, mesh=mesh, occupancy=occupancy)


def _collected(prepared: Path, verdicts: Sequence[tuple[str, str]], *, folder: Path) -> MeshFolder:
    refused: Counter[str] = Counter()
    keys: list[str] = []
    for key, reason in verdicts:
        if reason or key in keys:
            refused[reason or "duplicate"] += 1
        else:
            keys.append(key)
    counts = dict(sorted(refused.items()))
    if not keys:
        raise NoMeshes(f"no mesh of {folder} is fit: {counts}")
    return MeshFolder(prepared=prepared, keys=tuple(sorted(keys)), refused=counts)
