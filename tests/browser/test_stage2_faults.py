"""Stage 2 when something breaks: files that are missing or corrupt, a lost WebGL context, no WebGL at all."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.person import PATIENCE_MS, Person, waits_until
from tests.browser.pick_project import last_selection, pick_project
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(600)

CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*"}
LOSE = """() => {
  const gl = document.querySelector(".viewport canvas").getContext("webgl2");
  window.__lost = gl.getExtension("WEBGL_lose_context");
  window.__lost.loseContext();
}"""
NO_WEBGL = """
  const real = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    return kind.startsWith("webgl") ? null : real.call(this, kind, ...more);
  };
"""


class Store:
    """The object store as this page finds it: some files are not there, others are not what they should be."""

    def __init__(self, page: Page) -> None:
        self.missing: set[str] = set()
        self.corrupt: set[str] = set()
        page.route("**/*.glb*", self.answer)

    def answer(self, route: Route) -> None:
        path = route.request.url.partition("?")[0]
        if any(path.endswith(key) for key in self.missing):
            route.fulfill(status=404, headers=CROSS_ORIGIN, body="")
        elif any(path.endswith(key) for key in self.corrupt):
            route.fulfill(status=200, headers=CROSS_ORIGIN, body=b"glTF, but not really")
        else:
            route.continue_()


def test_a_candidate_that_cannot_be_loaded_is_said_tried_again_and_never_picked(
    browser: Browser, site: RunningSite
) -> None:
    project = pick_project(site, "broken", mode="grid", num_tasks=3)
    with visit(browser, site, expected=[r"404 GET .*\.glb"]) as page:
        store = Store(page)
        (_, half), *_ = project.files
        store.corrupt.update([half, *project.files[1]])
        store.missing.update(project.files[2])
        ana = Person(page, site, "ana")
        first = _opens(ana, project.slug)
        by_index = dict(enumerate(project.ids[0]))
        assert _phase(ana, by_index[0]) == "ready", "the whole mesh stands in for a broken preview"
        assert [_phase(ana, by_index[index]) for index in (1, 2, 3)] == ["failed", "failed", "ready"]
        expect(page.locator(".cell[data-phase=failed]")).to_have_count(2)
        expect(page.locator(".cell[data-phase=failed]").first).to_contain_text("could not be loaded")
        shot(page, "40-pick-failed-cells")
        broken = _number(ana, by_index[1])
        ana.presses(str(broken))
        assert ana.stage()["winner"] is None, "what was not seen cannot be picked"
        store.corrupt.clear()
        ana.presses("l")
        waits_until(lambda: _phase(ana, by_index[1]) == "ready", what="the second try")
        ana.presses("k")
        expect(page.locator(".tool-panel")).to_contain_text("1 of 6")
        ana.presses("k", str(_number(ana, by_index[1])), "3", "e", "Enter")
        second = ana.waits_for_task(after=first)
        stored = last_selection(site, project.slug)
        assert (stored["winner_id"], stored["not_loaded"]) == (by_index[1], [by_index[2]])
        store.missing.update(key for files in project.files[1:] for key in files)
        page.reload()
        waits_until(lambda: page.locator(".too-few").is_visible(), what="the offer to let go")
        shot(page, "41-pick-too-few")
        ana.presses("1", "k", "Enter")
        assert ana.stage()["winner"] is None and ana.stage()["mode"] == "grid"
        page.locator(".too-few").get_by_role("button", name="Skip").click()
        page.get_by_role("dialog").get_by_role("button", name="Skip").click()
        waits_until(
            lambda: page.locator("#app").get_attribute("data-task") not in (second, None),
            what="the next task",
        )


def test_a_lost_webgl_context_comes_back_with_everything_as_it_was(page: Page, site: RunningSite) -> None:
    page.emulate_media(reduced_motion="reduce")
    project = pick_project(site, "lost-context", mode="grid", num_tasks=1)
    ana = Person(page, site, "ana")
    _opens(ana, project.slug)
    camera = "window.__candid8.cameraState()"
    assert not page.evaluate(camera)["turning"], "nothing moves by itself when the person asked for that"
    ana.presses("c", "Shift+ArrowLeft", "3", "4")
    picture = _still_picture(page)
    kept, seen = ana.stage(), page.evaluate(camera)["position"]
    page.evaluate(LOSE)
    message = page.locator(".work .viewport-lost")
    expect(message).to_be_visible(timeout=PATIENCE_MS)
    expect(message).to_contain_text("Everything you did is kept")
    shot(page, "42-pick-lost-context")
    ana.presses("Escape", "5")
    assert ana.stage()["winner"] is None, "nobody picks what cannot be seen"
    ana.presses("Control+z")
    page.evaluate("window.__lost.restoreContext()")
    expect(message).to_be_hidden(timeout=PATIENCE_MS)
    waits_until(lambda: _still_picture(page) == picture, what="the picture of before, pixel for pixel")
    now = ana.stage()
    for name in ("winner", "shape", "texture", "look", "mode", "tournament"):
        assert now[name] == kept[name], name
    assert page.evaluate(camera)["position"] == seen
    shot(page, "43-pick-context-restored")


def test_without_webgl_the_page_says_so_and_takes_no_task(browser: Browser, site: RunningSite) -> None:
    project = pick_project(site, "no-webgl", mode="grid", num_tasks=1)
    with visit(browser, site) as page:
        page.add_init_script(NO_WEBGL)
        claims: list[str] = []
        page.on("request", lambda request: claims.append(request.url) if "/claims" in request.url else None)
        Person(page, site, "ana")
        page.goto(f"/p/{project.slug}/work/pick")
        expect(page.get_by_role("alert")).to_contain_text("cannot draw in 3D", timeout=PATIENCE_MS)
        expect(page.get_by_role("button", name="Look again")).to_be_visible()
        shot(page, "44-pick-no-webgl")
        page.wait_for_timeout(500)
        assert claims == []


def _still_picture(page: Page) -> bytes:
    """The viewport as PNG once nothing moves in it any more: two looks in a row show the same."""
    looks = [page.locator(".work .viewport").screenshot()]

    def is_still() -> bool:
        looks.append(page.locator(".work .viewport").screenshot())
        return looks[-1] == looks[-2]

    waits_until(is_still, what="a view that stands still")
    return looks[-1]


def _opens(ana: Person, slug: str) -> str:
    ana.page.goto(f"/p/{slug}/work/pick")
    return ana.waits_for_task(after="")


def _phase(ana: Person, candidate: int) -> str:
    return str(next(cell["phase"] for cell in ana.stage()["cells"] if cell["id"] == candidate))


def _number(ana: Person, candidate: int) -> int:
    return 1 + [cell["id"] for cell in ana.stage()["cells"]].index(candidate)
