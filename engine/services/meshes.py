"""Looks whether an uploaded file has the structure of a binary glTF; what its triangles are worth a worker decides."""

from __future__ import annotations

import json
import struct
from typing import Any

from engine.errors import BadInput

MAGIC = 0x46546C67  # "glTF"
JSON_CHUNK, BIN_CHUNK = 0x4E4F534A, 0x004E4942
TRIANGLES = 4
HEADER_BYTES = 12
CHUNK_HEADER_BYTES = 8


def check_glb(data: bytes, *, max_bytes: int) -> None:
    """Raises BadInput (bad_mesh, mesh_too_large) unless ``data`` is a self-contained GLB 2.0 with some triangles."""
    if len(data) > max_bytes:
        raise BadInput(
            f"The file has {len(data) / 1e6:.1f} MB; a mesh may have {max_bytes / 1e6:.0f} MB at most.",
            code="mesh_too_large",
        )
    document = _read_document(data)
    primitives = [
        primitive
        for mesh in _objects(document, "meshes")
        for primitive in _objects(mesh, "primitives")
        if primitive.get("mode", TRIANGLES) == TRIANGLES
    ]
    if not primitives:
        raise _bad("It holds no mesh of triangles; export the model's mesh into the GLB")
    accessors = _objects(document, "accessors")
    for primitive in primitives:
        attributes = primitive.get("attributes")
        position = attributes.get("POSITION") if isinstance(attributes, dict) else None
        if not isinstance(position, int) or not 0 <= position < len(accessors):
            raise _bad("A mesh in it has no POSITION attribute; every mesh needs vertex positions")
        if not isinstance(accessors[position].get("count"), int) or accessors[position]["count"] < 3:
            raise _bad("A mesh in it has fewer than three vertices")
    if any("uri" in one for name in ("buffers", "images") for one in _objects(document, name)):
        raise _bad("It refers to other files; embed buffers and textures in the GLB")


def _read_document(data: bytes) -> dict[str, Any]:
    if len(data) < HEADER_BYTES + CHUNK_HEADER_BYTES:
        raise _bad("It is too short to be a GLB")
    magic, version, length = struct.unpack_from("<III", data)
    if magic != MAGIC:
        raise _bad("It does not begin like a GLB; export binary glTF (.glb), not .gltf, .obj or a zip")
    if version != 2:
        raise _bad(f"It is glTF version {version}; export version 2")
    if length != len(data):
        raise _bad(
            f"Its header speaks of {length} bytes, it has {len(data)}: it is cut off or damaged, send it again"
        )
    size, kind = struct.unpack_from("<II", data, HEADER_BYTES)
    start = HEADER_BYTES + CHUNK_HEADER_BYTES
    if kind != JSON_CHUNK or start + size > len(data):
        raise _bad("Its first chunk is no JSON; export it anew")
    try:
        document = json.loads(data[start : start + size])
    except (ValueError, RecursionError) as error:
        raise _bad("Its JSON does not parse; export it anew") from error
    if not isinstance(document, dict):
        raise _bad("Its JSON is no glTF document; export it anew")
    _check_binary(data, start=start + size)
    return document


def _check_binary(data: bytes, *, start: int) -> None:
    if start + CHUNK_HEADER_BYTES > len(data):
        raise _bad("It has no binary chunk, so no geometry; export it anew")
    size, kind = struct.unpack_from("<II", data, start)
    if kind != BIN_CHUNK or start + CHUNK_HEADER_BYTES + size > len(data):
        raise _bad("Its binary chunk is cut off or of another kind; export it anew")


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _bad(f'"{name}" in its JSON is no list of objects; export it anew')
    return found


def _bad(what: str) -> BadInput:
    return BadInput(f"This file is no usable GLB. {what}.", code="bad_mesh")
