"""GLB, PLY and SPZ files, read back by other libraries, and the mesh decoder that feeds them."""

from __future__ import annotations

import gzip
import io
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from modelzoo import frames
from modelzoo.candidate_files import CandidateParts, VoxelShape, textured_glb
from modelzoo.contracts import Intrinsics
from modelzoo.decoders.cleanup import MAX_FACES
from modelzoo.decoders.gaussians import CellGaussians
from modelzoo.decoders.mesh import ColouredMesh, decimate, mesh_from_field, mesh_from_surface
from modelzoo.exports.colour_space import linear_from_srgb, srgb_from_linear
from modelzoo.exports.gaussian_ply import (
    PROPERTIES,
    SH_C0,
    Gaussians,
    gaussians_from_ply,
    ply_from_gaussians,
)
from modelzoo.exports.glb import (
    PREVIEW_FACES,
    glb_from_mesh,
    glb_from_textured,
    preview_glb_from_mesh,
)
from modelzoo.exports.gltf import glb_parts
from modelzoo.exports.meshopt_glb import compact_glb
from modelzoo.exports.spz import spz_from_gaussians
from modelzoo.exports.texture import Atlas, TexturedMesh, texture_of, textured, unwrapped
from modelzoo.latents import CandidateLatents
from modelzoo.photo_colours import photo_view
from modelzoo.ports.unwrapping import UnwrapperMissing
from modelzoo.refinement import Layout, RefinedLayout
from modelzoo.vae.structured_latent import CellContent
from tests.glb_reading import attribute, uncompressed, validator_errors

RESOLUTION = 64
HALF_AXES = np.array([0.45, 0.3, 0.2])
TEXTURE_SIZE = 128


@cache
def _ellipsoid_field() -> np.ndarray:
    centres = frames.voxel_centres(RESOLUTION).reshape(RESOLUTION, RESOLUTION, RESOLUTION, 3)
    return ((1 - np.linalg.norm(centres / HALF_AXES, axis=-1)) * 10).astype(np.float32)


def _decoded(field: np.ndarray) -> tuple[ColouredMesh, tuple[str, ...]]:
    voxels = np.argwhere(np.abs(field) < 3)
    colours = np.where(voxels[:, :1] < RESOLUTION // 2, [[1.0, 0.25, 0.0]], [[0.0, 0.25, 0.05]]).astype(
        np.float32
    )
    decoded = mesh_from_field(field, colour_voxels=voxels, colours=colours)
    return decoded.mesh, decoded.steps


@cache
def _ellipsoid() -> ColouredMesh:
    return _decoded(_ellipsoid_field())[0]


