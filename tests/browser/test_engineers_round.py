"""An ML engineer turns a whole round in the admin by clicking; every page on the way is clean for axe."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.axe import cut_off, in_both_themes
from tests.browser.engineers_round import EngineersRound, Size
from tests.browser.person import Person
from tests.browser.visitor import shot
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)


def test_an_engineer_turns_a_round_from_opening_it_to_undoing_a_mistake(
    page: Page, site: RunningSite
) -> None:
    faults: list[str] = []

    def takes(shown: Page, name: str, of: Locator | None) -> None:
        shot(shown, f"engineer-{name}")
        if of is None:
            faults.extend(in_both_themes(shown, name))
            faults.extend(cut_off(shown, name, width=640, height=400))

    page.emulate_media(reduced_motion="reduce")
    EngineersRound(Person(page, site, "mel", reads=False), takes, Size()).turns()
    assert not faults, "\n".join(faults)
