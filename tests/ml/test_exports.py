"""GLB and PLY files, read back by other libraries, and the mesh decoder that feeds them."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import trimesh

from modelzoo import frames
from modelzoo.decoders.cleanup import MAX_FACES
from modelzoo.decoders.mesh import ColouredMesh, decimate, mesh_from_field
from modelzoo.exports.gaussian_ply import PROPERTIES, SH_C0, Gaussians, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh

RESOLUTION = 64


def _ellipsoid_field() -> np.ndarray:
    centres = frames.voxel_centres(RESOLUTION).reshape(RESOLUTION, RESOLUTION, RESOLUTION, 3)
    return ((1 - np.linalg.norm(centres / [0.45, 0.3, 0.2], axis=-1)) * 10).astype(np.float32)


def _decoded(field: np.ndarray) -> tuple[ColouredMesh, tuple[str, ...]]:
    voxels = np.argwhere(np.abs(field) < 3)
    colours = np.where(voxels[:, :1] < RESOLUTION // 2, [[1.0, 0.25, 0.0]], [[0.0, 0.25, 0.05]]).astype(
        np.float32
    )
    decoded = mesh_from_field(field, colour_voxels=voxels, colours=colours)
    return decoded.mesh, decoded.steps


def _read(glb: bytes) -> trimesh.Trimesh:
    scene = trimesh.load(io.BytesIO(glb), file_type="glb")
    return scene.to_geometry() if isinstance(scene, trimesh.Scene) else scene


def _stored_colours(glb: bytes) -> np.ndarray:
    """The COLOR_0 accessor, by the letter of the glTF specification: trimesh hides it behind the material."""
    (length,) = struct.unpack_from("<I", glb, 12)
    document = json.loads(glb[20 : 20 + length])
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    accessor = document["accessors"][attributes["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    assert (accessor["componentType"], accessor["type"], view["byteStride"]) == (5123, "VEC4", 8)
    start = 20 + length + 8 + view["byteOffset"]
    return np.frombuffer(glb, "<u2", accessor["count"] * 4, start).reshape(-1, 4).astype(np.float64)


def test_a_decoded_mesh_is_watertight_and_faces_outwards() -> None:
    mesh, steps = _decoded(_ellipsoid_field())
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert steps == ()
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.45 * 0.3 * 0.2, rel=0.02)
    outward = mesh.vertices / np.array([0.45, 0.3, 0.2]) ** 2
    assert ((mesh.normals * outward).sum(axis=1) > 0).all()


def test_a_field_that_touches_the_cube_still_closes() -> None:
    mesh, _ = _decoded(_ellipsoid_field() + 6)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_floaters_are_dropped_and_named() -> None:
    field = _ellipsoid_field()
    field[2:4, 2:4, 2:4] = 1.0
    mesh, steps = _decoded(field)
    assert len(steps) == 1 and steps[0].startswith("floaters_dropped(pieces=1, faces=")
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).body_count == 1


def test_a_field_without_a_surface_is_cut_lower_and_says_so() -> None:
    _, steps = _decoded(_ellipsoid_field() - 12)
    assert steps[0].startswith("occupancy_threshold_lowered(level=")


def test_a_glb_read_back_by_trimesh_has_the_same_shape_y_up() -> None:
    mesh, _ = _decoded(_ellipsoid_field())
    back = _read(glb_from_mesh(mesh))
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    assert len(back.faces) == len(mesh.faces)
    assert np.abs(back.vertices - frames.glb_from_object(mesh.vertices)).max() <= extent / 65535
    assert np.array_equal(back.faces, mesh.faces)
    assert back.volume > 0


def test_glb_colours_are_linear_and_normals_are_unit() -> None:
    mesh, _ = _decoded(_ellipsoid_field())
    glb = glb_from_mesh(mesh)
    back = _read(glb)
    red = mesh.colours[:, 0] > 0.99
    linear = _stored_colours(glb)[:, :3] / 65535
    assert np.abs(linear[red] - [1.0, 0.0509, 0.0]).max() < 0.02
    assert np.abs(np.linalg.norm(back.vertex_normals, axis=1) - 1).max() < 0.02


def test_a_preview_is_small_and_keeps_shape_and_colours() -> None:
    mesh, _ = _decoded(_ellipsoid_field())
    preview = decimate(mesh, max_faces=3000)
    assert len(preview.faces) <= 3000 < len(mesh.faces)
    full, small = (trimesh.Trimesh(m.vertices, m.faces, process=False) for m in (mesh, preview))
    assert small.volume == pytest.approx(full.volume, rel=0.02)
    assert preview.colours.mean(axis=0) == pytest.approx(mesh.colours.mean(axis=0), abs=0.1)
    assert len(glb_from_mesh(preview)) * 8 <= 1_000_000
    assert len(glb_from_mesh(mesh)) * 8 <= 8_000_000


def test_a_splat_ply_has_the_standard_layout_and_reads_back() -> None:
    generator = np.random.default_rng(3)
    rotations = generator.normal(size=(50, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    gaussians = Gaussians(
        positions=generator.uniform(-0.5, 0.5, (50, 3)).astype(np.float32),
        scales=generator.uniform(0.001, 0.02, (50, 3)).astype(np.float32),
        rotations_wxyz=rotations.astype(np.float32),
        opacities=generator.uniform(0.05, 0.95, 50).astype(np.float32),
        colours=generator.uniform(0, 1, (50, 3)).astype(np.float32),
    )
    data = ply_from_gaussians(gaussians)
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 50"]
    assert lines[3:] == [f"property float {name}" for name in PROPERTIES]
    table = np.frombuffer(body, dtype=[(name, "<f4") for name in PROPERTIES])
    assert len(table) == 50
    assert np.allclose(np.stack([table[f"rot_{i}"] for i in range(4)], axis=1), gaussians.rotations_wxyz)
    assert np.allclose(np.exp(table["scale_1"]), gaussians.scales[:, 1], rtol=1e-5)
    assert np.allclose(1 / (1 + np.exp(-table["opacity"])), gaussians.opacities, atol=1e-5)
    assert np.allclose(0.5 + SH_C0 * table["f_dc_2"], gaussians.colours[:, 2], atol=1e-5)
    points = trimesh.load(io.BytesIO(data), file_type="ply")
    assert np.allclose(points.vertices, gaussians.positions, atol=1e-6)


def test_a_field_of_noise_still_gives_a_mesh_of_bounded_size_and_says_so() -> None:
    noise = np.random.default_rng(0).normal(size=(RESOLUTION,) * 3).astype(np.float32)
    mesh, steps = _decoded(noise)
    assert any(step.startswith("noisy_surface_smoothed(blur_voxels=") for step in steps)
    assert 0 < len(mesh.faces) <= MAX_FACES
