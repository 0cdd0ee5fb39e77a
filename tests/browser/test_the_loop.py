"""The whole loop as people go through it: mark, pick, hand over, place, freeze, train, promote, and roll back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import cut_off, in_both_themes
from tests.browser.person import PATIENCE_MS, Person, says, waits_until
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

STEPS = "6"  # of a run: enough to see curves, few enough for a test
OBJECTS = "4"  # of its evaluation: enough to see the report
#: Of what was handed over last: whether a time and a way of looking are kept.
HOW_IT_WAS_LOOKED_AT = (
    "from engine.models import Selection as S; said = S.objects.filter(winner=None).latest('id'); "
    "print(said.assignment.seconds > 0, 'dwell' in said.attention)"
)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def ana(own_page: Page, own_site: RunningSite) -> Person:
    return Person(own_page, own_site, "ana")


def test_a_photograph_becomes_a_better_model(
    ana: Person, browser: Browser, own_site: RunningSite, tmp_path: Path
) -> None:
    _looks_around(ana)
    _marks_an_object(ana)
    _picks_by_comparing_two_at_a_time(ana)
    _picks_directly(ana)
    _hands_the_third_to_an_artist(ana)
    _places_a_shape(ana)
    _an_artist_models_the_hard_case(browser, own_site, tmp_path)
    _an_engineer_turns_the_round(browser, own_site, ana)


def _looks_around(ana: Person) -> None:
    ana.page.goto("/p/demo/")
    expect(ana.page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    expect(ana.page.locator("img").first).to_be_visible()
    shot(ana.page, "01-home")


def _marks_an_object(ana: Person) -> None:
    """Box, server refinement, brush, undo, name, submit; then the next photo is there by itself."""
    first = ana.opens_stage("object")
    shot(ana.page, "02-object-suggestions")
    work = ana.page.locator("#app canvas").first.bounding_box()
    assert work is not None
    middle = work["x"] + work["width"] / 2, work["y"] + work["height"] / 2
    ana.marks_a_box()
    boxed = ana.stage()["maskPixels"]
    assert boxed > 0
    ana.presses("r")
    waits_until(lambda: not ana.stage()["busy"] and ana.stage()["maskPixels"] != boxed, what="the refinement")
    refined = ana.stage()["maskPixels"]
    ana.presses("d")
    ana.drags(middle, (middle[0] + 40, middle[1] + 10))
    ana.presses("x")
    ana.drags((middle[0] - 60, middle[1]), (middle[0] - 40, middle[1] + 30))
    erased = ana.stage()["maskPixels"]
    ana.presses("Control+z")
    assert ana.stage()["maskPixels"] != erased, "undo takes the eraser's stroke back"
    assert refined > 0
    ana.names("thing on the table")
    shot(ana.page, "03-object-marked")
    ana.presses("Enter")
    ana.waits_for_task(after=first)


def _picks_by_comparing_two_at_a_time(ana: Person) -> None:
    first = ana.opens_stage("pick")
    cells = ana.stage()["cells"]
    assert len(cells) == 8 and all(cell["faces"] > 0 for cell in cells)
    ana.presses("t")  # stands still, so that the cells can be compared
    ana.page.wait_for_timeout(1500)
    _are_eight_different_coloured_pictures(ana.page)
    shot(ana.page, "04-pick-grid")
    for key, name in (("c", "clay"), ("n", "normals"), ("m", "colour")):
        ana.presses(key)
        assert ana.stage()["look"] == name
    ana.presses("Shift+Digit2")
    assert ana.stage()["inspecting"] == cells[1]["id"]
    ana.page.wait_for_timeout(1500)
    shot(ana.page, "05-pick-inspect")
    ana.presses("g")
    ana.page.wait_for_timeout(4000)
    shot(ana.page, "06-pick-splats")
    ana.presses("m", "Escape", "k")
    shot(ana.page, "07-pick-king-of-the-hill")
    for answer in (
        "ArrowLeft",
        "ArrowRight",
        "ArrowDown",
        "ArrowLeft",
        "ArrowRight",
        "ArrowLeft",
        "ArrowLeft",
    ):
        ana.presses(answer)
    assert ana.stage()["winner"] is not None, "seven comparisons find a winner among eight"
    ana.presses("4", "r")
    shot(ana.page, "08-pick-rated")
    ana.presses("Enter")
    ana.waits_for_task(after=first)


def _are_eight_different_coloured_pictures(page: Page) -> None:
    screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    boxes = [cell.bounding_box() for cell in page.locator(".work .cell").all()]
    pictures = [
        np.asarray(
            screen.crop(
                (int(b["x"]), int(b["y"]), int(b["x"] + b["width"]), int(b["y"] + b["height"]))
            ).resize((96, 144)),
            dtype=np.float32,
        )
        for b in boxes
        if b is not None
    ]
    assert len(pictures) == 8
    for picture in pictures:
        is_coloured = (picture.max(axis=2) - picture.min(axis=2)) > 25
        assert is_coloured.mean() > 0.02, "a candidate stands in each cell, with colours"
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).mean() > 1.0, "no two candidates look the same"


def _picks_directly(ana: Person) -> None:
    task = ana.waits_for_task(after="")
    third = ana.stage()["cells"][2]["id"]
    ana.presses("3")
    assert ana.stage()["winner"] == third
    ana.presses("5", "t", "Enter")
    ana.waits_for_task(after=task)


def _hands_the_third_to_an_artist(ana: Person) -> None:
    ana.presses("e")
    dialog = ana.page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The handle is missing in all eight.")
    shot(ana.page, "09-pick-none-good-enough")
    dialog.get_by_role("button", name="Hand over").click()
    expect(dialog).to_have_count(0)
    ana.page.wait_for_timeout(500)
    assert ana.site.shell(HOW_IT_WAS_LOOKED_AT) == "True True"


def _is_accessible(page: Page, name: str) -> None:
    """Of screens that only a walk like this one reaches; all others are looked at in test_accessible."""
    faults = in_both_themes(page, name) + cut_off(page, name, width=1280, height=800)
    assert not faults, "\n".join(faults)


def _places_a_shape(ana: Person) -> None:
    """Starts from the model's proposal; keys and the gizmo move it; the overlap is read live."""
    task = ana.opens_stage("pose")
    start = ana.stage()
    assert start["pose"] == start["proposal"]
    ana.page.wait_for_timeout(1500)
    shot(ana.page, "10-pose-proposal")
    _is_accessible(ana.page, "pose")
    ana.presses("ArrowRight", "ArrowRight", "e", "ArrowLeft", "r", "ArrowUp", "w")
    moved = ana.stage()
    assert moved["pose"]["translation"] != start["pose"]["translation"]
    assert moved["pose"]["rotation_wxyz"] != start["pose"]["rotation_wxyz"]
    assert moved["pose"]["scale"] != start["pose"]["scale"]
    ana.presses("Control+z", "Control+z", "Control+z", "Control+z")
    ana.presses("1")
    ana.page.wait_for_timeout(1000)
    overlap = ana.page.evaluate("window.__candid8.iou()")
    assert overlap is not None and 0 <= overlap <= 1
    shot(ana.page, "11-pose-photo-camera")
    ana.presses("Enter")
    app = ana.page.locator("#app")
    waits_until(lambda: app.get_attribute("data-task") != task, what="the pose to be taken")


