"""Coloured triangle meshes as small GLB files that three.js reads without a decoder (KHR_mesh_quantization)."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo import frames
from modelzoo.decoders.mesh import ColouredMesh

MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
UNSIGNED_SHORT, UNSIGNED_INT, BYTE = 5123, 5125, 5120
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


def glb_from_mesh(mesh: ColouredMesh, *, name: str = "candidate") -> bytes:
    """GLB (Y-up) of an object-frame (Z-up) mesh: u16 positions under a node transform, i8 normals, u16 colours.

    glTF vertex colours are linear, and eight linear bits band the dark half, so colours take sixteen.
    """
    positions = frames.glb_from_object(mesh.vertices)
    low = positions.min(axis=0)
    extent = float(max((positions.max(axis=0) - low).max(), 1e-9))
    quantised = np.rint((positions - low) / extent * 65535).astype("<u2")
    normals = np.rint(frames.glb_from_object(mesh.normals) * 127).astype("i1")
    colours = np.rint(_linear_from_srgb(mesh.colours) * 65535).astype("<u2")
    index_type = "<u2" if len(positions) < 65535 else "<u4"
    sections = [
        _padded_rows(quantised, row_bytes=8),
        _padded_rows(normals, row_bytes=4),
        _padded_rows(colours, row_bytes=8, fill=65535),
        _padded(mesh.faces.astype(index_type).tobytes()),
    ]
    document = _document(mesh, quantised=quantised, low=low, extent=extent, sections=sections, name=name)
    return _container(document, b"".join(sections))


def _document(
    mesh: ColouredMesh,
    *,
    quantised: NDArray[np.uint16],
    low: NDArray[np.float64],
    extent: float,
    sections: list[bytes],
    name: str,
) -> dict[str, Any]:
    offsets = np.cumsum([0, *(len(section) for section in sections)]).tolist()
    views: list[dict[str, Any]] = [
        {"buffer": 0, "byteOffset": offsets[i], "byteLength": len(sections[i])} for i in range(4)
    ]
    for view, stride in zip(views, (8, 4, 8), strict=False):
        view.update(byteStride=stride, target=ARRAY_BUFFER)
    views[3]["target"] = ELEMENT_ARRAY_BUFFER
    count = len(mesh.vertices)
    index_type = UNSIGNED_SHORT if count < 65535 else UNSIGNED_INT
    return {
        "asset": {"version": "2.0", "generator": "candid8"},
        "extensionsUsed": ["KHR_mesh_quantization"],
        "extensionsRequired": ["KHR_mesh_quantization"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"name": name, "mesh": 0, "translation": low.tolist(), "scale": [extent / 65535] * 3},
        ],
        "meshes": [
            {
                "name": name,
                "primitives": [
                    {"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "indices": 3, "material": 0}
                ],
            }
        ],
        "materials": [
            {"name": "vertex colours", "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": UNSIGNED_SHORT,
                "count": count,
                "type": "VEC3",
                "min": quantised.min(axis=0).tolist(),
                "max": quantised.max(axis=0).tolist(),
            },
            {"bufferView": 1, "componentType": BYTE, "normalized": True, "count": count, "type": "VEC3"},
            {
                "bufferView": 2,
                "componentType": UNSIGNED_SHORT,
                "normalized": True,
                "count": count,
                "type": "VEC4",
            },
            {"bufferView": 3, "componentType": index_type, "count": mesh.faces.size, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": offsets[-1]}],
    }


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<III", MAGIC, VERSION, total),
            struct.pack("<II", len(text), JSON_CHUNK),
            text,
            struct.pack("<II", len(binary), BIN_CHUNK),
            binary,
        ]
    )


def _padded_rows(rows: NDArray[Any], *, row_bytes: int, fill: int = 0) -> bytes:
    """Rows of three numbers as rows of four: glTF wants each vertex to start on a multiple of four bytes."""
    width = row_bytes // rows.dtype.itemsize
    table = np.full((len(rows), width), fill, dtype=rows.dtype)
    table[:, :3] = rows
    return table.tobytes()


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _linear_from_srgb(colours: NDArray[np.float32]) -> NDArray[np.float64]:
    c = np.clip(colours.astype(np.float64), 0.0, 1.0)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
