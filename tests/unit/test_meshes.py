"""Uploaded meshes: what has the structure of a GLB, and what is said to who sends something else."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from engine.errors import BadInput
from engine.services.meshes import check_glb
from tests.factories import glb_bytes

LIMIT = 10_000
SOUND: dict[str, Any] = {
    "asset": {"version": "2.0"},
    "accessors": [{"count": 3}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
}


def test_a_glb_of_one_triangle_will_do() -> None:
    check_glb(glb_bytes(), max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"solid mug" * 10, "does not begin like a GLB"),
        (glb_bytes(version=1), "version 1"),
        (glb_bytes()[:-4], "cut off"),
        (glb_bytes(document={"asset": {}}), "no mesh"),
        (glb_bytes(document={**SOUND, "meshes": {}}), "list"),
        (glb_bytes(document={**SOUND, "meshes": [{"primitives": [{"attributes": {}}]}]}), "POSITION"),
        (
            glb_bytes(
                document={**SOUND, "meshes": [{"primitives": [{"mode": 1, "attributes": {"POSITION": 0}}]}]}
            ),
            "triangles",
        ),
        (glb_bytes(document={**SOUND, "accessors": []}), "POSITION"),
        (glb_bytes(document={**SOUND, "accessors": [{"count": 2}]}), "three vertices"),
        (glb_bytes(document={**SOUND, "images": [{"uri": "skin.png"}]}), "embed"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_what_would(data: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        check_glb(data, max_bytes=LIMIT)
    assert refusal.value.code == "bad_mesh"


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        check_glb(glb_bytes(), max_bytes=100)
    assert refusal.value.code == "mesh_too_large"


def test_deeply_nested_json_is_refused_and_not_followed() -> None:
    text = b"[" * 50_000
    chunk = struct.pack("<II", len(text), 0x4E4F534A) + text
    data = struct.pack("<III", 0x46546C67, 2, 12 + len(chunk)) + chunk
    with pytest.raises(BadInput):
        check_glb(data, max_bytes=100_000)


def test_no_flipped_byte_is_more_than_a_refusal() -> None:
    sound, codes = glb_bytes(), set()
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x55
        try:
            check_glb(bytes(damaged), max_bytes=LIMIT)
        except BadInput as refusal:
            codes.add(refusal.code)
    assert codes == {"bad_mesh"}