def _an_artist_models_the_hard_case(browser: Browser, site: RunningSite, folder: Path) -> None:
    with visit(browser, site, expected=["400 POST .*/upload"]) as page:
        art = Person(page, site, "art")
        page.goto("/p/demo/artists/")
        page.get_by_role("link").filter(has_text="handle is missing").first.click()
        expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        says(page, "The handle is missing in all eight.")
        page.get_by_role("button", name="Claim").click()
        bad = folder / "broken.glb"
        bad.write_bytes(b"glTF but not really")
        page.locator("input[type=file]").set_input_files(bad)
        says(page, "GLB")
        good = folder / "model.glb"
        good.write_bytes(_artists_model())
        page.locator("input[type=file]").set_input_files(good)
        case = int(page.url.rstrip("/").rsplit("/", 1)[1])
        waits_until(lambda: art.asks(f"/artist-cases/{case}")["status"] == "ACCEPTED", what="the validation")
        page.wait_for_timeout(1500)
        shot(page, "12-artist-case")
        _is_accessible(page, "artist-case")


def _an_engineer_turns_the_round(browser: Browser, site: RunningSite, ana: Person) -> None:
    with visit(browser, site) as page:
        mel = Person(page, site, "mel")
        page.goto("/admin/")
        page.get_by_role("link", name="Round 1").first.click()
        shot(page, "13-round")
        page.get_by_role("button", name="Freeze dataset version").click()
        says(page, "Demonstrations")
        shot(page, "14-dataset")
        dataset_url = page.url
        fine_tuned = _trains(page, "SFT", name="15-run-sft")
        page.goto(dataset_url)
        aligned = _trains(page, "DPO", name="16-run-dpo", base=fine_tuned)
        shot(page, "17-checkpoint")
        waits_until(lambda: _is_verified(mel, aligned), what="the checkpoint's verification")
        page.reload()
        page.get_by_role("button", name="Deploy").click()
        says(page, "Roll back to shipped")
        assert _maker_of_next_batch(ana, mel) == aligned, "the next batch names the promoted checkpoint"
        page.goto("/admin/console/deployments/")
        page.get_by_role("button", name="Roll back").click()
        says(page, f"Roll back to {aligned}")
        shot(page, "18-deployments")
        assert _maker_of_next_batch(ana, mel).startswith("shipped"), "rolled back within one batch"


