"""The annotators' manual says what the product does: its keys are the registry's, and its pictures are there."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from playwright.sync_api import Page, expect

from tests.browser.marking import make_project
from tests.browser.person import PATIENCE_MS, Person
from tests.running_site import PROJECT, RunningSite

pytestmark = pytest.mark.timeout(600)

MANUAL = PROJECT / "docs" / "guide" / "annotators.md"
PICTURES = PROJECT / "docs" / "pictures" / "annotators"
TABLE = re.compile(r"<!-- keys: (\w+) -->\n\n\| key \| does \|\n\|---\|---\|\n((?:\|.*\n)+)")
ARROWS = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown")
#: As keyboards and the page's buttons write them, and as the registry does.
WRITTEN = {
    "Left": "ArrowLeft", "Right": "ArrowRight", "Up": "ArrowUp", "Down": "ArrowDown", "Bksp": "Backspace",
    "PgUp": "PageUp", "PgDn": "PageDown", "Esc": "Escape", "Del": "Delete",
}  # fmt: skip


def keys_of_the_manual() -> dict[str, set[str]]:
    """By scope, as the registry writes them."""
    return {
        scope: {key for row in rows.splitlines() for key in _keys_of(row.split(" | ")[0].removeprefix("| "))}
        for scope, rows in TABLE.findall(MANUAL.read_text(encoding="utf-8"))
    }


def _keys_of(cell: str) -> list[str]:
    row = re.fullmatch(r"`(.*)(\d)` … `\1(\d)`", cell)
    if row:
        return [f"{row[1]}{number}" for number in range(int(row[2]), int(row[3]) + 1)]
    return [key for written in re.findall(r"`([^`]+)`", cell) for key in _as_registered(written)]


def _as_registered(written: str) -> list[str]:
    modifiers, _, base = written.rpartition("+") if len(written) > 1 else ("", "", written)
    prefix = f"{modifiers}+" if modifiers else ""
    bases = ARROWS if base == "arrows" else (WRITTEN.get(base, base),)
    return [f"{prefix}{each}" for each in bases]


def test_every_key_of_the_manual_exists_and_every_key_is_in_the_manual(page: Page, site: RunningSite) -> None:
    make_project(site, slug="manual", photographs=[])
    Person(page, site, "ana")
    registered: dict[str, set[str]] = defaultdict(set)
    for stage in ("object", "pick", "pose"):
        page.goto(f"/p/manual/work/{stage}")
        expect(page.locator("#app")).to_have_attribute("data-phase", "empty", timeout=PATIENCE_MS)
        for command in page.evaluate("window.__candid8.commands()"):
            registered[command["scope"]].update(command["keys"])
    assert keys_of_the_manual() == dict(registered)


def test_every_picture_of_the_manual_is_there_and_light_and_none_is_left_over() -> None:
    shown = set(re.findall(r"\(\.\./pictures/annotators/([\w-]+\.jpg)\)", MANUAL.read_text(encoding="utf-8")))
    files = {file.name: file.stat().st_size for file in PICTURES.iterdir()}
    assert shown == set(files)
    assert max(files.values()) < 120_000 and sum(files.values()) < 3_000_000
