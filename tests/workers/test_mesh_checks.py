"""What artists may upload: sound meshes come out in the unit cube, all others with a reason and without a crash."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from modelzoo.exports.glb import glb_from_mesh
from modelzoo.exports.gltf import glb_bytes as container_of
from modelzoo.exports.gltf import glb_parts
from modelzoo.exports.plain_floats import with_plain_floats
from tests.factories import glb_bytes
from tests.glb_reading import accessor_rows
from workers.glb_limits import GlbRefused, measure
from workers.mesh_checks import FILL, inspect
from workers.mesh_files import occupancy, shape_from_glb


def glb_of(mesh: trimesh.Trimesh) -> bytes:
    return bytes(trimesh.Scene([mesh]).export(file_type="glb"))


def box_glb(extents: tuple[float, float, float] = (3.0, 1.0, 2.0)) -> bytes:
    """Extents along the file's x, y (up) and z."""
    return glb_of(trimesh.creation.box(extents=extents))


def document_of(data: bytes) -> dict[str, Any]:
    length = struct.unpack_from("<I", data, 12)[0]
    return dict(json.loads(data[20 : 20 + length]))


def with_document(data: bytes, document: dict[str, Any]) -> bytes:
    """The same binary chunk under another JSON chunk."""
    length = struct.unpack_from("<I", data, 12)[0]
    binary = data[20 + length :]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(binary), len(text), 0x4E4F534A)
    return head + text + binary


def make_a_loop(document: dict[str, Any]) -> None:
    document["nodes"].append({"children": [len(document["nodes"])]})
    document["scenes"] = [{"nodes": [len(document["nodes"]) - 1]}]


def test_a_sound_mesh_is_centred_upright_and_fills_the_cube() -> None:
    inspection = inspect(box_glb())
    assert inspection.reasons == () and inspection.mesh is not None
    extent = np.ptp(inspection.mesh.vertices, axis=0)
    np.testing.assert_allclose(
        extent, [FILL, FILL * 2 / 3, FILL / 3], rtol=1e-5
    )  # z is up in the object frame
    np.testing.assert_allclose(inspection.mesh.vertices.mean(axis=0), 0, atol=1e-6)
    assert inspection.report["watertight"] and inspection.report["accepted"]


def test_what_is_accepted_once_is_accepted_again_as_our_own_file() -> None:
    first = inspect(box_glb())
    assert first.mesh is not None
    again = inspect(glb_from_mesh(first.mesh))
    assert again.mesh is not None
    np.testing.assert_allclose(again.mesh.vertices, first.mesh.vertices, atol=1e-4)
    np.testing.assert_allclose(again.mesh.colours, first.mesh.colours, atol=0.01)


def test_vertex_colours_are_kept() -> None:
    mesh = trimesh.creation.box()
    mesh.visual.vertex_colors = np.tile([255, 0, 0, 255], (8, 1))
    inspection = inspect(glb_of(mesh))
    assert inspection.mesh is not None
    np.testing.assert_allclose(
        inspection.mesh.colours, np.tile([1, 0, 0], (len(inspection.mesh.colours), 1)), atol=0.01
    )


def in_halves() -> trimesh.Trimesh:
    """A fine box, red where x < 0 and blue elsewhere, by a picture of two halves."""
    box = trimesh.creation.box().subdivide().subdivide()
    u = np.where(box.vertices[:, 0] < -1e-6, 0.25, 0.75)
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    picture.paste((0, 0, 255), (4, 0, 8, 8))
    box.visual = trimesh.visual.TextureVisuals(
        uv=np.stack([u, np.full_like(u, 0.5)], axis=1),
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=picture),
    )
    return box


def normalised(data: bytes, attribute: str, kind: str, *, scale: float = 1.0) -> bytes:
    """The same GLB with an attribute's numbers over ``scale`` as normalised integers, in rows of 4-byte multiples."""
    parts = glb_parts(data)
    document, binary = parts.document, bytearray(parts.binary)
    for mesh in document["meshes"]:
        accessor = document["accessors"][mesh["primitives"][0]["attributes"][attribute]]
        rows = accessor_rows(parts, document["accessors"].index(accessor)) / scale
        stored = np.zeros((len(rows), 4), kind)
        stored[:, : rows.shape[1]] = np.rint(rows * np.iinfo(kind).max)
        binary += b"\0" * (-len(binary) % 4)
        document["bufferViews"].append(
            {
                "buffer": 0,
                "byteOffset": len(binary),
                "byteLength": stored.nbytes,
                "byteStride": stored.strides[0],
            }
        )
        binary += stored.tobytes()
        number = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123}[kind]
        accessor |= {"bufferView": len(document["bufferViews"]) - 1, "byteOffset": 0, "componentType": number}
        accessor |= {"normalized": True}
    document["buffers"][0]["byteLength"] = len(binary)
    return container_of(document, bytes(binary))


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_picture_is_read_at_texture_coordinates_that_are_normalised_integers(kind: str) -> None:
    plain = glb_of(in_halves())
    expected, found = inspect(plain).mesh, inspect(normalised(plain, "TEXCOORD_0", kind)).mesh
    assert expected is not None and found is not None
    right = expected.vertices[:, 0] > 1e-3
    np.testing.assert_allclose(expected.colours[right], np.tile([0, 0, 1], (right.sum(), 1)), atol=0.01)
    assert expected.colours[~right][:, 0].max() > 0.99
    np.testing.assert_allclose(found.colours, expected.colours, atol=0.01)


