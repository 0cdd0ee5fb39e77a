"""Refuses a GLB file that is broken or built to exhaust its reader, before any mesh library sees it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

GLB_MAGIC, GLB_VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
MOST_JSON_BYTES = 16 * 1024 * 1024
MOST_NODES = 10_000
MOST_PRIMITIVES = 5_000
MOST_TRIANGLES = 2_000_000
MOST_IMAGES = 64
DEEPEST = 64
TRIANGLES = 4  # glTF's primitive mode
READABLE_EXTENSIONS = frozenset(
    {
        "KHR_mesh_quantization",
        "KHR_texture_transform",
        "KHR_materials_unlit",
        "KHR_materials_emissive_strength",
    }
)
COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}

Json = dict[str, Any]


class GlbRefused(ValueError):
    """The file is not read; the message says what is wrong and what would be right."""


@dataclass(frozen=True, kw_only=True)
class GlbSize:
    """What the file will become once every instance is drawn."""

    num_triangles: int
    num_nodes: int
    num_images: int


def measure(data: bytes) -> GlbSize:
    """The size of the scene in ``data``; raises GlbRefused. Costs no more than parsing the JSON chunk."""
    document, binary_length = _chunks(data)
    try:
        _check_extensions(document)
        _check_buffers(document, binary_length)
        for accessor in document.get("accessors", []):
            _check_accessor(accessor, document)
        return GlbSize(
            num_triangles=_count_triangles(document),
            num_nodes=len(document.get("nodes", [])),
            num_images=_count_images(document),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise GlbRefused(
            f"The GLB's JSON refers to something that is not there ({error}). Export it again."
        ) from error


def _chunks(data: bytes) -> tuple[Json, int]:
    if len(data) < 20:
        raise GlbRefused("The file is too short to be a GLB.")
    magic, version, length, json_length, kind = struct.unpack_from("<IIIII", data)
    if magic != GLB_MAGIC or version != GLB_VERSION:
        raise GlbRefused("This is no binary glTF 2.0 file. Export it as .glb (glTF Binary).")
    if length != len(data) or kind != JSON_CHUNK or 20 + json_length > len(data):
        raise GlbRefused("The GLB is truncated: its header names another length than it has.")
    if json_length > MOST_JSON_BYTES:
        raise GlbRefused(f"The GLB's JSON chunk has {json_length} bytes, at most {MOST_JSON_BYTES} are read.")
    try:
        document = json.loads(data[20 : 20 + json_length])
    except (ValueError, RecursionError) as error:
        raise GlbRefused(f"The GLB's JSON chunk does not parse: {error}") from error
    if not isinstance(document, dict):
        raise GlbRefused("The GLB's JSON chunk is not an object.")
    rest = 20 + json_length
    if rest + 8 > len(data):
        return document, 0
    binary_length, kind = struct.unpack_from("<II", data, rest)
    if kind != BIN_CHUNK or rest + 8 + binary_length > len(data):
        raise GlbRefused("The GLB's binary chunk is truncated.")
    return document, binary_length


def _check_extensions(document: Json) -> None:
    unknown = sorted(set(document.get("extensionsRequired", [])) - READABLE_EXTENSIONS)
    if unknown:
        raise GlbRefused(f"The GLB requires {', '.join(unknown)}. Export it without compression.")


def _check_buffers(document: Json, binary_length: int) -> None:
    buffers = document.get("buffers", [])
    if len(buffers) > 1 or any("uri" in buffer for buffer in buffers):
        raise GlbRefused("The GLB refers to other files. Export one self-contained .glb.")
    for view in document.get("bufferViews", []):
        start, length = _natural(view.get("byteOffset", 0)), _natural(view["byteLength"])
        if start + length > binary_length:
            raise GlbRefused("A buffer view of the GLB reaches beyond its data.")
        if view.get("byteStride") is not None and not 4 <= _natural(view["byteStride"]) <= 252:
            raise GlbRefused("A buffer view of the GLB has an impossible stride.")


def _check_accessor(accessor: Json, document: Json) -> None:
    count = _natural(accessor["count"])
    if count > 3 * MOST_TRIANGLES:
        raise GlbRefused(f"The mesh is too large: one of its arrays has {count} entries.")
    if "sparse" in accessor or "bufferView" not in accessor:
        raise GlbRefused("The GLB uses sparse arrays, which are not read. Export it without shape keys.")
    view = document["bufferViews"][_natural(accessor["bufferView"])]
    width = COMPONENT_BYTES[accessor["componentType"]] * COMPONENTS[accessor["type"]]
    stride = view.get("byteStride") or width
    if (
        _natural(accessor.get("byteOffset", 0)) + max(count - 1, 0) * stride + width * bool(count)
        > view["byteLength"]
    ):
        raise GlbRefused("An array of the GLB reaches beyond its data.")


def _count_triangles(document: Json) -> int:
    """Triangles of every instance that the scene draws; refuses loops and hidden multiplication."""
    nodes, scenes = document.get("nodes", []), document.get("scenes", [])
    if len(nodes) > MOST_NODES:
        raise GlbRefused(f"The GLB has {len(nodes)} nodes, at most {MOST_NODES} are read. Join the objects.")
    of_mesh = [_mesh_triangles(mesh, document) for mesh in document.get("meshes", [])]
    if sum(len(mesh["primitives"]) for mesh in document.get("meshes", [])) > MOST_PRIMITIVES:
        raise GlbRefused(f"The GLB has more than {MOST_PRIMITIVES} primitives. Join the objects.")
    children = {child for node in nodes for child in node.get("children", [])}
    roots = scenes[_natural(document.get("scene", 0))].get("nodes", []) if scenes else []
    total, visited = 0, 0
    waiting = [(_natural(root), 1) for root in roots or range(len(nodes)) if roots or root not in children]
    while waiting:
        index, depth = waiting.pop()
        visited += 1
        if depth > DEEPEST or visited > MOST_NODES:
            raise GlbRefused("The GLB's nodes form a loop or are nested too deeply.")
        node = nodes[index]
        if "mesh" in node:
            total += of_mesh[_natural(node["mesh"])]
        if total > MOST_TRIANGLES:
            raise GlbRefused(f"The mesh has more than {MOST_TRIANGLES:,} triangles. Decimate it.")
        waiting.extend((_natural(child), depth + 1) for child in node.get("children", []))
    if not total:
        raise GlbRefused("The GLB's scene holds no triangles. Export the object with its mesh.")
    return total


def _mesh_triangles(mesh: Json, document: Json) -> int:
    return sum(_primitive_triangles(primitive, document) for primitive in mesh["primitives"])


def _primitive_triangles(primitive: Json, document: Json) -> int:
    if primitive.get("mode", TRIANGLES) != TRIANGLES:
        return 0
    positions = document["accessors"][_natural(primitive["attributes"]["POSITION"])]
    if positions["type"] != "VEC3":
        raise GlbRefused("The GLB's positions are not three numbers each.")
    if "indices" not in primitive:
        return _natural(positions["count"]) // 3
    return _natural(document["accessors"][_natural(primitive["indices"])]["count"]) // 3


def _count_images(document: Json) -> int:
    images = document.get("images", [])
    if len(images) > MOST_IMAGES:
        raise GlbRefused(f"The GLB holds {len(images)} textures, at most {MOST_IMAGES} are read.")
    if any("uri" in image for image in images):
        raise GlbRefused("The GLB's textures lie in other files. Export one self-contained .glb.")
    return len(images)


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GlbRefused(f"The GLB's JSON has {value!r} where a whole number from 0 on belongs.")
    return value
