"""Stage 2 in a real Chromium on the running product: time and bytes to the first frame, its cost, and key to paint.

Times depend on the renderer, which is named beside them; without a GPU they say what software rendering costs.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page_weight import closure, gzipped_bytes
from benchmarks.result import Result
from tests.browser.person import Person
from tests.browser.visitor import VIEWPORT
from tests.chromium import find_chromium
from tests.running_site import PROJECT, RunningSite, running_site

KEYS = 12
FACES_OF_PREVIEW = 12_000

#: The browser's own measure: from the key to the end of the frame that shows what it did.
WATCH = """() => {
  window.__paints = [];
  const note = (list) => list.getEntries().forEach(({ name, duration }) => { if (name === "keydown") window.__paints.push(duration); });
  new PerformanceObserver(note).observe({ type: "event", durationThreshold: 16 });
}"""  # noqa: E501  # JavaScript
RENDERER = """() => {
  const gl = document.querySelector(".viewport canvas").getContext("webgl2");
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  return String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}"""


def measure(*, seed: int) -> list[Result]:
    del seed
    chromium = find_chromium(PROJECT / ".candid8" / "browser")
    arguments = [*chromium.arguments, "--enable-precise-memory-info"]
    with (
        tempfile.TemporaryDirectory(prefix="candid8-frames-") as folder,
        sync_playwright() as playwright,
        running_site(Path(folder) / "home", extra={"BROWSER_TEST_HANDLE": "true"}) as site,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium.executable, args=arguments, env=dict(chromium.environment) or None
        )
        try:
            return frame_results(browser, site)
        finally:
            browser.close()


def frame_results(browser: Browser, site: RunningSite) -> list[Result]:
    """The page waits until the first candidates have been made; then a visitor with an empty cache comes."""
    _visit(browser, site).context.close()
    page = _visit(browser, site)
    first_frame = page.evaluate("performance.getEntriesByName('candid8.first-frame')[0].startTime")
    candidates = page.evaluate("window.__candid8.state().claim.task.candidates")
    fetched = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    previews = [one["preview_url"] for one in candidates]
    wire = sum(len(page.request.get(url).body()) for url in previews)
    frame: dict[str, Any] = page.evaluate("window.__candid8.renderInfo()")
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
    renderer = page.evaluate(RENDERER)[:60]
    paints = _paints(page)
    page.context.close()
    work, pick = closure("src/work.ts"), closure("src/stages/pick.ts")
    return [
        Result(name="first frame of the grid, from the navigation", value=first_frame, unit="ms", note=renderer),
        Result(name="eight previews on the wire", value=wire / 1e6, unit="MB", budget=1.0),
        Result(name="splats fetched unasked", value=sum(".ply" in url for url in fetched), unit="", budget=0),
        Result(name="script before the viewer, gzipped", value=gzipped_bytes(work) / 1e3, unit="kB", budget=180),
        Result(name="script with the viewer, gzipped", value=gzipped_bytes(work | pick) / 1e3, unit="kB"),
        Result(name="draw calls of a grid frame", value=frame["calls"], unit="", budget=32),
        Result(name="triangles of a grid frame", value=frame["triangles"], unit="", budget=8 * (FACES_OF_PREVIEW + 2)),
        Result(name="JavaScript heap with a task on the screen", value=heap, unit="MiB"),
        Result(name="key to paint (median)", value=paints, unit="ms", note=f"budget 50 ms on a GPU; {renderer}"),
    ]  # fmt: skip


def _visit(browser: Browser, site: RunningSite) -> Page:
    page = browser.new_context(base_url=site.url, viewport=VIEWPORT).new_page()
    page.emulate_media(reduced_motion="reduce")
    Person(page, site, "ana").opens_stage("pick")
    return page


def _paints(page: Page) -> float:
    """Median milliseconds from a key that turns the camera to the frame that shows it."""
    page.evaluate(WATCH)
    for _ in range(KEYS):
        page.keyboard.press("Shift+ArrowLeft")
        page.wait_for_timeout(400)
    durations: list[float] = page.evaluate("window.__paints")
    # What takes less than the threshold is not told.
    return statistics.median(durations + [16.0] * (KEYS - len(durations)))
