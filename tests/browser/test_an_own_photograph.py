"""A person puts a photograph of their own into the project by hand and begins to mark it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data

from tests.browser.person import PATIENCE_MS, Person, waits_until
from tests.browser.visitor import shot
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

NAME = "my cup.jpg"
ORIENTATION = 0x0112
TURNED_LEFT = 8  # the camera was held upright: the picture is to be turned by a quarter


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """As a telephone writes it: a JPEG that lies on its side, with the orientation in its EXIF."""
    picture = Image.fromarray(data.coffee()[:, 60:540])
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_LEFT
    path = tmp_path / NAME
    picture.transpose(Image.Transpose.ROTATE_270).save(path, quality=95, exif=exif)
    return path


def test_a_photograph_of_ones_own_appears_gets_its_points_and_can_be_marked(
    page: Page, site: RunningSite, photograph: Path
) -> None:
    lea = Person(page, site, "lea")
    page.goto("/p/demo/")
    expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    before = page.locator(".photo").count()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files…").click()
    chooser.value.set_files(photograph)
    progress = page.locator(".upload", has_text=NAME)
    expect(progress).to_be_visible()
    expect(progress).to_contain_text("added", timeout=PATIENCE_MS)
    shot(page, "20-upload")
    card = page.locator(".photo").filter(has=page.get_by_text(NAME, exact=True))
    expect(card).to_contain_text("480 × 400", timeout=PATIENCE_MS)
    expect(page.locator(".photo")).to_have_count(before + 1)
    expect(card).to_contain_text("approximate depth", timeout=PATIENCE_MS)
    shot(page, "21-upload-with-points")

    page.get_by_role("link", name="1 Object").first.click()
    task = lea.waits_for_task(after="")
    while lea.photo() != NAME:  # the photographs before it come first
        lea.skips()
        task = lea.waits_for_task(after=task)
    lea.marks_a_box(half_width=320, half_height=300)
    boxed = lea.stage()["maskPixels"]
    assert boxed > 0
    lea.presses("r")
    waits_until(lambda: not lea.stage()["busy"] and lea.stage()["maskPixels"] != boxed, what="the refinement")
    assert (lea.stage()["width"], lea.stage()["height"]) == (480, 400)
    assert lea.stage()["maskPixels"] > 0.1 * 480 * 400, "the cup was found"
    shot(page, "22-own-photograph-marked")
