"""A mesh library on disk: one file per mesh, one index of embeddings, one manifest that knows every file's sha256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from modelzoo.decoders.mesh import ColouredMesh

FORMAT = "candid8-mesh-library/1"
MANIFEST, INDEX, MESHES = "library.json", "index.safetensors", "meshes"

Floats = NDArray[np.float32]


class LibraryRefused(ValueError):
    """A library that is not what its manifest says, or that does not fit what it is used with."""


class ImageEmbedder(Protocol):
    """Pictures to unit vectors; libraries are bound to ``identity``, which changes with the weights."""

    identity: str
    side: int  # pixels of the square pictures it takes
    width: int  # numbers per vector

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """(N, width) for (N, side, side, 3) sRGB."""
        ...


@dataclass(frozen=True, kw_only=True)
class MeshRecord:
    """One mesh of a library, as its manifest and its own file state it; ``size_m`` is None where no size is known."""

    key: str
    collection: str
    name: str
    origin: str
    licence: str
    creator: str
    size_m: tuple[float, float, float] | None
    num_faces: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A mesh that was not taken, and why."""

    collection: str
    origin: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class MeshFile:
    """The content of one mesh file: the mesh, its record, and the embedding (V, W) of each of its views."""

    record: MeshRecord
    mesh: ColouredMesh
    embeddings: NDArray[np.float16]
    made_with: str  # the embedder's identity and the views


@dataclass(frozen=True, kw_only=True)
class Match:
    """A mesh found for a picture: its place in the library, its best score, and the score of each view (V,)."""

    index: int
    score: float
    view_scores: Floats


