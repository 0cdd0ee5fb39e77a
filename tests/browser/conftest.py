"""A running site and a real Chromium for the browser tests; a page fails its test on any console error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.chromium import Chromium, find_chromium
from tests.running_site import PROJECT, RunningSite, running_site

VIEWPORT = {"width": 1280, "height": 800}
SHOTS = PROJECT / ".candid8" / "shots"

# What a software renderer says of itself; none of it is a fault of the page.
HARMLESS = re.compile(r"GPU stall due to ReadPixels|GL Driver Message|Too many active WebGL contexts")


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    return find_chromium(PROJECT / ".candid8" / "browser")


@pytest.fixture(scope="session")
def browser(chromium: Chromium) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=list(chromium.arguments),
            env=dict(chromium.environment) or None,
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """The whole stack with the demo project, shared by the session's tests."""
    home = tmp_path_factory.mktemp("site") / "home"
    with running_site(home, extra={"BROWSER_TEST_HANDLE": "true"}) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: RunningSite) -> Iterator[Page]:
    """A fresh visitor; after the test, no console error and no failed request may have happened."""
    context = browser.new_context(base_url=site.url, viewport=VIEWPORT)
    page = context.new_page()
    faults: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not HARMLESS.search(message.text):
            faults.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        if response.status >= 500:
            faults.append(f"{response.status} {response.request.method} {response.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("response", on_response)
    yield page
    context.close()
    assert not faults, "\n".join(faults)


@pytest.fixture
def shot(page: Page) -> Callable[[str], Path]:
    """Save the screen as `.candid8/shots/NAME.png`, for people to look at."""

    def save(name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        page.screenshot(path=path)
        return path

    return save
