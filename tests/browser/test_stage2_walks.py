"""Stage 2 by two people, one with only a keyboard, one with only a mouse; what is stored is what was shown."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.browser.person import PATIENCE_MS, Person, waits_until
from tests.browser.pick_project import last_selection, pick_project
from tests.browser.visitor import shot
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(600)


def test_two_at_a_time_with_the_keyboard_alone(page: Page, site: RunningSite) -> None:
    project = pick_project(site, "by-keys", mode="king", num_tasks=2)
    ana = Person(page, site, "ana")
    splats: list[str] = []
    page.on("request", lambda request: splats.append(request.url) if ".ply" in request.url else None)
    first = _opens(ana, project.slug)
    order = [cell["id"] for cell in ana.stage()["cells"]]
    assert sorted(order) == project.ids[0]
    assert _camera(page)["turning"], "all turn until somebody touches anything"
    _turns_by_keys(ana)
    _nothing_tells_the_candidates_apart(page, order)
    _looks_in_every_way(ana, splats)
    _sees_the_photo_at_the_same_place(ana)
    pairs = _compares(ana, order)
    winner = ana.stage()["winner"]
    assert winner is not None and len(pairs) == 7
    shot(page, "32-pick-king-won")
    ana.presses("2", "t", "4")
    expect(page.locator(".anchor")).to_contain_text("only small details differ")
    shot(page, "33-pick-rated")
    ana.presses("Enter")
    ana.waits_for_task(after=first)
    again = ana.stage()
    assert (again["winner"], again["look"], again["tournament"]["comparisons"]) == (None, "colour", [])
    stored = last_selection(site, project.slug)
    assert stored["pairs"] == pairs, "the sides and the sequence as they were on the screen"
    assert stored["shown_order"] == order
    assert (stored["winner_id"], stored["mode"], stored["not_loaded"]) == (winner, "king", [])
    assert (stored["shape_rating"], stored["texture_rating"]) == (4, 5), "a mark can be changed"
    looked = stored["attention"]
    assert sum(looked["orbits"].values()) >= 2 and looked["flickers"] == 1 and looked["photo_camera"] > 0
    assert {"colour", "clay", "normals", "splat"} <= set(looked["looks"])
    assert all(looked["dwell"][str(one)] > 0 for one in pairs[0][:2])


def test_a_direct_pick_with_the_mouse_alone(page: Page, site: RunningSite) -> None:
    project = pick_project(site, "by-mouse", mode="grid", num_tasks=2)
    ana = Person(page, site, "ana")
    first = _opens(ana, project.slug)
    order = [cell["id"] for cell in ana.stage()["cells"]]
    cells = [_box(cell) for cell in page.locator(".work .cell").all()]
    assert len(cells) == 8
    before = _camera(page)["position"]
    ana.drags(_middle(cells[1]), _middle(cells[1], 60, 20))
    waits_until(lambda: _camera(page)["position"] != before, what="the camera to turn")
    assert not _camera(page)["turning"] and ana.stage()["winner"] is None, "a drag is no pick"
    assert ana.stage()["attention"]["orbits"] == {str(order[1]): 1}
    near = np.linalg.norm(_camera(page)["position"])
    page.mouse.wheel(0, -240)
    waits_until(lambda: np.linalg.norm(_camera(page)["position"]) < near, what="the camera to come closer")
    for look in ("Clay", "Normals", "Mesh"):
        page.get_by_role("button", name=look).click()
    assert ana.stage()["look"] == "colour"
    page.locator(".cell[data-number='5'] .open").click()
    waits_until(lambda: _cell(ana, order[4])["detail"] == "full", what="the whole mesh")
    expect(page.locator(".cell[data-large] .state")).to_have_text("full detail")
    page.wait_for_timeout(1000)
    shot(page, "34-pick-inspect")
    page.locator("[data-command='photo.flicker']").hover()
    page.mouse.down()
    assert ana.stage()["isFlickering"]
    page.wait_for_timeout(600)
    shot(page, "35-pick-inspect-photo")
    page.mouse.up()
    assert not ana.stage()["isFlickering"]
    slider = page.get_by_label("Photo over the candidates")
    track = _box(slider)
    page.mouse.click(track["x"] + track["width"] / 2, track["y"] + track["height"] / 2)
    assert ana.stage()["opacity"] == pytest.approx(0.5, abs=0.1)
    page.locator(".cell[data-large] .open").click()
    page.wait_for_timeout(600)
    shot(page, "36-pick-overlay")
    page.mouse.click(*_middle(cells[2]))
    waits_until(lambda: ana.stage()["winner"] == order[2], what="the pick")
    expect(page.locator(".cell.picked .mark")).to_be_visible()
    page.get_by_role("group", name="Shape").get_by_role("button", name="fair").click()
    page.get_by_role("group", name="Texture").get_by_role("button", name="good").hover()
    expect(page.locator(".anchor")).to_contain_text("small marks, writing or edges are blurred")
    page.get_by_role("group", name="Texture").get_by_role("button", name="good").click()
    shot(page, "37-pick-grid-rated")
    page.get_by_role("button", name="Submit").click()
    ana.waits_for_task(after=first)
    stored = last_selection(site, project.slug)
    assert (stored["winner_id"], stored["mode"], stored["pairs"]) == (order[2], "grid", [])
    assert (stored["shape_rating"], stored["texture_rating"]) == (3, 4)
    assert stored["shown_order"] == order
    assert stored["inspected"].keys() == {str(order[4])}
    assert stored["attention"]["dwell"][str(order[1])] > 0, "the pointer was over it"


def _turns_by_keys(ana: Person) -> None:
    before = _camera(ana.page)
    ana.presses("Shift+ArrowLeft", "Shift+ArrowDown")
    after = _camera(ana.page)
    assert not after["turning"] and after["position"] != before["position"]
    ana.presses("+")
    assert np.linalg.norm(_camera(ana.page)["position"]) < np.linalg.norm(after["position"])
    ana.presses("Home")


def _nothing_tells_the_candidates_apart(page: Page, order: list[int]) -> None:
    """Neither makers nor row ids nor triangle counts are in the page: a cell has its number and how far it is."""
    html = page.locator(".work").inner_html()
    assert "retrieval" not in html and "candid8-" not in html
    said = page.locator(".work .cell").evaluate_all("cells => cells.map((cell) => ({ ...cell.dataset }))")
    assert {name for cell in said for name in cell} <= {"number", "large", "phase", "detail"}
    assert {cell["number"] for cell in said} == {str(number) for number in range(1, len(order) + 1)}


def _looks_in_every_way(ana: Person, splats: list[str]) -> None:
    for key, name in (("c", "clay"), ("n", "normals")):
        ana.presses(key)
        assert ana.stage()["look"] == name
        ana.page.wait_for_timeout(300)
    assert splats == [], "splats are only loaded when somebody asks for them"
    ana.presses("g")
    waits_until(
        lambda: ana.stage()["look"] == "splat" and len(splats) == 2, what="the splats of those compared"
    )
    ana.presses("m", "Shift+Digit3")
    third = ana.stage()["cells"][2]
    assert ana.stage()["inspecting"] == third["id"]
    waits_until(lambda: _cell(ana, third["id"])["detail"] == "full", what="the whole mesh")
    ana.presses("Escape")
    assert ana.stage()["inspecting"] is None


def _sees_the_photo_at_the_same_place(ana: Person) -> None:
    """The ball among the candidates lies on the ball of the photograph, seen from the photograph's camera."""
    page = ana.page
    ana.presses("k")  # all eight at once
    ids = [cell["id"] for cell in ana.stage()["cells"]]
    number = 1 + ids.index(min(ids))
    ana.presses("0")
    assert _camera(page)["photo"]
    page.wait_for_timeout(800)
    shot(page, "30-pick-photo-camera")
    rendered = _green(page, number)
    page.keyboard.down("Space")
    page.wait_for_timeout(800)
    shot(page, "31-pick-photo")
    photographed = _green(page, number)
    page.keyboard.up("Space")
    assert ana.stage()["isFlickering"] is False
    overlap = (rendered & photographed).sum() / (rendered | photographed).sum()
    assert photographed.mean() > 0.05 and overlap > 0.85
    ana.presses("k")