class MeshLibrary:
    """A library that is open for searching; meshes are read, and checked, when they are asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        records: tuple[MeshRecord, ...],
        digests: tuple[str, ...],
        refused: tuple[Refusal, ...],
        embedder: str,
        embeddings: Floats,
        rotations: NDArray[np.float64],
    ) -> None:
        assert embeddings.shape[:2] == (len(records), len(rotations)), (embeddings.shape, len(records))
        self.folder, self.records, self.digests, self.refused = folder, records, digests, refused
        self.embedder, self.embeddings, self.rotations = embedder, embeddings, rotations

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def load(cls, folder: Path) -> MeshLibrary:
        """Open a library; its index is checked against the manifest, its meshes are not yet. Raises LibraryRefused."""
        manifest = read_manifest(folder)
        try:
            index = checked_bytes(folder / INDEX, manifest["index_sha256"])
            arrays = load_arrays(index)
            meshes = manifest["meshes"]
            return cls(
                folder,
                records=tuple(record_from_json(entry["record"]) for entry in meshes),
                digests=tuple(str(entry["sha256"]) for entry in meshes),
                refused=tuple(Refusal(**entry) for entry in manifest["refused"]),
                embedder=str(manifest["embedder"]),
                embeddings=arrays["embeddings"].astype(np.float32),
                rotations=arrays["rotations"].astype(np.float64),
            )
        except (KeyError, TypeError, SafetensorError, AssertionError) as error:
            raise LibraryRefused(f"the library in {folder} is damaged: {error}") from error

    def search(self, query: Floats, count: int) -> tuple[Match, ...]:
        """The ``count`` different meshes most like ``query`` (W,), best first; a mesh counts as its best view does.

        Raises ValueError for a query of another width or a count that the library cannot give.
        """
        if query.shape != (self.embeddings.shape[2],):
            raise ValueError(f"the query must be ({self.embeddings.shape[2]},), not {query.shape}")
        if not 0 < count <= len(self):
            raise ValueError(f"{count} different meshes are asked of a library of {len(self)}")
        scores = self.embeddings @ query
        best = scores.max(axis=1)
        order = np.argsort(-best, kind="stable")[:count]
        return tuple(Match(index=int(i), score=float(best[i]), view_scores=scores[i]) for i in order)

    def mesh(self, index: int) -> ColouredMesh:
        """The mesh at ``index``. Raises LibraryRefused when one byte of its file has changed."""
        record = self.records[index]
        path = mesh_path(self.folder, record.key)
        return mesh_file_from_bytes(checked_bytes(path, self.digests[index])).mesh

    def verify(self) -> tuple[str, ...]:
        """Everything that is wrong with the mesh files, in words; empty when each byte is as it was."""
        found = []
        for record, digest in zip(self.records, self.digests, strict=True):
            try:
                checked_bytes(mesh_path(self.folder, record.key), digest)
            except LibraryRefused as error:
                found.append(f"{record.collection}/{record.name}: {error}")
        return tuple(found)


def mesh_path(folder: Path, key: str) -> Path:
    """Where a mesh file lies in its library."""
    return folder / MESHES / f"{key}.safetensors"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as JSON. Raises LibraryRefused."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LibraryRefused(f"there is no mesh library in {folder}") from error
    except (OSError, ValueError) as error:
        raise LibraryRefused(f"the manifest of {folder} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise LibraryRefused(f"the manifest of {folder} is none of {FORMAT}")
    return manifest


def write_library(
    folder: Path,
    keys: Sequence[str],
    *,
    refused: Sequence[Refusal],
    embedder: str,
    rotations: NDArray[np.float64],
) -> None:
    """Write the index and then the manifest over the mesh files of these keys, which must be there."""
    contents = [mesh_path(folder, key).read_bytes() for key in keys]
    files = [mesh_file_from_bytes(content) for content in contents]
    embeddings = [file.embeddings for file in files]
    index = save_arrays(
        {
            "embeddings": np.stack(embeddings)
            if embeddings
            else np.zeros((0, len(rotations), 0), np.float16),
            "rotations": np.ascontiguousarray(rotations, dtype=np.float32),
        }
    )
    manifest = {
        "format": FORMAT,
        "embedder": embedder,
        "index_sha256": hashlib.sha256(index).hexdigest(),
        "meshes": [
            {"record": asdict(file.record), "sha256": hashlib.sha256(content).hexdigest()}
            for file, content in zip(files, contents, strict=True)
        ],
        "refused": [asdict(one) for one in refused],
    }
    write_whole(folder / INDEX, index)
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def mesh_file_to_bytes(file: MeshFile) -> bytes:
    """Safetensors with the record and a sha256 of all of it as metadata: the same bytes for the same content."""
    mesh = file.mesh
    arrays: dict[str, NDArray[Any]] = {
        "vertices": mesh.vertices.astype(np.float32),
        "faces": mesh.faces.astype(np.int32),
        "normals": np.rint(mesh.normals * 127).astype(np.int8),
        "colours": np.rint(np.clip(mesh.colours, 0, 1) * 255).astype(np.uint8),
        "embeddings": file.embeddings,
    }
    record = json.dumps(asdict(file.record), sort_keys=True)
    told = {"record": record, "made_with": file.made_with}
    told["sha256"] = _digest(arrays, record, file.made_with)
    return save_arrays(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={"told": json.dumps(told, sort_keys=True)},
    )


def mesh_file_from_bytes(data: bytes) -> MeshFile:
    """Raises LibraryRefused when ``data`` is no mesh file, or one of which something changed."""
    try:
        size = int.from_bytes(data[:8], "little")
        told = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["told"])
        arrays = load_arrays(data)
        if _digest(arrays, told["record"], told["made_with"]) != told["sha256"]:
            raise LibraryRefused("a mesh file has changed since it was made")
        normals = arrays["normals"].astype(np.float32)
        return MeshFile(
            record=record_from_json(json.loads(told["record"])),
            made_with=str(told["made_with"]),
            mesh=ColouredMesh(
                vertices=arrays["vertices"],
                faces=arrays["faces"],
                normals=normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6),
                colours=(arrays["colours"] / 255).astype(np.float32),
            ),
            embeddings=arrays["embeddings"],
        )
    except LibraryRefused:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise LibraryRefused(f"not a mesh file: {error}") from error


def _digest(arrays: Mapping[str, NDArray[Any]], record: str, made_with: str) -> str:
    found = hashlib.sha256("\0".join((record, made_with)).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def record_from_json(values: dict[str, Any]) -> MeshRecord:
    """Raises TypeError or KeyError when ``values`` are not a record's."""
    size = values["size_m"]
    return MeshRecord(**{**values, "size_m": None if size is None else (size[0], size[1], size[2])})


def checked_bytes(path: Path, sha256: str) -> bytes:
    """The file's bytes. Raises LibraryRefused when they are gone or no longer those of ``sha256``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LibraryRefused(f"{path.name} cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LibraryRefused(f"{path.name} has changed since the library was built")
    return data


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file in one step, so that whoever is stopped leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False, suffix=".part") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
