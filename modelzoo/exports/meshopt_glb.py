"""GLB files made smaller with EXT_meshopt_compression: same triangles, same numbers, another order."""

from __future__ import annotations

from typing import Any, Literal

import meshopt
import numpy as np
from numpy.typing import NDArray

from modelzoo.exports.gltf import ARRAY_BUFFER, Document, GlbParts, glb_bytes, glb_parts

EXTENSION = "EXT_meshopt_compression"
INDEX_TYPES: dict[int, type[np.unsignedinteger[Any]]] = {5123: np.uint16, 5125: np.uint32}


def compact_glb(glb: bytes) -> bytes:
    """The GLB with its vertices and triangles compressed, without loss; pictures stay as they are.

    Triangles and vertices are put into the order that compresses best. Raises ValueError when ``glb`` is no GLB of
    ours: every accessor must have a view of its own.
    """
    parts = glb_parts(glb)
    if EXTENSION in parts.document.get("extensionsUsed", []):
        return glb
    sections = _reordered(parts)
    return _packed(parts.document, sections)


def _reordered(parts: GlbParts) -> list[bytes]:
    """Each view's bytes, with triangles and vertices in the best order."""
    document = parts.document
    views, accessors = document["bufferViews"], document["accessors"]
    if len({accessor["bufferView"] for accessor in accessors}) < len(accessors):
        raise ValueError("only GLB files with one view per accessor can be compressed")
    sections = [parts.binary[view["byteOffset"] :][: view["byteLength"]] for view in views]
    for primitive in (one for mesh in document["meshes"] for one in mesh["primitives"]):
        accessor = accessors[primitive["indices"]]
        kind = INDEX_TYPES[accessor["componentType"]]
        given = np.frombuffer(sections[accessor["bufferView"]], kind).astype(np.uint32)
        indices, place, _ = meshopt.reorder_mesh(given, triangles=True, optsize=True)
        sections[accessor["bufferView"]] = indices.astype(kind).tobytes()
        for attribute in primitive["attributes"].values():
            number = accessors[attribute]["bufferView"]
            rows = _rows(sections[number], views[number]["byteStride"])
            # Vertices without a triangle have no new place; they stay behind the others.
            sections[number] = rows[np.argsort(place[: len(rows)], kind="stable")].tobytes()
    return sections


def _packed(document: Document, sections: list[bytes]) -> bytes:
    """Compressed views lie in the file's chunk; the buffer they unpack into is named, but in no file."""
    views, chunks, packed_length, unpacked_length = [], [], 0, 0
    kinds = {one["bufferView"]: one for one in document["accessors"]}
    for number, (view, section) in enumerate(zip(document["bufferViews"], sections, strict=True)):
        place = {"buffer": 0, "byteOffset": packed_length}
        if number in kinds:
            options = _options(view, kinds[number])
            data = _encoded(section, options)
            compressed = {**place, "byteLength": len(data), **options}
            new = {**view, "buffer": 1, "byteOffset": unpacked_length, "extensions": {EXTENSION: compressed}}
            unpacked_length += len(section) + -len(section) % 4
        else:
            data, new = section, {**view, **place}
        views.append(new)
        chunks.append(data + b"\0" * (-len(data) % 4))
        packed_length += len(chunks[-1])
    fallback = {"byteLength": unpacked_length, "extensions": {EXTENSION: {"fallback": True}}}
    compact = {
        **document,
        "bufferViews": views,
        "buffers": [{"byteLength": packed_length}, fallback],
        **{key: [*document.get(key, []), EXTENSION] for key in ("extensionsUsed", "extensionsRequired")},
    }
    return glb_bytes(compact, b"".join(chunks))


def _options(view: Document, accessor: Document) -> Document:
    if view.get("target") == ARRAY_BUFFER:
        return {"byteStride": view["byteStride"], "count": accessor["count"], "mode": "ATTRIBUTES"}
    width = INDEX_TYPES[accessor["componentType"]]().itemsize
    return {"byteStride": width, "count": accessor["count"], "mode": "TRIANGLES"}


def _encoded(section: bytes, options: Document) -> bytes:
    mode: Literal["ATTRIBUTES", "TRIANGLES"] = options["mode"]
    rows = _rows(section, options["byteStride"])[: options["count"]]
    values = rows if mode == "ATTRIBUTES" else rows.view(f"<u{options['byteStride']}").reshape(-1)
    return bytes(meshopt.encode_gltf_buffer(values, mode))


def _rows(section: bytes, stride: int) -> NDArray[np.uint8]:
    return np.frombuffer(section, np.uint8)[: len(section) // stride * stride].reshape(-1, stride)