def _smoothly_coloured(points: np.ndarray, _: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(0.5 + points, dtype=np.float32)


@cache
def _baked() -> TexturedMesh:
    mesh = replace(_ellipsoid(), colours=_smoothly_coloured(_ellipsoid().vertices))
    return textured(mesh, _smoothly_coloured, size=TEXTURE_SIZE, max_faces=600)


def _read(glb: bytes) -> trimesh.Trimesh:
    scene = trimesh.load(io.BytesIO(glb), file_type="glb")
    return scene.to_geometry() if isinstance(scene, trimesh.Scene) else scene


def _gaussians(count: int = 50) -> Gaussians:
    generator = np.random.default_rng(3)
    rotations = generator.normal(size=(count, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    return Gaussians(
        positions=generator.uniform(-0.5, 0.5, (count, 3)).astype(np.float32),
        scales=generator.uniform(0.001, 0.02, (count, 3)).astype(np.float32),
        rotations_wxyz=rotations.astype(np.float32),
        opacities=generator.uniform(0.05, 0.95, count).astype(np.float32),
        colours=generator.uniform(0, 1, (count, 3)).astype(np.float32),
    )


# --- the mesh decoder


def test_a_decoded_mesh_is_watertight_and_faces_outwards() -> None:
    mesh, steps = _decoded(_ellipsoid_field())
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert steps == ()
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(4 / 3 * np.pi * HALF_AXES.prod(), rel=0.02)
    assert ((mesh.normals * mesh.vertices / HALF_AXES**2).sum(axis=1) > 0).all()


def test_a_field_that_touches_the_cube_still_closes() -> None:
    mesh, _ = _decoded(_ellipsoid_field() + 6)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_floaters_are_dropped_and_named() -> None:
    field = _ellipsoid_field().copy()
    field[2:4, 2:4, 2:4] = 1.0
    mesh, steps = _decoded(field)
    assert len(steps) == 1 and steps[0].startswith("floaters_dropped(pieces=1, faces=")
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).body_count == 1


def test_a_field_without_a_surface_is_cut_lower_and_says_so() -> None:
    _, steps = _decoded(_ellipsoid_field() - 12)
    assert steps[0].startswith("occupancy_threshold_lowered(level=")


def test_a_field_of_noise_still_gives_a_mesh_of_bounded_size_and_says_so() -> None:
    noise = np.random.default_rng(0).normal(size=(RESOLUTION,) * 3).astype(np.float32)
    mesh, steps = _decoded(noise)
    assert any(step.startswith("noisy_surface_smoothed(blur_voxels=") for step in steps)
    assert 0 < len(mesh.faces) <= MAX_FACES


# --- GLB with vertex colours


def test_a_glb_read_back_by_trimesh_has_the_same_shape_y_up() -> None:
    mesh = _ellipsoid()
    back = _read(glb_from_mesh(mesh))
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    assert len(back.faces) == len(mesh.faces)
    assert np.abs(back.vertices - frames.glb_from_object(mesh.vertices)).max() <= extent / 65535
    assert np.array_equal(back.faces, mesh.faces)
    assert back.volume > 0
    assert np.abs(np.linalg.norm(back.vertex_normals, axis=1) - 1).max() < 0.02


def test_vertex_colours_are_stored_as_linear_light() -> None:
    mesh = _ellipsoid()
    stored = attribute(glb_from_mesh(mesh), "COLOR_0").astype(np.float64) / 65535
    red = mesh.colours[:, 0] > 0.99
    assert np.abs(stored[red, :3] - [1.0, 0.0509, 0.0]).max() < 0.02
    assert (stored[:, 3] == 1).all()
    assert np.abs(srgb_from_linear(stored[:, :3]) - mesh.colours).max() < 1 / 255


def test_a_glb_says_its_frame_its_unit_its_maker_and_whose_work_it_is() -> None:
    asset = glb_parts(glb_from_mesh(_ellipsoid(), copyright="Ana, CC-BY")).document["asset"]
    assert asset["generator"] == "candid8" and asset["copyright"] == "Ana, CC-BY"
    assert asset["extras"]["frame"] == "object" and asset["extras"]["unit"] == "unit cube"
    assert "copyright" not in glb_parts(glb_from_mesh(_ellipsoid())).document["asset"]


def test_a_preview_is_small_and_keeps_shape_and_colours() -> None:
    mesh = _ellipsoid()
    preview_glb = preview_glb_from_mesh(mesh)
    unpacked = uncompressed(preview_glb)
    preview = _read(unpacked)
    assert len(preview.faces) <= PREVIEW_FACES < len(mesh.faces)
    assert preview.volume == pytest.approx(4 / 3 * np.pi * HALF_AXES.prod(), rel=0.03)
    light = attribute(unpacked, "COLOR_0")[:, :3] / 65535
    # A mean over vertices, which lie elsewhere after decimation.
    assert light.mean(axis=0) == pytest.approx(linear_from_srgb(mesh.colours).mean(axis=0), abs=0.15)
    assert len(preview_glb) * 8 <= 1_000_000
    assert len(glb_from_mesh(mesh)) * 8 <= 8_000_000


def test_a_previews_colours_are_those_of_the_surface_around_each_vertex_not_of_one_point_of_it() -> None:
    """Every other vertex is black: near the mean everywhere, not blotches of black and white."""
    ball = trimesh.creation.icosphere(subdivisions=6, radius=0.4)
    speckled = np.where(np.arange(len(ball.vertices)) % 2 == 0, 0.0, 1.0).astype(np.float32)
    mesh = mesh_from_surface(
        ball.vertices.astype(np.float32),
        ball.faces.astype(np.int32),
        np.repeat(speckled[:, None], 3, axis=1),
    )
    light = attribute(uncompressed(preview_glb_from_mesh(mesh)), "COLOR_0")[:, 0] / 65535
    shown = srgb_from_linear(light)
    assert shown.mean() == pytest.approx(0.5, abs=0.05)
    assert shown.std() < 0.6 * speckled.std()


def test_a_colour_survives_the_way_to_linear_light_and_back() -> None:
    colours = np.linspace(0, 1, 257)
    assert np.abs(srgb_from_linear(linear_from_srgb(colours)) - colours).max() < 1e-9
    assert linear_from_srgb(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


# --- GLB with a baked texture


def test_a_texture_is_read_back_with_the_colours_that_the_surface_has() -> None:
    """The picture is sRGB as it is, not made linear: a reader's colour at a vertex is the painted one."""
    baked = _baked()
    back = _read(glb_from_textured(baked))
    picture = np.asarray(back.visual.material.baseColorTexture.convert("RGB"), dtype=np.float64) / 255
    uv = np.asarray(back.visual.uv)  # trimesh's v starts at the bottom
    column = np.clip(uv[:, 0] * TEXTURE_SIZE, 0, TEXTURE_SIZE - 1).astype(int)
    row = np.clip((1 - uv[:, 1]) * TEXTURE_SIZE, 0, TEXTURE_SIZE - 1).astype(int)
    expected = _smoothly_coloured(frames.object_from_glb(back.vertices))
    error = np.abs(picture[row, column] - expected)
    assert error.mean() < 0.01 and np.quantile(error, 0.99) < 0.04
    material = back.visual.material
    assert (material.metallicFactor, material.roughnessFactor) == (0, 1)


def test_each_pixel_of_a_texture_is_painted_where_the_plain_way_would() -> None:
    """The slow twin looks for the triangle under each pixel's centre among all of them."""
    size = 32
    atlas = unwrapped(_octahedron(), size=size)
    texture = texture_of(atlas, _smoothly_coloured, size=size).astype(np.float64) / 255
    covered = 0
    for row, column in np.ndindex(size, size):
        point = _point_under(atlas, (column + 0.5) / size, (row + 0.5) / size)
        if point is not None:
            covered += 1
            np.testing.assert_allclose(texture[row, column], _smoothly_coloured(point), atol=1 / 254)
    assert covered > size * size / 4


def test_the_gaps_between_charts_continue_the_nearest_chart() -> None:
    size = 32
    atlas = unwrapped(_octahedron(), size=size)
    texture = texture_of(atlas, lambda points, _: np.ones_like(points), size=size)
    assert (texture == 255).all()


def test_a_mesh_is_unwrapped_without_overlaps_and_inside_the_picture() -> None:
    baked = _baked()
    corners = baked.uvs[baked.faces]
    assert corners.min() >= 0 and corners.max() <= 1
    edges = corners[:, 1:] - corners[:, :1]
    area = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum() / 2
    assert 0.3 < area <= 1, "triangles that overlap would add up to more than the picture"
    assert len(baked.faces) <= 600


def test_without_the_unwrapper_a_texture_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(UnwrapperMissing, match="pip install xatlas"):
        textured(_octahedron(), size=32)


def test_a_texture_without_a_painter_takes_the_colours_of_the_full_mesh() -> None:
    mesh = replace(_ellipsoid(), colours=_smoothly_coloured(_ellipsoid().vertices))
    own = textured(mesh, size=64, max_faces=300)
    painted = textured(mesh, _smoothly_coloured, size=64, max_faces=300)
    assert np.abs(own.texture.astype(int) - painted.texture.astype(int)).mean() < 3


def test_a_texture_keeps_what_lies_between_the_vertices() -> None:
    """Stripes far finer than the triangles: vertex colours would lose them."""

    def stripes(points: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.repeat((np.sin(points[:, :1] * 120) > 0).astype(np.float32), 3, axis=1)

    picture = textured(_ellipsoid(), stripes, size=256, max_faces=300).jpeg()
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
    assert (grey < 40).mean() > 0.3 and (grey > 215).mean() > 0.3


def _octahedron() -> ColouredMesh:
    shape = trimesh.creation.icosphere(subdivisions=0, radius=0.4)
    vertices = np.asarray(shape.vertices, dtype=np.float32)
    return ColouredMesh(
        vertices=vertices,
        faces=shape.faces.astype(np.int32),
        normals=(vertices / 0.4).astype(np.float32),
        colours=np.zeros_like(vertices),
    )


def _point_under(atlas: Atlas, u: float, v: float) -> np.ndarray | None:
    for face in atlas.faces:
        system = np.vstack([atlas.uvs[face].astype(np.float64).T, np.ones(3)])
        weights = np.linalg.solve(system, [u, v, 1.0])
        if (weights >= -1e-9).all():
            return np.asarray(weights @ atlas.vertices[face])
    return None


def test_a_candidates_texture_shows_the_photograph_where_the_camera_saw_it_and_its_own_colours_behind() -> (
    None
):
    """The photograph shows red what the model thought blue; the camera looks along the object's z."""
    camera = Intrinsics(fx=300, fy=300, cx=100, cy=100, width=200, height=200)
    u, v = frames.pixel_grid(width=200, height=200).transpose(2, 0, 1)
    mask = ((u - 100) / (0.45 * 150)) ** 2 + ((v - 100) / (0.3 * 150)) ** 2 < 1
    image = np.zeros((200, 200, 3), np.uint8)
    image[mask] = (200, 30, 30)
    photo = photo_view(image, mask, camera)
    back = _read(textured_glb(_parts(blue=0.8), photo, size=TEXTURE_SIZE))
    picture = np.asarray(back.visual.material.baseColorTexture.convert("RGB"), dtype=np.float64)
    uv = np.clip(np.asarray(back.visual.uv) * TEXTURE_SIZE, 0, TEXTURE_SIZE - 1).astype(int)
    colours = picture[TEXTURE_SIZE - 1 - uv[:, 1], uv[:, 0]]
    depth = frames.object_from_glb(back.vertices)[:, 2]
    seen, hidden = colours[depth < -0.15], colours[depth > 0.15]
    np.testing.assert_allclose(np.median(seen, axis=0), (200, 30, 30), atol=8)
    assert np.median(hidden, axis=0)[2] > 90 > np.median(seen, axis=0)[2]


def _parts(*, blue: float) -> CandidateParts:
    """The ellipsoid as the models would give it, all blue, standing two units before the camera."""
    grid, cell = RESOLUTION // 4, 4
    cells = _ellipsoid_field().reshape(grid, cell, grid, cell, grid, cell).transpose(0, 2, 4, 1, 3, 5)
    field = torch.from_numpy(np.clip(cells.reshape(-1, cell**3), -2, 2).copy())
    colour = torch.tensor([0.2, 0.2, blue]).expand(len(field), cell**3, 3)
    coords = np.argwhere(np.ones((grid,) * 3))
    layout = Layout(rotation=np.eye(3), translation=np.array([0.0, 0.0, 2.0]), scale=1.0)
    latents = CandidateLatents(
        occupancy=_ellipsoid_field() > 0,
        slat_coords=np.zeros((1, 3), np.uint8),
        slat_feats=np.zeros((1, 4), np.float16),
    )
    one = torch.ones(1, 1, 3)
    gaussians = CellGaussians(
        positions=0 * one,
        scales=0.01 * one,
        rotations_wxyz=torch.eye(4)[:1][None],
        opacities=one[..., 0],
        colours=one,
    )
    return CandidateParts(
        seed=0,
        latents=latents,
        refined=RefinedLayout(layout=layout, iou_before=1.0, iou_after=1.0, steps=()),
        shape=VoxelShape(
            field=_ellipsoid_field(), coords=coords, content=CellContent(field=field, colour=colour)
        ),
        gaussians=gaussians,
    )


# --- meshopt


@pytest.mark.parametrize("kind", ["vertex_colours", "baked"])
def test_a_compressed_glb_unpacks_to_the_same_triangles_and_numbers(kind: str) -> None:
    few = decimate(_ellipsoid(), max_faces=1000)
    glb = glb_from_mesh(few) if kind == "vertex_colours" else glb_from_textured(_baked())
    small = compact_glb(glb)
    assert len(small) < 0.9 * len(glb)
    unpacked = uncompressed(small)
    for name in ("POSITION", "NORMAL", "COLOR_0" if kind == "vertex_colours" else "TEXCOORD_0"):
        assert np.array_equal(_by_corner(glb, name), _by_corner(unpacked, name)), name
    assert _read(unpacked).volume == pytest.approx(_read(glb).volume)


def test_compressing_twice_changes_nothing() -> None:
    small = compact_glb(glb_from_mesh(_ellipsoid()))
    assert compact_glb(small) == small


@pytest.mark.parametrize("data", [b"", b"glTF", b"\0" * 64, glb_from_mesh(_octahedron())[:-8]])
def test_what_is_no_glb_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a GLB"):
        compact_glb(data)


def _by_corner(glb: bytes, name: str) -> np.ndarray:
    """The attribute at all triangles' corners, in an order that neither vertex nor triangle order changes."""
    indices = attribute(glb, "indices").reshape(-1)
    keys = np.concatenate(
        [attribute(glb, "POSITION"), attribute(glb, "NORMAL"), attribute(glb, name)], axis=1
    )
    triangles = keys.astype(np.float64)[indices].reshape(-1, 3, keys.shape[1])
    turned = np.stack([_smallest_first(triangle) for triangle in triangles])
    return turned[np.lexsort(turned.reshape(len(turned), -1).T[::-1])]


def _smallest_first(triangle: np.ndarray) -> np.ndarray:
    """A triangle may start at any of its corners."""
    first = min(range(3), key=lambda corner: tuple(triangle[corner]))
    return np.roll(triangle, -first, axis=0)


# --- the validator


def test_the_khronos_validator_finds_nothing_wrong_with_any_variant(tmp_path: Path) -> None:
    coloured, baked = glb_from_mesh(_ellipsoid()), glb_from_textured(_baked())
    files = {"coloured": coloured, "preview": preview_glb_from_mesh(_ellipsoid()), "baked": baked}
    compact = {f"{name}_meshopt": compact_glb(glb) for name, glb in files.items()}
    unpacked = {f"{name}_unpacked": uncompressed(glb) for name, glb in compact.items()}
    found = validator_errors(tmp_path, files | compact | unpacked)
    assert len(found) == 9 and not any(found.values()), found


def test_the_validator_is_really_asked(tmp_path: Path) -> None:
    broken = glb_from_mesh(_octahedron()).replace(b'"VEC3"', b'"VEC2"', 1)
    assert validator_errors(tmp_path, {"broken": broken})["broken"]


# --- splats


def test_a_splat_ply_has_the_standard_layout_and_reads_back_elsewhere(tmp_path: Path) -> None:
    gaussians = _gaussians()
    path = tmp_path / "splats.ply"
    path.write_bytes(ply_from_gaussians(gaussians))
    header = path.read_bytes().partition(b"end_header\n")[0].decode("ascii").splitlines()
    assert [line.split()[2] for line in header if line.startswith("property")] == list(PROPERTIES)
    assert header[2:4] == ["comment frame object", "comment unit unit cube"]
    back = gsply.plyread(path)
    np.testing.assert_allclose(back.means, gaussians.positions, atol=1e-6)
    np.testing.assert_allclose(np.exp(back.scales), gaussians.scales, rtol=1e-5)
    np.testing.assert_allclose(back.quats, gaussians.rotations_wxyz, atol=1e-6)
    np.testing.assert_allclose(_sigmoid(back.opacities), gaussians.opacities, atol=1e-5)
    np.testing.assert_allclose(0.5 + SH_C0 * back.sh0, gaussians.colours, atol=1e-5)
    points = trimesh.load(path)
    np.testing.assert_allclose(points.vertices, gaussians.positions, atol=1e-6)


def test_a_splat_ply_round_trips_with_its_frame_and_unit() -> None:
    gaussians = replace(_gaussians(), frame="camera_opencv", unit="m")
    back = gaussians_from_ply(ply_from_gaussians(gaussians))
    assert (back.frame, back.unit) == ("camera_opencv", "m")
    for name in ("positions", "scales", "rotations_wxyz", "opacities", "colours"):
        np.testing.assert_allclose(getattr(back, name), getattr(gaussians, name), atol=2e-6)


def test_another_ply_is_refused() -> None:
    data = ply_from_gaussians(_gaussians())
    nameless = data.replace(b"property float nx", b"property float mx")
    for spoilt in (b"", data[:100], data[:-4], nameless, data[:-16] + b"\xff" * 16):
        with pytest.raises(ValueError, match="PLY"):
            gaussians_from_ply(spoilt)


def test_an_spz_read_by_another_library_has_the_same_splats_standing_upright(tmp_path: Path) -> None:
    """Within the format's steps: 1e-6 in place, 1/255 in opacity, 1/16 in log scale, half a degree in rotation."""
    gaussians = _gaussians(200)
    path = tmp_path / "splats.spz"
    path.write_bytes(spz_from_gaussians(gaussians))
    back = gsply.read_spz(path)
    np.testing.assert_allclose(back.means, frames.glb_from_object(gaussians.positions), atol=1e-6)
    np.testing.assert_allclose(back.scales, np.log(gaussians.scales), atol=0.5 / 16 + 1e-4)
    np.testing.assert_allclose(_sigmoid(back.opacities), gaussians.opacities, atol=0.5 / 255 + 1e-3)
    step = SH_C0 / (0.15 * 255)
    np.testing.assert_allclose(0.5 + SH_C0 * back.sh0, gaussians.colours, atol=0.5 * step + 1e-3)
    for found, given in zip(back.quats, gaussians.rotations_wxyz, strict=True):
        expected = frames.glb_from_object(frames.rotation_from_wxyz(given).T).T
        np.testing.assert_allclose(frames.rotation_from_wxyz(found), expected, atol=0.01)


def test_an_spz_of_a_scene_keeps_far_positions_and_says_its_frame_in_the_gzip_comment(tmp_path: Path) -> None:
    gaussians = _gaussians()
    far = replace(gaussians, positions=gaussians.positions * 1000, frame="camera_opencv", unit="m")
    path = tmp_path / "scene.spz"
    path.write_bytes(spz_from_gaussians(far))
    np.testing.assert_allclose(
        gsply.read_spz(path).means, frames.glb_from_camera(far.positions), atol=2**-14 * 1.01
    )
    comment = path.read_bytes()[10:].partition(b"\0")[0].decode("ascii")
    assert comment == "frame=camera_opencv; unit=m; axes=RUB"
    assert gzip.decompress(path.read_bytes())[:8] == b"NGSP\x03\0\0\0"


def test_an_spz_is_a_fraction_of_the_ply() -> None:
    gaussians = _gaussians(2000)
    assert len(spz_from_gaussians(gaussians)) < 0.3 * len(ply_from_gaussians(gaussians))


@pytest.mark.parametrize("place", [np.nan, np.inf, 1e9])
def test_positions_that_spz_cannot_hold_are_refused(place: float) -> None:
    gaussians = _gaussians(3)
    gaussians.positions[1, 1] = place
    with pytest.raises(ValueError, match="position"):
        spz_from_gaussians(gaussians)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(values, dtype=np.float64)))
