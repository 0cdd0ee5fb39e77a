"""An ML engineer turns a whole round in the admin by clicking; every page on the way is clean for axe."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.axe import cut_off, in_both_themes
from tests.browser.engineers_round import EngineersRound, Size
from tests.browser.person import Person
from tests.browser.visitor import shot
from tests.running_site import PROJECT, RunningSite

pytestmark = pytest.mark.timeout(900)

MANUAL = PROJECT / "docs" / "guide" / "ml-engineers.md"
PICTURES = PROJECT / "docs" / "pictures" / "engineers"


def test_an_engineer_turns_a_round_from_opening_it_to_undoing_a_mistake(
    own_page: Page, own_site: RunningSite
) -> None:
    faults: list[str] = []

    def takes(shown: Page, name: str, of: Locator | None) -> None:
        shot(of or shown, f"engineer-{name}")
        if of is None:
            faults.extend(in_both_themes(shown, name))
            faults.extend(cut_off(shown, name, width=640, height=400))

    own_page.emulate_media(reduced_motion="reduce")
    EngineersRound(Person(own_page, own_site, "mel", reads=False), takes, Size()).turns()
    assert not faults, "\n".join(faults)


def test_every_picture_of_the_engineers_manual_is_there_and_light_and_none_is_left_over() -> None:
    shown = set(re.findall(r"\(\.\./pictures/engineers/([\w-]+\.jpg)\)", MANUAL.read_text(encoding="utf-8")))
    files = {file.name: file.stat().st_size for file in PICTURES.iterdir()}
    assert shown == set(files)
    assert max(files.values()) < 120_000 and sum(files.values()) < 1_500_000


def test_every_address_of_the_manuals_scripts_is_in_the_interface() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    known = re.findall(r"^  /api/v1(/\S+):$", (PROJECT / "docs" / "openapi.yaml").read_text(), re.MULTILINE)
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in known]
    said = re.findall(r"^(?:get|post) +'?(/[^\s'?]+)", text, re.MULTILINE)
    said += [re.sub(r"\{[^}]+\}", "1", path) for path in re.findall(r'mel\.(?:get|post)\(f?"(/[^"]+)"', text)]
    assert len(said) >= 15
    assert [path for path in said if not any(each.fullmatch(path) for each in patterns)] == []
