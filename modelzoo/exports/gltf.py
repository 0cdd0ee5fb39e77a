"""Assembles one GLB container: rows of numbers and pictures in, accessors and bytes out; and takes one apart again."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GENERATOR = "candid8"
MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
COMPONENT_TYPES = {"int8": 5120, "uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
MOST_SHORT_INDICES = 65535  # the largest index is reserved

Document = dict[str, Any]


class GlbBuilder:
    """Collects the parts of a GLB; each ``add_`` gives the index that other parts name it by."""

    def __init__(self, *, extras: Mapping[str, Any], copyright: str = "") -> None:
        """``extras`` say the file's frame and unit; ``copyright`` is the attribution that must stay with it."""
        asset: Document = {"version": "2.0", "generator": GENERATOR, "extras": dict(extras)}
        if copyright:
            asset["copyright"] = copyright
        self.document: Document = {"asset": asset, "scene": 0}
        self._sections: list[bytes] = []
        self._length = 0

    def add(self, kind: str, part: Mapping[str, Any]) -> int:
        """Appends to one of the document's lists, such as ``nodes``."""
        parts = self.document.setdefault(kind, [])
        parts.append(dict(part))
        return len(parts) - 1

    def require(self, extension: str) -> None:
        for kind in ("extensionsUsed", "extensionsRequired"):
            names = self.document.setdefault(kind, [])
            if extension not in names:
                names.append(extension)

    def add_rows(self, rows: NDArray[Any], *, normalized: bool = False, with_limits: bool = False) -> int:
        """An accessor of one row (V, 2 to 4) per vertex, each padded to a multiple of four bytes as glTF asks."""
        assert rows.ndim == 2 and rows.shape[1] in (2, 3, 4), rows.shape
        padded_width = -(-rows.shape[1] * rows.itemsize // 4) * 4 // rows.itemsize
        table = np.zeros((len(rows), padded_width), dtype=rows.dtype.newbyteorder("<"))
        table[:, : rows.shape[1]] = rows
        view = self._view(table.tobytes(), byteStride=table.strides[0], target=ARRAY_BUFFER)
        accessor: Document = {
            "bufferView": view,
            "componentType": COMPONENT_TYPES[rows.dtype.name],
            "count": len(rows),
            "type": f"VEC{rows.shape[1]}",
        }
        if normalized:
            accessor["normalized"] = True
        if with_limits:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self.add("accessors", accessor)

    def add_indices(self, faces: NDArray[np.integer], *, num_vertices: int) -> int:
        """An accessor of triangles (F, 3), in two bytes each where that suffices."""
        kind = np.uint16 if num_vertices <= MOST_SHORT_INDICES else np.uint32
        values = np.ascontiguousarray(faces, dtype=kind).reshape(-1)
        view = self._view(values.tobytes(), target=ELEMENT_ARRAY_BUFFER)
        accessor = {"bufferView": view, "componentType": COMPONENT_TYPES[values.dtype.name]}
        return self.add("accessors", {**accessor, "count": len(values), "type": "SCALAR"})

    def add_texture(self, picture: bytes, *, mime_type: str) -> int:
        """A texture of an embedded PNG or JPEG, clamped at its borders."""
        image = self.add("images", {"bufferView": self._view(picture), "mimeType": mime_type})
        clamp = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
        return self.add("textures", {"source": image, "sampler": self.add("samplers", clamp)})

    def glb(self, *, roots: list[int]) -> bytes:
        """The file, whose scene has the nodes ``roots``."""
        document = {**self.document, "scenes": [{"nodes": roots}], "buffers": [{"byteLength": self._length}]}
        return glb_bytes(document, b"".join(self._sections))

    def append(self, document: Document, binary: bytes) -> int:
        """Takes over another file's parts, renumbered; gives the index of its first node. Its scene is left behind."""
        start = {kind: len(self.document.get(kind, [])) for kind in PART_KINDS}
        offset = self._store(binary)
        for kind in PART_KINDS:
            for part in document.get(kind, []):
                moved = _renumbered(part, kind, start)
                if kind == "bufferViews":
                    moved |= {"buffer": 0, "byteOffset": part.get("byteOffset", 0) + offset}
                self.add(kind, moved)
        for extension in document.get("extensionsRequired", []):
            self.require(extension)
        return start["nodes"]

    def _view(self, data: bytes, **options: int) -> int:
        offset = self._store(data)
        return self.add(
            "bufferViews", {"buffer": 0, "byteOffset": offset, "byteLength": len(data), **options}
        )

    def _store(self, data: bytes) -> int:
        """Where the data starts: on a multiple of four."""
        offset, padded = self._length, data + b"\0" * (-len(data) % 4)
        self._sections.append(padded)
        self._length += len(padded)
        return offset


# Lists of a document, and the keys by which their parts name parts of other lists.
PART_KINDS: dict[str, dict[str, str]] = {
    "bufferViews": {},
    "accessors": {"bufferView": "bufferViews"},
    "images": {"bufferView": "bufferViews"},
    "samplers": {},
    "textures": {"source": "images", "sampler": "samplers"},
    "materials": {"index": "textures"},
    "meshes": {
        **dict.fromkeys(("indices", "POSITION", "NORMAL", "COLOR_0", "TEXCOORD_0"), "accessors"),
        "material": "materials",
    },
    "nodes": {"mesh": "meshes", "children": "nodes"},
}


def _renumbered(value: Any, kind: str, start: Mapping[str, int]) -> Any:
    """``value`` with every reference moved on by as many parts as there were before."""
    if isinstance(value, list):
        return [_renumbered(item, kind, start) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {}
    for key, item in value.items():
        target = PART_KINDS[kind].get(key)
        if target is None or key == "extras":
            moved[key] = item if key == "extras" else _renumbered(item, kind, start)
        elif isinstance(item, list):
            moved[key] = [index + start[target] for index in item]
        else:
            moved[key] = item + start[target]
    return moved


@dataclass(frozen=True, kw_only=True)
class GlbParts:
    """A GLB's JSON document and its one binary chunk."""

    document: Document
    binary: bytes


def glb_parts(data: bytes) -> GlbParts:
    """Raises ValueError when ``data`` is no GLB of a JSON and one binary chunk."""
    try:
        magic, version, total, length, kind = struct.unpack_from("<IIIII", data)
        start = 20 + length
        binary_length, binary_kind = struct.unpack_from("<II", data, start)
        found = (magic, version, total, kind, binary_kind)
        if found != (MAGIC, VERSION, len(data), JSON_CHUNK, BIN_CHUNK):
            raise ValueError("its chunks are not those of a GLB 2.0")
        document = json.loads(data[20:start])
    except (struct.error, ValueError) as error:
        raise ValueError(f"not a GLB: {error}") from error
    return GlbParts(document=document, binary=data[start + 8 : start + 8 + binary_length])


def glb_bytes(document: Document, binary: bytes) -> bytes:
    """The container of both chunks."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    json_chunk = struct.pack("<II", len(text), JSON_CHUNK) + text
    return (
        struct.pack("<III", MAGIC, VERSION, total)
        + json_chunk
        + struct.pack("<II", len(binary), BIN_CHUNK)
        + binary
    )