def test_parts_at_normalised_positions_keep_their_places() -> None:
    box = trimesh.creation.box((1, 1, 1))
    apart = trimesh.Scene([box, box.copy().apply_translation([3, 0, 0])])
    plain = bytes(apart.export(file_type="glb"))
    data = normalised(plain, "POSITION", "int16", scale=4.0)
    document = document_of(data)
    for node in document["nodes"]:
        if "mesh" in node:
            node["scale"] = [4.0, 4.0, 4.0]
    expected, found = inspect(plain).mesh, inspect(with_document(data, document)).mesh
    assert expected is not None and found is not None
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-4)


def test_a_normalised_accessor_that_reaches_out_of_the_file_is_refused_without_a_crash() -> None:
    data = normalised(glb_of(in_halves()), "TEXCOORD_0", "uint16")
    document = document_of(data)
    for change in ({"byteOffset": 10**6}, {"byteOffset": -4}, {"type": "MAT4"}, {"sparse": {"count": 1}}):
        spoilt = json.loads(json.dumps(document))
        next(one for one in spoilt["accessors"] if one.get("normalized")).update(change)
        assert inspect(with_document(data, spoilt)).mesh is None, change
        with pytest.raises((ValueError, TypeError)):
            with_plain_floats(with_document(data, spoilt))


def test_colours_of_our_own_files_are_kept_though_they_have_a_material() -> None:
    mesh = trimesh.creation.box()
    mesh.visual.vertex_colors = np.tile([255, 0, 0, 255], (8, 1))
    red = inspect(glb_of(mesh)).mesh
    assert red is not None
    again = inspect(glb_from_mesh(red)).mesh
    assert again is not None
    np.testing.assert_allclose(again.colours, np.tile([1, 0, 0], (len(again.colours), 1)), atol=0.01)


def test_a_flat_sheet_goes_back_with_its_reason() -> None:
    inspection = inspect(box_glb(extents=(1.0, 1.0, 0.0)))
    assert inspection.mesh is None and "flat sheet" in inspection.reasons[0]


def test_a_single_triangle_goes_back() -> None:
    assert inspect(glb_bytes()).mesh is None


def test_numbers_that_are_not_finite_go_back() -> None:
    data = bytearray(box_glb())
    document = document_of(bytes(data))
    view = document["bufferViews"][
        document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]["bufferView"]
    ]
    start = 20 + struct.unpack_from("<I", data, 12)[0] + 8 + view.get("byteOffset", 0)
    struct.pack_into("<f", data, start, float("nan"))
    assert inspect(bytes(data)).mesh is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (make_a_loop, "loop"),
        (lambda d: d["accessors"][0].update(count=2_000_000_000), "too large"),
        (lambda d: d["accessors"][0].update(count=-1), "whole number"),
        (lambda d: d["buffers"][0].update(uri="http://example.org/x.bin"), "other files"),
        (lambda d: d.update(extensionsRequired=["KHR_draco_mesh_compression"]), "compression"),
        (lambda d: d["bufferViews"][0].update(byteLength=10**9), "beyond"),
        (lambda d: d["meshes"][0]["primitives"][0]["attributes"].update(POSITION=999), "not there"),
        (lambda d: d.update(nodes=[{"mesh": 0}] * 20_000), "nodes"),
        (lambda d: d.update(meshes=[]), "not there"),
        (lambda d: d.update(scenes=[{"nodes": []}], nodes=[]), "no triangles"),
        (lambda d: d.update(images=[{"uri": "file:///etc/passwd"}]), "other files"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_before_it_is_read(change: Any, reason: str) -> None:
    data = box_glb()
    document = document_of(data)
    change(document)
    with pytest.raises(GlbRefused, match=reason):
        measure(with_document(data, document))
    assert inspect(with_document(data, document)).mesh is None


def test_a_small_file_that_draws_millions_of_triangles_is_refused() -> None:
    data = glb_of(trimesh.creation.icosphere(subdivisions=4))
    document = document_of(data)
    leaf = next(index for index, node in enumerate(document["nodes"]) if "mesh" in node)
    for _ in range(12):
        document["nodes"].append({"children": [leaf, leaf]})
        leaf = len(document["nodes"]) - 1
    document["scenes"] = [{"nodes": [leaf]}]
    with pytest.raises(GlbRefused, match="triangles"):
        measure(with_document(data, document))


@given(st.data())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_flipped_bytes_never_crash_the_inspection(data: st.DataObject) -> None:
    spoilt = bytearray(box_glb())
    for _ in range(data.draw(st.integers(1, 8))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    inspection = inspect(bytes(spoilt))
    assert (inspection.mesh is None) == bool(inspection.reasons)


@given(st.binary(max_size=200))
@hypothesis_settings(max_examples=50, deadline=None)
def test_random_bytes_are_refused(data: bytes) -> None:
    assert inspect(data).reasons


def test_the_voxels_of_a_closed_box_are_solid() -> None:
    inspection = inspect(box_glb(extents=(1.0, 1.0, 1.0)))
    assert inspection.mesh is not None
    solid = occupancy(shape_from_glb(glb_from_mesh(inspection.mesh)), resolution=64)
    assert solid[32, 32, 32] and not solid[0, 0, 0]
    assert abs(solid.mean() - FILL**3) < 0.12