def _trains(page: Page, objective: str, *, name: str, base: str | None = None) -> str:
    """Starts a run from the dataset's page and waits for its checkpoint; returns its name, on whose page we are."""
    panel = page.locator(f"#start-{objective.lower()}")
    panel.get_by_label("Steps").fill(STEPS)
    panel.get_by_label("Held-out objects").fill(OBJECTS)
    if base is not None:
        chooser = panel.get_by_label("Base checkpoint")
        names = chooser.locator("option").all_inner_texts()
        chooser.select_option(label=next(name for name in names if name.startswith(base)))
    panel.get_by_role("button", name=f"Start {objective} run").click()
    page.wait_for_url("**/runs/**")
    made = page.locator("a.button.primary", has_text="Checkpoint")
    expect(made).to_be_visible(timeout=PATIENCE_MS * 2)
    expect(page.locator("[data-candid8-curve] canvas").first).to_be_visible()
    page.wait_for_timeout(800)
    shot(page, name)
    made.click()
    page.wait_for_url("**/checkpoints/**")
    made_name: str = page.locator("h1").evaluate("heading => heading.firstChild.textContent.trim()")
    return made_name


def _is_verified(mel: Person, name: str) -> bool:
    rows = mel.asks("/checkpoints")
    rows = rows["results"] if isinstance(rows, dict) else rows
    return any(row["name"] == name and row["status"] == "VERIFIED" for row in rows)


def _maker_of_next_batch(ana: Person, mel: Person) -> str:
    """Ana confirms one more object; the name of the checkpoint that made its eight candidates."""
    task = ana.opens_stage("object")
    if not ana.stage()["maskPixels"]:
        ana.marks_a_box(half_width=80, half_height=80)
    ana.names("one more")
    ana.presses("Enter")
    app = ana.page.locator("#app")
    waits_until(lambda: app.get_attribute("data-task") != task, what="the object to be taken")
    newest = ana.site.shell(
        "from engine.models import TargetObject as T; print(T.objects.filter(status='CONFIRMED').latest('id').pk)",
    )
    makers: set[str] = set()

    def has_eight() -> bool:
        traces = mel.asks(f"/targets/{newest}/lineage")["candidates"]
        makers.update(trace["checkpoint_name"] for trace in traces)
        return len(traces) == 8

    waits_until(has_eight, what="eight candidates of the new target")
    assert len(makers) == 1
    return makers.pop()


def _artists_model() -> bytes:
    """A mug as an artist would hand it in: body and handle, coloured, Y-up."""
    body = trimesh.creation.annulus(r_min=0.35, r_max=0.45, height=0.9)
    handle = trimesh.creation.torus(major_radius=0.25, minor_radius=0.05)
    handle.apply_translation((0.6, 0, 0))
    for part, colour in ((body, (200, 60, 40, 255)), (handle, (240, 230, 220, 255))):
        part.visual.vertex_colors = colour
    mug = trimesh.util.concatenate([body, handle])
    mug.apply_transform(trimesh.transformations.rotation_matrix(-1.5708, (1, 0, 0)))
    return bytes(mug.export(file_type="glb"))
