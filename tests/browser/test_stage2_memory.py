"""A day's work in one grid: task after task, and the graphics card holds no more than after the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from modelzoo.exports.gaussian_ply import ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh, glb_from_textured
from modelzoo.exports.meshopt_glb import compact_glb
from modelzoo.exports.texture import textured
from tests.browser.person import PATIENCE_MS
from tests.browser.pick_project import SHAPES, ellipsoid, splats_of
from tests.browser.viewer_pages import build_viewer_pages, serving

TASKS, AT_ONCE = 200, 20
#: A drawn background, a floor, an axis cross and the candidate.
CALLS_PER_CELL = 4
FACES = 320

pytestmark = pytest.mark.timeout(900)


def test_two_hundred_tasks_leave_nothing_in_graphics_memory(browser: Browser, tmp_path: Path) -> None:
    build_viewer_pages(tmp_path)
    files = [_written(tmp_path, number) for number in range(len(SHAPES))]
    with serving(tmp_path) as address:
        context = browser.new_context(base_url=address)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(PATIENCE_MS)
        page.goto("/grid.html")
        expect(page.locator("html")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        held = []
        for first in range(0, TASKS, AT_ONCE):
            held += page.evaluate(
                "([first, howMany, files]) => window.__grid.tasks(first, howMany, files)",
                [first, AT_ONCE, files],
            )
        context.close()
    assert not faults and len(held) == TASKS
    settled = held[AT_ONCE - 1]
    for after in held[AT_ONCE:]:
        assert after["geometries"] <= settled["geometries"] and after["textures"] <= settled["textures"], (
            after
        )
        assert after["programs"] <= settled["programs"] <= 16
    for during in held:
        assert 0 < during["calls"] <= CALLS_PER_CELL * len(SHAPES)
        assert FACES * len(SHAPES) <= during["triangles"] <= (FACES + 2) * len(SHAPES), "previews only"


def _written(folder: Path, number: int) -> dict[str, str]:
    """A candidate's files: every other mesh has a texture, as a leak of one would be the largest."""
    small, whole = ellipsoid(number, subdivisions=2), ellipsoid(number, subdivisions=3)
    if number % 2:
        mesh = glb_from_textured(textured(whole, lambda points, _: abs(points).clip(0, 1), size=64))
    else:
        mesh = glb_from_mesh(whole)
    contents = {
        "mesh": (f"mesh{number}.glb", mesh),
        "preview": (f"preview{number}.glb", compact_glb(glb_from_mesh(small))),
        "splat": (f"splat{number}.ply", ply_from_gaussians(splats_of(small))),
    }
    for name, content in contents.values():
        (folder / name).write_bytes(content)
    return {kind: f"/{name}" for kind, (name, _) in contents.items()}
