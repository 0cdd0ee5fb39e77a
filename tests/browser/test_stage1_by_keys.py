"""Stage 1 from the first key to the last without a pointer: box, strokes, scissors, polygon, points, names, flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.marking import (
    COUNTS_EVENTS,
    READS_ANSWERS,
    cup_photograph,
    make_project,
    opens_marking,
    waits_for_refinement,
)
from tests.browser.person import Person, waits_until
from tests.browser.visitor import shot
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

SLUG = "marks-by-keys"


class Keys(Person):
    """A person who has a keyboard and nothing else."""

    def moves(self, direction: str, *, coarse: int = 0, normal: int = 0, fine: int = 0) -> None:
        self.presses(
            *[f"Shift+{direction}"] * coarse, *[direction] * normal, *[f"Control+{direction}"] * fine
        )

    def warned_of(self, code: str) -> bool:
        return code in self.stage()["warnings"]

    def holds_space_and_moves(self, direction: str, times: int) -> None:
        self.page.keyboard.down("Space")
        self.moves(direction, normal=times)
        self.page.keyboard.up("Space")


def test_two_objects_are_marked_mended_named_and_handed_in_by_keys_alone(
    page: Page, site: RunningSite, tmp_path: Path
) -> None:
    make_project(site, slug=SLUG, photographs=[cup_photograph(tmp_path / "cup.jpg")])
    page.add_init_script(COUNTS_EVENTS)
    ana = Keys(page, site, "ana")
    task = opens_marking(ana, SLUG)

    # A box, its corners where the crosshair stood; fine steps are one pixel.
    ana.presses("b", "Space")
    start = ana.stage()["cursor"]
    ana.moves("ArrowLeft", coarse=3, fine=2)
    ana.moves("ArrowUp", coarse=3)
    assert ana.stage()["cursor"][0] == pytest.approx(
        start[0] - 3 * 48 / ana.stage()["view"]["scale"] - 2 * max(1, 1 / ana.stage()["view"]["scale"])
    )
    ana.presses("Space")
    assert ana.stage()["isBoxing"]
    ana.moves("ArrowRight", coarse=6)
    ana.moves("ArrowDown", coarse=5)
    shot(page, "30-keys-box")
    ana.presses("Space")
    boxed = ana.stage()["maskPixels"]
    assert boxed > 0.05 * 600 * 400 and not ana.stage()["isBoxing"]
    ana.presses("r")
    waits_for_refinement(ana, before=boxed)
    refined = ana.stage()["maskPixels"]
    assert 0 < refined < boxed
    shot(page, "31-keys-refined")

    # Strokes: held Space paints, brackets size the brush; both kinds are hints for the next refinement.
    ana.presses("d", "]", "]", "[")
    ana.holds_space_and_moves("ArrowLeft", 6)
    painted = ana.stage()["maskPixels"]
    assert painted > refined and ana.stage()["hints"] == 1
    ana.presses("x")
    ana.holds_space_and_moves("ArrowUp", 2)
    assert ana.stage()["maskPixels"] < painted and ana.stage()["hints"] == 2
    ana.presses("Control+z")
    assert ana.stage()["maskPixels"] == painted and ana.stage()["hints"] == 1
    ana.presses("r")
    waits_until(lambda: not ana.stage()["busy"], what="the second refinement")
    assert ana.stage()["maskPixels"] == ana.stage()["countedPixels"]

    # The name by the arrows, flags, and on to another object.
    ana.presses("l")
    page.keyboard.type("sau")
    expect(page.get_by_role("option").first).to_contain_text("saucer")
    ana.presses("Enter", "Alt+1", "Alt+4", "n")
    assert ana.stage()["targets"] == 1 and ana.stage()["maskPixels"] == 0

    # Scissors: three corners, one taken back and put again, closed by Enter.
    ana.presses("c", "Space")
    ana.moves("ArrowLeft", coarse=2)
    ana.presses("Space")
    ana.moves("ArrowUp", coarse=2)
    ana.presses("Space")
    assert ana.stage()["corners"] == 3
    ana.presses("Backspace")
    assert ana.stage()["corners"] == 2
    ana.presses("Space")
    shot(page, "32-keys-scissors")
    ana.presses("Enter")
    cut = ana.stage()["maskPixels"]
    assert cut > 0 and ana.stage()["corners"] == 0

    ana.presses("Control+z")

    # A polygon, and a dab far from it: two parts, which is said and stops nobody. It touches the border, too.
    ana.presses("p")
    ana.moves("ArrowUp", coarse=8)
    for direction in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        ana.presses("Space")
        ana.moves(direction, coarse=2)
    ana.presses("Enter")
    outlined = ana.stage()["maskPixels"]
    waits_until(lambda: ana.warned_of("border"), what="the warning about the border")
    assert outlined > 0 and not ana.warned_of("parts")
    ana.presses("d")
    ana.moves("ArrowDown", coarse=3)
    ana.holds_space_and_moves("ArrowLeft", 1)
    waits_until(lambda: ana.warned_of("parts"), what="the warning about parts")
    expect(page.locator(".mask-warnings")).to_contain_text("2 parts")
    shot(page, "33-keys-warning")
    ana.presses("Control+z")
    waits_until(lambda: not ana.warned_of("parts"), what="the warning to go")
    assert ana.stage()["maskPixels"] == outlined

    # What was named last comes first.
    ana.presses("l")
    expect(page.get_by_role("option").first).to_have_text("saucerrecent")
    page.keyboard.type("table")
    ana.presses("Enter")

    # Back to the first object, and forth again; nothing of either is lost.
    second = ana.stage()["maskPixels"]
    ana.presses("o")
    expect(page.get_by_label("Name of the object")).to_have_value("saucer")
    expect(page.get_by_label("occluded")).to_be_checked()
    assert ana.stage()["targets"] == 1 and ana.stage()["maskPixels"] != second
    ana.presses("o")
    expect(page.get_by_label("Name of the object")).to_have_value("table")
    assert ana.stage()["maskPixels"] == second

    # Views: real pixels, the whole photo, closer, aside, and the photo bare while V is held.
    ana.presses("z")
    assert ana.stage()["view"]["scale"] == pytest.approx(1)
    ana.presses("+")
    assert ana.stage()["view"]["scale"] == pytest.approx(1.25)
    before = ana.stage()["view"]["x"]
    ana.presses("Alt+ArrowRight")
    assert ana.stage()["view"]["x"] == pytest.approx(before - 64)
    ana.presses("0")
    page.keyboard.down("v")
    shot(page, "34-keys-bare")
    page.keyboard.up("v")
    ana.presses("?")
    expect(page.get_by_role("dialog")).to_contain_text("Scissors")
    ana.presses("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    ana.presses("Enter")
    waits_until(
        lambda: page.locator("#app").get_attribute("data-task") != task,
        what="the answer to be taken",
        told=lambda: page.locator("#app").inner_text()[-600:],
    )
    assert page.evaluate("window.__hands.pointer") == 0
    answers = json.loads(site.shell(READS_ANSWERS.format(slug=SLUG)).strip().splitlines()[-1])
    assert [(label, flags) for label, flags, _, _ in answers] == [
        ("saucer", ["occluded", "reflective"]),
        ("table", []),
    ]
    assert "border" in answers[1][2], "the warning that stood is kept with the answer"


def test_points_by_keys_find_an_object_and_its_ground(page: Page, site: RunningSite, tmp_path: Path) -> None:
    slug = "points-by-keys"
    make_project(site, slug=slug, photographs=[cup_photograph(tmp_path / "cup.jpg")])
    ana = Keys(page, site, "ana")
    opens_marking(ana, slug)
    ana.presses("t", "Space", "Space")
    waits_for_refinement(ana, before=0)
    assert ana.stage()["points"] == 1 and ana.stage()["maskPixels"] > 100
    ana.moves("ArrowUp", coarse=5)
    ana.presses("Shift+Space")
    waits_until(lambda: not ana.stage()["busy"] and ana.stage()["points"] == 2, what="the second point")
    shot(page, "36-keys-points")
    ana.presses("Backspace")
    assert (ana.stage()["points"], ana.stage()["maskPixels"]) == (0, 0)
    ana.skips()
