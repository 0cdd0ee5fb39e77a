"""GLB files as the tests look at them: by the letter of the specification, and by the Khronos validator."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import meshopt
import numpy as np

from modelzoo.exports.gltf import GlbParts, glb_bytes, glb_parts
from modelzoo.exports.meshopt_glb import EXTENSION
from workers.stack.frontend_build import node_environment

FRONTEND = Path(__file__).resolve().parents[1] / "frontend"
DTYPES = {5120: "i1", 5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def accessor_rows(parts: GlbParts, index: int) -> np.ndarray:
    """The numbers of an accessor, read by their offsets and strides alone: (count, width)."""
    accessor = parts.document["accessors"][index]
    view = parts.document["bufferViews"][accessor["bufferView"]]
    dtype, width = np.dtype(DTYPES[accessor["componentType"]]), WIDTHS[accessor["type"]]
    stride = view.get("byteStride", dtype.itemsize * width)
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    rows = [
        np.frombuffer(parts.binary, dtype, width, start + number * stride)
        for number in range(accessor["count"])
    ]
    return np.stack(rows)


def attribute(glb: bytes, name: str) -> np.ndarray:
    """An attribute of the only primitive, or its ``indices``."""
    parts = glb_parts(glb)
    (mesh,) = parts.document["meshes"]
    (primitive,) = mesh["primitives"]
    return accessor_rows(parts, primitive["indices"] if name == "indices" else primitive["attributes"][name])


def uncompressed(glb: bytes) -> bytes:
    """What a reader makes of a meshopt GLB: the same document over unpacked data, by meshoptimizer's own decoder."""
    parts = glb_parts(glb)
    document = json.loads(json.dumps(parts.document))
    views: list[dict[str, Any]] = []
    sections: list[bytes] = []
    for view in document["bufferViews"]:
        packed = view.pop("extensions", {}).get(EXTENSION)
        source = packed or view
        data = parts.binary[source["byteOffset"] :][: source["byteLength"]]
        if packed:
            data = meshopt.decode_gltf_buffer(
                data, packed["count"], packed["byteStride"], packed["mode"]
            ).tobytes()
        offset = sum(len(section) for section in sections)
        views.append({**view, "buffer": 0, "byteOffset": offset, "byteLength": len(data)})
        sections.append(data + b"\0" * (-len(data) % 4))
    for key in ("extensionsUsed", "extensionsRequired"):
        document[key].remove(EXTENSION)
    document |= {"bufferViews": views, "buffers": [{"byteLength": sum(map(len, sections))}]}
    return glb_bytes(document, b"".join(sections))


def validator_errors(folder: Path, files: dict[str, bytes]) -> dict[str, list[str]]:
    """Errors and warnings per file of the Khronos glTF validator."""
    paths = []
    for name, content in files.items():
        path = folder / f"{name}.glb"
        path.write_bytes(content)
        paths.append(str(path))
    done = subprocess.run(
        ["node", "tests/validate_glb.mjs", *paths],
        cwd=FRONTEND,
        env=os.environ | node_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return {Path(path).stem: messages for path, messages in found.items()}
