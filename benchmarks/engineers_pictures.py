"""`python -m benchmarks.engineers_pictures`: a round in the admin, click by click, as docs/pictures/engineers/*.jpg."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.manual_pictures import SETTLING_MS, write_picture
from tests.browser.engineers_round import EngineersRound, Size
from tests.browser.person import PATIENCE_MS, Person
from tests.browser.visitor import VIEWPORT
from tests.chromium import find_chromium
from tests.running_site import PROJECT, RunningSite, running_site

FOLDER = PROJECT / "docs" / "pictures" / "engineers"
#: Enough steps for a curve and enough objects for intervals that say something.
SIZE = Size(steps=24, held_out=8, candidates=4)


def take(site: RunningSite, folder: Path, size: Size) -> None:
    """Turns one round of the site and keeps what mel sees on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = find_chromium(PROJECT / ".candid8" / "browser")

    def takes(page: Page, name: str, of: Locator | None) -> None:
        page.wait_for_timeout(SETTLING_MS)
        png = (of or page).screenshot(timeout=PATIENCE_MS)
        write_picture(png, folder / f"{name}.jpg")
        print(name, flush=True)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=list(chromium.arguments),
            env=dict(chromium.environment) or None,
        )
        context = browser.new_context(base_url=site.url, viewport=VIEWPORT)
        page = context.new_page()
        page.emulate_media(reduced_motion="reduce")
        try:
            EngineersRound(Person(page, site, "mel", reads=False), takes, size).turns()
        finally:
            browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engineers_pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"where they go (default: {FOLDER})")
    parser.add_argument("--steps", type=int, default=SIZE.steps)
    parser.add_argument("--objects", type=int, default=SIZE.held_out, help="held out, for each evaluation")
    options = parser.parse_args()
    size = Size(steps=options.steps, held_out=options.objects, candidates=SIZE.candidates)
    with (
        tempfile.TemporaryDirectory(prefix="candid8-pictures-") as home,
        running_site(Path(home) / "home", extra={"BROWSER_TEST_HANDLE": "true"}) as site,
    ):
        take(site, options.out, size)


if __name__ == "__main__":
    main()
