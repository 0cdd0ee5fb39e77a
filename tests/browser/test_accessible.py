"""Every page and main state: nothing that axe finds in either theme, and nothing cut off at 1280 or at 200 % zoom."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import cut_off, in_both_themes
from tests.browser.person import PATIENCE_MS, Person
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

#: 1280 x 800 at 200 %: half the room in CSS pixels.
ZOOMED = {"width": 640, "height": 400}
CONSOLE_PAGES = (
    "/admin/",
    "/admin/console/deployments/",
    "/admin/console/jobs/",
    "/admin/engine/membership/",
    "/admin/engine/project/",
)


class Walk:
    """Goes from screen to screen and notes what is wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []

    def looks(self, name: str, *, zoomed: bool = True) -> None:
        self.faults += in_both_themes(self.page, name)
        self.faults += cut_off(self.page, name, width=1280, height=800)
        if zoomed:
            self.faults += cut_off(self.page, name, **ZOOMED)
        shot(self.page, f"axe-{name}")

    def goes(self, path: str, name: str) -> None:
        self.page.goto(path)
        if path.startswith("/p/"):
            expect(self.page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        self.looks(name)


def test_every_screen_is_accessible(browser: Browser, site: RunningSite) -> None:
    faults: list[str] = []
    expected = ("404 GET .*/nothing", "403 GET .*/admin/", "400 GET .*", "403 POST .*/login")
    for who, walks in (("ana", _an_annotators_screens), ("lea", _a_leads_screens)):
        with visit(browser, site, expected=expected) as page:
            page.emulate_media(reduced_motion="reduce")
            walk = Walk(page)
            if who == "ana":
                page.goto("/login")
                walk.looks("login")
            walks(Person(page, site, who, reads=False), walk)
            faults += walk.faults
    assert not faults, "\n".join(faults)


def _an_annotators_screens(ana: Person, walk: Walk) -> None:
    page = ana.page
    walk.goes("/", "projects")
    walk.goes("/p/demo/", "home")
    walk.goes("/p/demo/guidelines/?stage=pick", "guidelines")
    page.goto("/p/demo/work/object")
    expect(page.get_by_role("button", name="I have read it")).to_be_visible(timeout=PATIENCE_MS)
    walk.looks("gate")
    ana.acknowledges()
    ana.opens_stage("object")
    walk.looks("object")
    for keys, name in ((["Shift+G"], "guidelines-dialog"), (["?"], "help"), (["s"], "skip-dialog")):
        _opens_a_dialog(walk, keys, name)
    ana.opens_stage("pick")
    walk.looks("pick")
    page.keyboard.press("Shift+Digit1")
    walk.looks("pick-large")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    walk.looks("pick-rating")
    # Once something is picked, E rates its texture; handing over is Shift+E there.
    page.keyboard.press("4")
    expect(page.locator(".anchor-example canvas")).to_be_visible(timeout=PATIENCE_MS)
    walk.looks("pick-example")
    _opens_a_dialog(walk, ["Shift+E"], "escalate-dialog")
    page.goto("/p/demo/work/pose")
    expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    walk.looks("pose-empty")
    walk.goes("/nothing", "not-found")
    page.goto("/admin/")
    walk.looks("forbidden")


def _opens_a_dialog(walk: Walk, keys: list[str], name: str) -> None:
    for key in keys:
        walk.page.keyboard.press(key)
    expect(walk.page.get_by_role("dialog")).to_be_visible()
    walk.looks(name)
    walk.page.keyboard.press("Escape")
    expect(walk.page.get_by_role("dialog")).to_have_count(0)


def _a_leads_screens(lea: Person, walk: Walk) -> None:
    page, project = lea.page, lea.project_id()
    walk.goes("/p/demo/", "home-lead")
    walk.goes("/p/demo/artists/", "artists")
    for path in (*CONSOLE_PAGES, f"/admin/console/projects/{project}/"):
        walk.goes(path, "console" + path.replace("/", "-").removeprefix("-admin").rstrip("-"))
    for page_of in ("guidelines", "quiz"):
        walk.goes(f"/admin/console/projects/{project}/pick/{page_of}/", f"console-{page_of}")
    for page_of in ("bias", "quality", "reviews", "arenas"):
        walk.goes(f"/admin/console/projects/{project}/{page_of}/", f"console-{page_of}")
    page.goto(f"/admin/console/projects/{project}/")
    page.get_by_role("link", name="Go to round").click()
    page.wait_for_url("**/rounds/**")
    walk.looks("console-round")
