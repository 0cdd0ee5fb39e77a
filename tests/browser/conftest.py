"""A running site and a real Chromium for the browser tests; a page fails its test on any console error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.visitor import visit
from tests.chromium import Chromium, find_chromium
from tests.running_site import PROJECT, RunningSite, running_site


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
def own_site(tmp_path: Path) -> Iterator[RunningSite]:
    """A stack that nobody has used: for a walk through whole rounds, which counts on what is there and what waits."""
    with running_site(tmp_path / "home", extra={"BROWSER_TEST_HANDLE": "true"}) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: RunningSite) -> Iterator[Page]:
    """A fresh visitor; after the test, no console error and no refused request may have happened."""
    with visit(browser, site) as page:
        yield page


@pytest.fixture
def own_page(browser: Browser, own_site: RunningSite) -> Iterator[Page]:
    """A fresh visitor of the test's own stack, watched as `page` is."""
    with visit(browser, own_site) as page:
        yield page
