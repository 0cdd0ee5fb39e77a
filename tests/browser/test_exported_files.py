"""Exported meshes and splats in the real viewer, under the product's content security policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from playwright.sync_api import Browser, Page, expect

from modelzoo.decoders.mesh import ColouredMesh
from modelzoo.exports.gaussian_ply import Gaussians, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, glb_from_textured, preview_glb_from_mesh
from modelzoo.exports.meshopt_glb import compact_glb
from modelzoo.exports.spz import spz_from_gaussians
from modelzoo.exports.texture import textured
from tests.browser.person import PATIENCE_MS
from tests.browser.viewer_pages import build_viewer_pages, serving

SIDE = 160  # of the page's canvas
COLOUR = (0.8, 0.45, 0.15)  # sRGB, off the diagonal: wrong gamma or swapped channels show
EXTENTS = np.array([0.9, 0.6, 0.4])

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, built from the viewer's own modules, with the files beside it."""
    folder = tmp_path_factory.mktemp("viewer")
    build_viewer_pages(folder)
    box, splats = _box(), _splats()
    baked = glb_from_textured(
        textured(box, lambda points, _: np.tile(np.float32(COLOUR), (len(points), 1)), size=64)
    )
    files = {
        "coloured.glb": glb_from_mesh(box),
        "preview.glb": preview_glb_from_mesh(box),
        "baked.glb": baked,
        "coloured-meshopt.glb": compact_glb(glb_from_mesh(box)),
        "baked-meshopt.glb": compact_glb(baked),
        "splats.ply": ply_from_gaussians(splats),
        "splats.spz": spz_from_gaussians(splats),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def viewer(browser: Browser, address: str) -> Iterator[Page]:
    """The open page; at the end, nothing may have gone wrong in it, a refusal by the policy included."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/files.html")
    expect(page.locator("html")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    yield page
    context.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["coloured", "preview", "baked", "coloured-meshopt", "baked-meshopt"])
def test_a_glb_stands_upright_in_the_object_frame_in_its_own_colours(viewer: Page, name: str) -> None:
    found = _opened(viewer, "openModel", f"{name}.glb")
    assert found["faces"] == len(_box().faces)
    assert (found["hasTexture"], found["hasColours"]) == (("baked" in name), ("baked" not in name))
    low, high = np.array(found["bounds"])
    np.testing.assert_allclose(high - low, EXTENTS, atol=1e-3)
    np.testing.assert_allclose((low + high) / 2, [0, 0, 0.1], atol=1e-3)
    assert _share_of_hue(_picture(found)) > 0.1


def test_vertex_colours_texture_and_compressed_files_look_alike(viewer: Page) -> None:
    """A texture is sRGB and vertex colours are linear: a mistake in either would make one of them paler."""
    pictures = {
        name: _picture(_opened(viewer, "openModel", f"{name}.glb"))
        for name in ("coloured", "baked", "coloured-meshopt", "baked-meshopt")
    }
    for name, picture in pictures.items():
        difference = np.abs(picture - pictures["coloured"]).max(axis=2)
        assert (difference > 8).mean() < 0.01, name


@pytest.mark.parametrize("name", ["splats.ply", "splats.spz"])
def test_splats_without_a_gpu_are_points_at_the_same_places_in_the_same_colours(
    viewer: Page, name: str
) -> None:
    found, splats = _opened(viewer, "openPoints", name), _splats()
    np.testing.assert_allclose(found["places"], splats.positions, atol=1e-3)
    linear = ((splats.colours.astype(float) + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(np.reshape(found["colours"], (-1, 3)), linear, atol=0.04)


def test_the_splat_renderer_draws_both_formats_alike(viewer: Page) -> None:
    drawn = {name: _opened(viewer, "openSplats", name) for name in ("splats.ply", "splats.spz")}
    pictures = {name: _picture(found) for name, found in drawn.items()}
    empty = _picture({"picture": drawn["splats.ply"]["empty"]})
    lit = np.abs(pictures["splats.ply"] - empty).max(axis=2) > 20
    assert lit.mean() > 0.05, "the splats are there"
    difference = np.abs(pictures["splats.ply"] - pictures["splats.spz"]).max(axis=2)
    assert (difference > 40).mean() < 0.1 * lit.mean()


def _opened(page: Page, opener: str, name: str) -> dict[str, Any]:
    return dict(page.evaluate("([opener, url]) => window.__files[opener](url)", [opener, f"/{name}"]))


def _picture(found: dict[str, Any]) -> np.ndarray:
    return np.array(found["picture"], dtype=np.float64).reshape(SIDE, SIDE, 4)[..., :3]


def _share_of_hue(picture: np.ndarray) -> float:
    """Share of pixels whose channels fall from red to blue as the box's colour does."""
    red, green, blue = picture.transpose(2, 0, 1)
    return float(((red > green + 30) & (green > blue + 20)).mean())


def _box() -> ColouredMesh:
    """With faces of its own on each side, so that its edges are sharp; off the cube's middle."""
    shape = trimesh.creation.box(extents=EXTENTS).subdivide()
    corners = np.asarray(shape.triangles.reshape(-1, 3) + np.array([0, 0, 0.1]), dtype=np.float32)
    return ColouredMesh(
        vertices=corners,
        faces=np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
        normals=np.repeat(shape.face_normals, 3, axis=0).astype(np.float32),
        colours=np.tile(np.float32(COLOUR), (len(corners), 1)),
    )


def _splats() -> Gaussians:
    """A flat upright lattice of opaque discs: lying down or mirrored it would look different."""
    x, z = np.meshgrid(np.linspace(-0.4, 0.4, 7), np.linspace(-0.2, 0.45, 7))
    positions = np.stack([x.ravel(), 0.3 * x.ravel(), z.ravel()], axis=1).astype(np.float32)
    colours = np.clip(
        np.stack([0.5 + positions[:, 0], 0.4 + positions[:, 2], 0.3 + 0 * positions[:, 0]], axis=1), 0.1, 1
    )
    return Gaussians(
        positions=positions,
        scales=np.tile(np.float32([0.05, 0.01, 0.03]), (len(positions), 1)),
        rotations_wxyz=np.tile(np.float32([0.98, 0, 0, 0.199]), (len(positions), 1)),
        opacities=np.full(len(positions), 0.9, np.float32),
        colours=colours.astype(np.float32),
    )