def _compares(ana: Person, order: list[int]) -> list[list[Any]]:
    """Seven answers, one of them taken back and given anew; the pairs as the screen had them."""
    shown: list[list[Any]] = []
    for answer in ("left", "right", "equal", "left", "right", "right", "left"):
        pair = _pair(ana.page, order)
        ana.presses({"left": "ArrowLeft", "right": "ArrowRight", "equal": "ArrowDown"}[answer])
        if len(shown) == 1:
            ana.presses("Backspace")
            assert _pair(ana.page, order) == pair, "back one comparison"
            ana.presses("ArrowRight")
        shown.append([*pair, answer])
    return shown


def _pair(page: Page, order: list[int]) -> list[int]:
    large = page.locator(".cell[data-large]").all()
    sides = sorted(large, key=lambda cell: _box(cell)["x"])
    return [order[int(cell.get_attribute("data-number") or 0) - 1] for cell in sides]


def _green(page: Page, number: int) -> np.ndarray:
    box = _box(page.locator(f".cell[data-number='{number}']"))
    picture = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    red, green, blue = np.asarray(picture, dtype=np.int16).transpose(2, 0, 1)
    return np.asarray((green > red + 25) & (green > blue + 25))


def _opens(ana: Person, slug: str) -> str:
    ana.page.goto(f"/p/{slug}/work/pick")
    return ana.waits_for_task(after="")


def _camera(page: Page) -> dict[str, Any]:
    return dict(page.evaluate("window.__candid8.cameraState()"))


def _cell(ana: Person, candidate: int) -> dict[str, Any]:
    return next(cell for cell in ana.stage()["cells"] if cell["id"] == candidate)


def _box(of: Locator) -> FloatRect:
    box = of.bounding_box(timeout=PATIENCE_MS)
    assert box is not None
    return box


def _middle(box: FloatRect, right: float = 0, down: float = 0) -> tuple[float, float]:
    return box["x"] + box["width"] / 2 + right, box["y"] + box["height"] / 2 + down
