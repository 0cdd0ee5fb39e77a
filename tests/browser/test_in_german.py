"""The second language in use: chosen on a page, it holds on all pages, and nothing of it is cut off."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import cut_off
from tests.browser.person import PATIENCE_MS, Person
from tests.browser.quick_people import QuickPerson
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)


def test_german_once_chosen_holds_on_all_pages_and_fits(browser: Browser, site: RunningSite) -> None:
    faults: list[str] = []
    QuickPerson(site, "ana").marks("Tasse")  # so that the bar has her pace to show
    with visit(browser, site) as page:
        Person(page, site, "ana")
        page.goto("/p/demo/")
        expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        with page.expect_navigation():
            page.get_by_label("Language").select_option("de")
        expect(page.get_by_role("heading", name="Fotos")).to_be_visible(timeout=PATIENCE_MS)
        faults += _fits(page, "home")
        for stage in ("object", "pick", "pose"):
            page.goto(f"/p/demo/work/{stage}")
            expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
            expect(page.get_by_role("button", name="Absenden")).to_be_visible()
            if stage == "object":
                expect(page.locator(".pace")).not_to_be_empty()
            faults += _fits(page, stage)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Tasten")).to_be_visible()
        faults += _fits(page, "keys")
        page.goto("/")
        expect(page.get_by_role("heading", name="Ihre Projekte")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("lang", "de")
        page.goto("/p/demo/guidelines/")
        with page.expect_navigation():
            page.get_by_label("Sprache").select_option("")
        expect(page.get_by_role("heading", name="Guidelines", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    assert not faults, "\n".join(faults)


def _fits(page: Page, name: str) -> list[str]:
    shot(page, f"german-{name}")
    return cut_off(page, f"german-{name}", width=1280, height=800)
