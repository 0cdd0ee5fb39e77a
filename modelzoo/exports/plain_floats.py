"""GLB files with their normalised integers written out as floats, for readers that take those for plain integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.exports.gltf import COMPONENT_TYPES, GlbParts, glb_bytes, glb_parts

#: By component type: how it lies in the file, and what stands for 1 (glTF 2.0, section 3.11).
NORMALISED = {5120: ("i1", 127.0), 5121: ("u1", 255.0), 5122: ("<i2", 32767.0), 5123: ("<u2", 65535.0)}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def with_plain_floats(data: bytes) -> bytes:
    """The same GLB with float32 accessors for those that were normalised; ``data`` itself when there are none.

    Raises ValueError for a normalised accessor whose numbers are not in the file's own binary chunk.
    """
    if b'"normalized"' not in data:
        return data
    parts = glb_parts(data)
    document, binary = parts.document, bytearray(parts.binary)
    for accessor in document["accessors"]:
        if not accessor.pop("normalized", False) or accessor["componentType"] not in NORMALISED:
            continue
        rows = _floats(parts, accessor).tobytes()
        binary += b"\0" * (-len(binary) % 4)
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(rows)}
        document["bufferViews"].append(view)
        binary += rows
        accessor |= {
            "bufferView": len(document["bufferViews"]) - 1,
            "byteOffset": 0,
            "componentType": COMPONENT_TYPES["float32"],
        }
        for limit in ("min", "max"):
            accessor.pop(limit, None)
    document["buffers"][0]["byteLength"] = len(binary)
    return glb_bytes(document, bytes(binary))


def _floats(parts: GlbParts, accessor: dict[str, Any]) -> NDArray[np.float32]:
    """The numbers of a normalised accessor in [-1, 1], (count, width)."""
    kind, one = NORMALISED[accessor["componentType"]]
    if "sparse" in accessor or "bufferView" not in accessor or accessor["type"] not in WIDTHS:
        raise ValueError("a normalised accessor is sparse or has no numbers of its own")
    view = parts.document["bufferViews"][accessor["bufferView"]]
    shape, item = (accessor["count"], WIDTHS[accessor["type"]]), np.dtype(kind).itemsize
    first, start = view.get("byteOffset", 0), accessor.get("byteOffset", 0)
    stride = view.get("byteStride", shape[1] * item)
    if view["buffer"] != 0 or min(first, start) < 0 or stride < shape[1] * item:
        raise ValueError("a normalised accessor's numbers do not lie in the file's binary chunk")
    held = parts.binary[first : first + view["byteLength"]]
    # numpy refuses, by a ValueError or TypeError, what would reach out of these bytes.
    values: NDArray[Any] = np.ndarray(shape, kind, buffer=held, offset=start, strides=(stride, item))
    return np.maximum(values / one, -1.0).astype(np.float32)
