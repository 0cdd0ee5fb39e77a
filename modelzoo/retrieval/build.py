"""Takes mesh files into a library: read, judged, rendered, embedded, one at a time, so that a stop loses one mesh."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelzoo.retrieval.entries import MeshEntry
from modelzoo.retrieval.library import (
    MANIFEST,
    MESHES,
    ImageEmbedder,
    LibraryRefused,
    MeshFile,
    MeshRecord,
    Refusal,
    mesh_file_from_bytes,
    mesh_file_to_bytes,
    mesh_path,
    read_manifest,
    write_library,
    write_whole,
)
from modelzoo.retrieval.meshes import MeshRefused, read_mesh
from modelzoo.retrieval.views import ViewRings, rendered_views

KEY_DIGITS = 32

#: Hears how many entries of how many are done, and the name of the one just done.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What became of a collection's entries: taken, there already, refused; and how many old ones were dropped."""

    added: int
    kept: int
    dropped: int
    refused: tuple[Refusal, ...]


def add_collection(
    folder: Path,
    entries: Sequence[MeshEntry],
    *,
    collection: str,
    embedder: ImageEmbedder,
    views: ViewRings | None = None,
    on_progress: Progress | None = None,
) -> BuildReport:
    """Make ``collection`` of the library in ``folder`` hold exactly these entries; its other collections stay.

    A mesh that is there already is not made again: a build that was stopped goes on where it stood. A mesh file that
    cannot be read or is unfit is reported, not fatal. Raises LibraryRefused for a library of another embedder or
    other views.
    """
    rings = views or ViewRings()
    rotations = rings.rotations()
    made_with = f"{embedder.identity} {rings}"
    others, refused_before = _others(folder, collection, embedder=embedder.identity, made_with=made_with)
    report, refused, kept, added = on_progress or _ignore, [], 0, 0
    keys: list[str] = []
    seen: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            content = _content(entry)
            if content in seen:
                raise MeshRefused(f"it is the same as {seen[content]}")
            key = _key(entry, content, collection)
            if _stored(folder, key, made_with) is None:
                _make(
                    folder,
                    entry,
                    key,
                    collection,
                    embedder=embedder,
                    rotations=rotations,
                    made_with=made_with,
                )
                added += 1
            else:
                kept += 1
            keys.append(key)
            seen[content] = entry.origin
        except (MeshRefused, OSError) as error:
            refused.append(Refusal(collection=collection, origin=entry.origin, reason=str(error)))
        report(number, len(entries), entry.name)
    write_library(
        folder,
        [*others, *keys],
        refused=[*refused_before, *refused],
        embedder=embedder.identity,
        rotations=rotations,
    )
    dropped = _drop_all_but(folder, {*others, *keys})
    return BuildReport(added=added, kept=kept, dropped=dropped, refused=tuple(refused))


def _others(
    folder: Path, collection: str, *, embedder: str, made_with: str
) -> tuple[list[str], list[Refusal]]:
    """Keys and refusals of the library's other collections."""
    if not (folder / MANIFEST).exists():
        return [], []
    manifest = read_manifest(folder)
    if manifest["embedder"] != embedder:
        raise LibraryRefused(f"the library was made with {manifest['embedder']}, not with {embedder}")
    keys = []
    for entry in manifest["meshes"]:
        record = entry["record"]
        if record["collection"] == collection:
            continue
        if _stored(folder, record["key"], made_with) is None:
            raise LibraryRefused(
                f"{record['collection']}/{record['name']} is missing or was made with other views; "
                "build that collection again in a new folder"
            )
        keys.append(record["key"])
    return keys, [Refusal(**one) for one in manifest["refused"] if one["collection"] != collection]


def _content(entry: MeshEntry) -> str:
    if not entry.path.is_file():
        raise MeshRefused("the file is not there")
    return entry.content()


def _key(entry: MeshEntry, content: str, collection: str) -> str:
    """The same for the same content, record and collection: what is there under it need not be made again."""
    return hashlib.sha256("\0".join((collection, content, entry.told())).encode()).hexdigest()[:KEY_DIGITS]


def _stored(folder: Path, key: str, made_with: str) -> MeshFile | None:
    """The mesh file of this key, unless it is missing, damaged or was made otherwise."""
    try:
        found = mesh_file_from_bytes(mesh_path(folder, key).read_bytes())
    except (OSError, LibraryRefused):
        return None
    return found if found.made_with == made_with else None


def _make(
    folder: Path,
    entry: MeshEntry,
    key: str,
    collection: str,
    *,
    embedder: ImageEmbedder,
    rotations: NDArray[np.float64],
    made_with: str,
) -> None:
    read = read_mesh(entry.path, up=entry.up, turn=entry.turn, extents=entry.size_m)
    record = MeshRecord(
        key=key,
        collection=collection,
        name=entry.name,
        origin=entry.origin,
        licence=entry.licence,
        creator=entry.creator,
        size_m=read.extents if entry.metric else None,
        num_faces=len(read.mesh.faces),
    )
    embeddings = embedder.embed(rendered_views(read.mesh, rotations, side=embedder.side))
    made = MeshFile(
        record=record, mesh=read.mesh, embeddings=embeddings.astype(np.float16), made_with=made_with
    )
    write_whole(mesh_path(folder, key), mesh_file_to_bytes(made))


def _drop_all_but(folder: Path, keys: set[str]) -> int:
    """Delete mesh files that the manifest no longer names, and what a stopped build left half written."""
    stale = [file for file in (folder / MESHES).glob("*") if file.stem not in keys or file.suffix == ".part"]
    for file in stale:
        file.unlink()
    return len(stale)


def _ignore(done: int, total: int, name: str) -> None:
    """No one listens."""
