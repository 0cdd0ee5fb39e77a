"""Asks axe-core what is wrong with a screen; the canvas is the one thing it cannot judge."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.running_site import PROJECT

AXE = PROJECT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
#: WCAG 2.2 A and AA, and what axe's makers call best practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
THEMES = ("dark", "light")

RUN = """async (tags) => {
  const found = await axe.run(
    {exclude: [["canvas"]]}, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  const why = ({any, all, none}) => [...any, ...all, ...none][0]?.message ?? "";
  return found.violations.map(({id, help, nodes}) => ({id, help, nodes: nodes.slice(0, 4).map((node) =>
    `${node.target.join(" ")}  ${node.html.slice(0, 160)}  ${why(node)}`)}));
}"""
#: Left of the window or right of it, with something to press or to read in it.
CUT_OFF = """() => [...document.querySelectorAll("button, a[href], input, select, textarea, h1, h2")]
  .filter((element) => {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || element.closest("[hidden], .visually-hidden, .skip-to-content-link")) return false;
    for (let at = element.parentElement; at; at = at.parentElement) {
      if (/auto|scroll/.test(getComputedStyle(at).overflowX) && at.scrollWidth > at.clientWidth) return false;
    }
    return box.left < -1 || box.right > innerWidth + 1;
  }).map((element) => element.outerHTML.slice(0, 120))"""


def violations(page: Page) -> list[str]:
    """What axe finds in the theme that is on, a line each."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # a script tag would rightly meet the CSP
    found: list[dict[str, Any]] = page.evaluate(RUN, TAGS)
    return [f"{each['id']}: {each['help']}\n    " + "\n    ".join(each["nodes"]) for each in found]


#: Colours fade from theme to theme: what is measured half-way is nobody's.
FADED = """async () => {
  await new Promise(requestAnimationFrame);
  const fading = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(fading.map((each) => each.finished));
}"""


def in_both_themes(page: Page, name: str) -> list[str]:
    """What axe finds in the dark and in the light theme, each line with the screen's name."""
    found = []
    for theme in THEMES:
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        page.evaluate(FADED)
        found += [f"{name} ({theme}): {each}" for each in violations(page)]
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    return found


def cut_off(page: Page, name: str, *, width: int, height: int) -> list[str]:
    """What cannot be reached at a window of this size without scrolling sideways."""
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(200)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    found = [f"{name} at {width}: {each} is cut off" for each in page.evaluate(CUT_OFF)]
    if wide > 1:
        found.append(f"{name} at {width}: the page scrolls sideways by {wide} px")
    if before is not None:
        page.set_viewport_size(before)
    return found
