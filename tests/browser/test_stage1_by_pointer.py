"""Stage 1 from the first click to the last without a key: mouse, pen and fingers on a photo of twelve megapixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.browser.marking import (
    COUNTS_EVENTS,
    READS_ANSWERS,
    cup_photograph,
    make_project,
    opens_marking,
    waits_for_refinement,
)
from tests.browser.person import PATIENCE_MS, Person, waits_until
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

WIDTH, HEIGHT = 4000, 3000


class Hand(Person):
    """A person with a mouse, a pen and fingers, and no keyboard."""

    def __init__(self, page: Page, site: RunningSite, name: str) -> None:
        super().__init__(page, site, name)
        self.devices: CDPSession = page.context.new_cdp_session(page)

    def clicks(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=False).first.click()

    def at(self, across: float, down: float) -> tuple[float, float]:
        """Where a place of the photo, in shares of its sides, is on the screen."""
        stage = self.stage()
        box = self.page.locator(".mask-canvas").bounding_box()
        assert box is not None
        view = stage["view"]
        return (
            box["x"] + view["x"] + across * stage["width"] * view["scale"],
            box["y"] + view["y"] + down * stage["height"] * view["scale"],
        )

    def draws_with_pen(self, start: tuple[float, float], end: tuple[float, float], *, force: float) -> None:
        self._pen("mousePressed", start, force)
        for step in range(1, 5):
            place = tuple(a + (b - a) * step / 4 for a, b in zip(start, end, strict=True))
            self._pen("mouseMoved", (place[0], place[1]), force)
        self._pen("mouseReleased", end, 0)

    def touches(self, *places: tuple[float, float], kind: str = "touchStart") -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def _pen(self, kind: str, at: tuple[float, float], force: float) -> None:
        event: dict[str, Any] = {"type": kind, "x": at[0], "y": at[1], "pointerType": "pen", "force": force}
        self.devices.send(
            "Input.dispatchMouseEvent", {**event, "button": "left", "buttons": 1, "clickCount": 1}
        )


def test_an_object_is_boxed_refined_mended_by_pen_and_handed_in_without_a_key(
    page: Page, site: RunningSite, tmp_path: Path
) -> None:
    slug = "marks-by-hand"
    large = cup_photograph(tmp_path / "large.jpg", width=WIDTH, height=HEIGHT)
    make_project(site, slug=slug, photographs=[large])
    ana = Hand(page, site, "ana")
    page.add_init_script(COUNTS_EVENTS)
    task = opens_marking(ana, slug)
    assert (ana.stage()["width"], ana.stage()["height"]) == (2048, 1536), "the mask is worked on smaller"

    ana.clicks("Box")
    ana.drags(ana.at(0.15, 0.1), ana.at(0.85, 0.9))
    boxed = ana.stage()["maskPixels"]
    assert boxed == pytest.approx(0.7 * 0.8 * 2048 * 1536, rel=0.02)
    ana.clicks("Refine")
    waits_for_refinement(ana, before=boxed)
    shot(page, "40-hand-refined")

    # A stroke costs its own rectangle, not the photo.
    ana.clicks("Brush")
    before = ana.stage()
    ana.drags(ana.at(0.02, 0.05), ana.at(0.06, 0.05))
    after = ana.stage()
    assert after["maskPixels"] > before["maskPixels"] and after["hints"] == 1
    assert 0 < after["painted"] - before["painted"] < 0.2 * 2048 * 1536

    # A pen that presses harder draws more; the hand that rests beside it draws nothing.
    def drawn_by(force: float, height: float) -> int:
        empty = ana.stage()["maskPixels"]
        ana.draws_with_pen(ana.at(0.02, height), ana.at(0.06, height), force=force)
        return int(ana.stage()["maskPixels"]) - int(empty)

    light, heavy = drawn_by(0.2, 0.15), drawn_by(0.9, 0.3)
    assert 0 < light < 0.6 * heavy
    resting = ana.stage()["maskPixels"]
    ana.touches(ana.at(0.9, 0.05))
    ana.touches(kind="touchEnd")
    assert ana.stage()["maskPixels"] == resting

    # Fingers, when the pen has been away for a while: one draws, two move the picture and draw nothing.
    page.wait_for_timeout(1100)
    ana.touches(ana.at(0.9, 0.1))
    ana.touches(ana.at(0.94, 0.1), kind="touchMove")
    ana.touches(kind="touchEnd")
    fingered = ana.stage()["maskPixels"]
    assert fingered > resting
    (x, y), scale = ana.at(0.5, 0.5), ana.stage()["view"]["scale"]
    ana.touches((x - 60, y))
    ana.touches((x - 60, y), (x + 60, y))
    ana.touches((x - 120, y), (x + 120, y), kind="touchMove")
    ana.touches(kind="touchEnd")
    assert ana.stage()["view"]["scale"] > 1.5 * scale
    assert ana.stage()["maskPixels"] == fingered
    shot(page, "41-hand-pinched")

    # The middle button pans, the wheel zooms around the pointer.
    before_pan = ana.stage()["view"]
    page.mouse.move(x, y)
    page.mouse.down(button="middle")
    page.mouse.move(x + 50, y + 30, steps=3)
    page.mouse.up(button="middle")
    assert ana.stage()["view"]["x"] == pytest.approx(before_pan["x"] + 50)
    page.mouse.wheel(0, 2000)
    assert ana.stage()["view"]["scale"] < before_pan["scale"]

    # The eraser takes the stray strokes away; what is said about parts goes with them.
    waits_until(lambda: "parts" in ana.stage()["warnings"], what="the warning about parts")
    shot(page, "42-hand-warnings")
    for _ in range(4):  # finger, heavy, light, mouse
        ana.clicks("Undo")
    assert ana.stage()["hints"] == 0

    # Name and flags by clicks, aside with it, and an outline by scissors, closed by a double click.
    page.get_by_role("option", name="saucer").click()
    page.get_by_label("reflective").check()
    ana.clicks("Add another")
    assert ana.stage()["targets"] == 1
    ana.clicks("Scissors")
    page.mouse.click(*ana.at(0.05, 0.05))
    page.mouse.click(*ana.at(0.15, 0.05))
    page.mouse.move(*ana.at(0.15, 0.2))
    shot(page, "43-hand-scissors")
    page.mouse.dblclick(*ana.at(0.15, 0.2))
    cut = ana.stage()["maskPixels"]
    assert cut > 0.002 * 2048 * 1536 and ana.stage()["corners"] == 0
    ana.clicks("Undo")

    # Points: left on the object, right beside it.
    ana.clicks("Points")
    page.mouse.click(*ana.at(0.1, 0.9))
    waits_for_refinement(ana, before=0)
    page.mouse.click(*ana.at(0.5, 0.5), button="right")
    waits_until(lambda: not ana.stage()["busy"] and ana.stage()["points"] == 2, what="the second point")
    shot(page, "44-hand-points")
    page.get_by_role("option", name="table").click()

    # Back to the first by its button; the other takes its place in the list; one is removed.
    page.get_by_role("button", name="Edit saucer").click()
    expect(page.get_by_label("Name of the object")).to_have_value("saucer")
    expect(page.get_by_label("reflective")).to_be_checked()
    page.get_by_role("button", name="Remove table").click()
    assert ana.stage()["targets"] == 0

    ana.clicks("Submit")
    waits_until(
        lambda: page.locator("#app").get_attribute("data-task") != task, what="the answer to be taken"
    )
    assert page.evaluate("window.__hands.key") == 0
    answers = json.loads(site.shell(READS_ANSWERS.format(slug=slug)))
    assert [(label, flags) for label, flags, _, _ in answers] == [("saucer", ["reflective"])]
    assert answers[0][3] > 0.05 * WIDTH * HEIGHT, "the mask was handed in at the photo's size"


def test_a_photo_of_one_row_is_refused_in_words_and_a_flat_one_can_be_worked_on(
    browser: Browser, site: RunningSite, tmp_path: Path
) -> None:
    slug = "odd-photos"
    row, flat = tmp_path / "row.png", tmp_path / "flat.png"
    Image.new("RGB", (3000, 1), (90, 60, 30)).save(row)
    picture = Image.new("RGB", (3000, 40), (40, 90, 60))
    picture.paste((220, 60, 40), (1200, 5, 1700, 35))
    picture.save(flat)
    make_project(site, slug=slug, photographs=[flat])
    with visit(browser, site, expected=["400 POST .*/images.*", "422 POST .*/images.*"]) as page:
        lea = Hand(page, site, "lea")
        page.goto(f"/p/{slug}/")
        expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files…").click()
        chooser.value.set_files(row)
        refused = page.locator(".upload", has_text="row.png")
        expect(refused).to_contain_text("3000 x 1; each side needs at least 32 pixels", timeout=PATIENCE_MS)
        shot(page, "45-odd-refused")

        opens_marking(lea, slug)
        assert (lea.stage()["width"], lea.stage()["height"]) == (2048, 27)
        page.mouse.move(*lea.at(0.48, 0.5))
        page.mouse.wheel(0, -500)
        lea.drags(lea.at(0.35, 0.02), lea.at(0.62, 0.98))
        boxed = lea.stage()["maskPixels"]
        assert boxed > 0
        lea.clicks("Refine")
        waits_for_refinement(lea, before=boxed)
        assert lea.stage()["maskPixels"] == pytest.approx(500 * 30 * (2048 / 3000) ** 2, rel=0.4)
        shot(page, "46-odd-flat")
        lea.skips()
