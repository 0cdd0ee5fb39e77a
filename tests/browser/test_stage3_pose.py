"""Stage 3 as people do it: one of them has only the keyboard, the other only the mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.person import Person, says, waits_until
from tests.browser.visitor import shot
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

#: The demo's photograph with measured depth; its objects are confirmed from the start.
PUTS_A_SHAPE_IN_FRONT_OF_THE_QUEUE = """
import time
from engine.models import AnnotationTask, Candidate
from engine.services import stage3
from modelzoo.contracts import Pose
while not (made := Candidate.objects.filter(target__label="{label}").order_by("id").first()):
    time.sleep(1)
away = [1.05 * v for v in made.pose["translation"]]  # behind its points, so that there is something to mend
stage3.record_layout_proposal(
    candidate_id=made.pk, checkpoint_id=made.checkpoint_id, source="behind",
    pose=Pose(**{{**made.pose, "translation": away}}), mask_iou=None, fallbacks=[],
)
AnnotationTask.objects.filter(candidate=made, stage="pose").update(priority=100)
"""

# Beside the shape's middle on the photo, in plain steps of the crosshair.
Place = tuple[float, float]


def takes_the_shape(page: Page, site: RunningSite, label: str) -> tuple[Person, str]:
    """Ana with the pose task of one of the demo's objects, and its assignment."""
    ana = Person(page, site, "ana")
    site.shell(PUTS_A_SHAPE_IN_FRONT_OF_THE_QUEUE.format(label=label))
    task = ana.opens_stage("pose")
    waits_until(lambda: ana.stage()["symmetry"]["found"] is not None, what="the look for symmetry")
    return ana, task


def rendered(ana: Person) -> dict[str, Any]:
    return dict(ana.page.evaluate("window.__candid8.renderInfo()"))


def test_a_shape_is_placed_with_the_keyboard_alone(page: Page, site: RunningSite) -> None:
    ana, task = takes_the_shape(page, site, "pack of socks")
    start = ana.stage()
    assert start["pose"] == start["proposal"] and start["first"]["residual"] is not None
    assert start["cloud"]["total"] > 100_000 and start["cloud"]["shown"] <= start["cloud"]["total"]
    shot(page, "30-pose-start")

    _nudges_in_every_way(ana)
    _sees_only_the_target(ana)
    _snaps_compares_and_puts_back(ana)
    _aligns_by_three_pairs_with_the_crosshair(ana)
    _is_warned_of_a_pose_worse_than_the_proposal(ana, task)
    made = rendered(ana)
    ana.presses("Backspace")
    assert ana.stage()["pose"] == ana.stage()["proposal"]
    ana.presses("Enter")
    waits_until(lambda: page.locator("#app").get_attribute("data-task") != task, what="the pose to be taken")
    says_what_is_stored = site.shell(
        "from engine.models import Alignment as A; a = A.objects.latest('id'); print(a.symmetry, sorted(a.actions))"
    )
    assert "nudge_rotate" in says_what_is_stored and "snap" in says_what_is_stored
    left = rendered(ana)
    if page.locator("#app").get_attribute("data-task") is None:
        assert left["geometries"] < made["geometries"] and left["textures"] < made["textures"]


def _nudges_in_every_way(ana: Person) -> None:
    """Move, turn, scale, in three sizes, in both axes; fields step by key; all of it undone and redone whole."""
    start = ana.stage()["pose"]
    ana.presses("ArrowRight", "Shift+ArrowUp", "Control+PageUp", "Alt+ArrowUp")
    ana.presses("e", "q", "ArrowLeft")
    turned = ana.stage()["pose"]
    assert turned["rotation_wxyz"] != start["rotation_wxyz"] and turned["translation"] != start["translation"]
    ana.presses("q", "r", "ArrowUp", "w")
    assert ana.stage()["pose"]["scale"] > start["scale"]
    field = ana.page.get_by_label("Position x")
    field.focus()
    before = ana.stage()["pose"]["translation"][0]
    ana.presses("ArrowUp", "Enter")
    assert ana.stage()["pose"]["translation"][0] > before
    moved = ana.stage()["pose"]
    while ana.stage()["undo"]:
        ana.presses("Control+z")
    assert ana.stage()["pose"] == start
    for _ in range(12):
        ana.presses("Control+y")
    assert ana.stage()["pose"] == moved
    ana.presses("Backspace")


def _sees_only_the_target(ana: Person) -> None:
    ana.presses("o", "2")
    assert ana.stage()["dimmed"]
    ana.page.wait_for_timeout(800)
    shot(ana.page, "31-pose-dimmed-from-above")
    for view in "134":
        ana.presses(view)
    ana.presses("5", "h")
    assert ana.stage()["hidden"]
    ana.presses("h", "o")
    assert not ana.stage()["hidden"] and not ana.stage()["dimmed"]


def _snaps_compares_and_puts_back(ana: Person) -> None:
    ana.presses("w", "Shift+PageUp", "Shift+PageUp")  # so rough that it can only get better
    before = ana.stage()["pose"]
    ana.presses("i")
    assert ana.stage()["review"] == "waiting"
    waits_until(lambda: ana.stage()["review"] != "waiting", what="the snap")
    found = ana.stage()
    told = ana.page.locator(".toasts").all_inner_texts()
    assert found["review"] == "after" and found["pose"] != before, (
        f"ICP finds a better pose for a rough one: {told}"
    )
    ana.page.wait_for_timeout(500)
    shot(ana.page, "32-pose-snapped")
    ana.page.keyboard.down("Space")
    assert ana.stage()["review"] == "before" and ana.stage()["pose"] == before
    ana.page.keyboard.up("Space")
    assert ana.stage()["pose"] == found["pose"]
    ana.presses("Escape")
    assert ana.stage()["pose"] == before and ana.stage()["review"] == "closed"
    ana.presses("i")
    waits_until(lambda: ana.stage()["review"] == "after", what="the snap again")
    again = ana.stage()["pose"]
    ana.presses("Enter")
    assert ana.stage()["pose"] == again and ana.stage()["undo"] == "snap"
    assert again["translation"] == pytest.approx(found["pose"]["translation"], abs=1e-3)
    ana.presses("Control+z")
    assert ana.stage()["pose"] == before, "a snap is one step back"


def _aligns_by_three_pairs_with_the_crosshair(ana: Person) -> None:
    """Three places around the middle of the photo's target, each on the shape and then in the scene."""
    ana.presses("Backspace")  # from the proposal, in which the shape lies over the photo
    before = ana.stage()["pose"]
    ana.presses("1", "p", "v")
    ana.page.wait_for_timeout(800)  # the view glides to the photo's camera
    for number, wanted in enumerate(((2, 3), (-3, 3), (-1, -2)), start=1):
        place = _places_a_point(ana, wanted, on="onShape", number=number)
        if number == 3:
            shot(ana.page, "33-pose-point-pairs")
        _places_a_point(ana, place, on="inScene", number=number)
    pairs = ana.stage()["pairs"]
    assert not pairs["open"], f"{pairs['refusal']} {pairs}"
    assert ana.stage()["review"] == "after"
    ana.page.wait_for_timeout(500)
    shot(ana.page, "34-pose-aligned-by-pairs")
    ana.presses("Enter")
    assert ana.stage()["pose"] != before and ana.stage()["undo"] == "pairs"


def _places_a_point(ana: Person, place: Place, *, on: str, number: int) -> Place:
    """A point there, or nearer to the middle where the shape is too thin to be met; the place that was met."""
    for nearer in (1.0, 0.6, 0.3):
        x, y = place[0] * nearer, place[1] * nearer
        _moves_the_crosshair_to_the_target(ana, x, y)
        ana.presses("Space")
        pairs = ana.stage()["pairs"]
        # The last point of all solves the pose, which closes the pairs.
        if pairs[on] == number or not pairs["open"]:
            return x, y
    raise AssertionError(f"point {number} {on}: {pairs}")


def _moves_the_crosshair_to_the_target(ana: Person, x: float, y: float) -> None:
    """So many plain steps beside the shape's middle on the photo, by arrow keys."""
    middle = ana.page.evaluate(
        "(() => { const c = window.__candid8; return c.project(c.stage().pose.translation); })()"
    )
    wanted = middle[0] + 12 * x, middle[1] + 12 * y
    for axis, (less, more) in enumerate((("ArrowLeft", "ArrowRight"), ("ArrowUp", "ArrowDown"))):
        away = wanted[axis] - ana.stage()["pairs"]["crosshair"][axis]
        for prefix, step in (("Shift+", 60), ("", 12), ("Control+", 2)):
            for _ in range(int(abs(away) // step)):
                ana.presses(f"{prefix}{more if away > 0 else less}")
            away = away % step if away > 0 else -(-away % step)


def _is_warned_of_a_pose_worse_than_the_proposal(ana: Person, task: str) -> None:
    ana.presses("w", *(["Shift+ArrowLeft"] * 4))
    waits_until(lambda: ana.page.locator(".fit-hint").is_visible(), what="the hint beside the measures")
    ana.presses("Enter")
    says(ana.page, "Submit again if it is right all the same.")
    shot(ana.page, "35-pose-worse-than-the-proposal")
    assert ana.page.locator("#app").get_attribute("data-task") == task, (
        "a warning comes before the answer goes"
    )


def test_a_shape_is_placed_with_the_mouse_alone(page: Page, site: RunningSite) -> None:
    ana, task = takes_the_shape(page, site, "book")
    _drags_the_gizmo(ana)
    _scales_and_cannot_run_away(ana)
    _looks_around_with_wheel_and_drag(ana)
    _clicks_bad_pairs_and_is_told(ana)
    _clicks(ana, "Snap")
    waits_until(lambda: ana.stage()["review"] != "waiting", what="the snap")
    if ana.stage()["review"] == "after":
        page.get_by_role("button", name="Accept").click()
        assert ana.stage()["undo"] == "snap"
    chosen = page.get_by_label("The shape looks the same when turned by")
    chosen.select_option(label="Same every 180°")
    before = ana.stage()["pose"]
    _clicks(ana, "Turn")
    assert ana.stage()["pose"]["rotation_wxyz"] != before["rotation_wxyz"]
    shot(page, "38-pose-equal-heading")
    _clicks(ana, "Reset")
    assert ana.stage()["pose"] == ana.stage()["proposal"]
    page.get_by_role("button", name="Submit").click()
    waits_until(lambda: page.locator("#app").get_attribute("data-task") != task, what="the pose to be taken")
    assert (
        site.shell("from engine.models import Alignment as A; print(A.objects.latest('id').symmetry)")
        .strip()
        .endswith("2")
    )


def _clicks(ana: Person, name: str) -> None:
    ana.page.locator(".tool-panel").get_by_role("button", name=name, exact=True).click()


def _middle(ana: Person) -> tuple[float, float]:
    x, y = ana.page.evaluate(
        "(() => { const c = window.__candid8; return c.project(c.stage().pose.translation, 'left'); })()"
    )
    return x, y


def _drags_the_gizmo(ana: Person) -> None:
    """The photo's camera looks along z, so the arrow of x points right; only x may change."""
    page, before = ana.page, ana.stage()["pose"]
    _clicks(ana, "Front")
    page.wait_for_timeout(700)
    x, y = _middle(ana)
    page.mouse.move(x + 60, y)
    page.wait_for_timeout(400)  # hovering chooses the handle
    shot(page, "36-pose-gizmo")
    ana.drags((x + 60, y), (x + 110, y))
    after = ana.stage()["pose"]
    assert after["translation"][0] > before["translation"][0]
    assert after["translation"][1:] == pytest.approx(before["translation"][1:], abs=1e-6)
    assert ana.stage()["undo"] == "gizmo_translate"
    _clicks(ana, "Undo")
    assert ana.stage()["pose"] == before, "one gesture is one step"


def _scales_and_cannot_run_away(ana: Person) -> None:
    page, before = ana.page, ana.stage()["pose"]
    _clicks(ana, "Scale")
    x, y = _middle(ana)
    for end in ((x - 400, y + 250), (x + 300, y - 300)):  # through the middle and out on the other side
        page.mouse.move(x + 1, y)  # the handle of all three axes
        page.wait_for_timeout(400)
        ana.drags((x + 1, y), end)
        factor = ana.stage()["pose"]["scale"] / before["scale"]
        assert 0.05 - 1e-9 <= factor <= 20 and factor != 1, factor
        assert ana.stage()["pose"]["translation"] == pytest.approx(before["translation"], abs=1e-6)
        _clicks(ana, "Undo")
        assert ana.stage()["pose"] == before
    _clicks(ana, "Move")


def _looks_around_with_wheel_and_drag(ana: Person) -> None:
    page, before = ana.page, ana.stage()
    eye = page.evaluate("window.__candid8.cameraState()")
    page.mouse.move(200, 620)
    page.mouse.wheel(0, -400)
    ana.drags((200, 620), (260, 560))
    waits_until(lambda: page.evaluate("window.__candid8.cameraState()") != eye, what="the view to turn")
    after = ana.stage()
    assert after["pose"] == before["pose"] and after["undo"] == before["undo"], (
        "looking never moves the shape"
    )
    waits_until(
        lambda: ana.stage()["cloud"]["shown"] == before["cloud"]["total"], what="all points, when still"
    )


def _clicks_bad_pairs_and_is_told(ana: Person) -> None:
    """Clicks in one place tell no pose; the page says what to do, and lets one stop."""
    page, before = ana.page, ana.stage()["pose"]
    _clicks(ana, "3 pairs")
    place = ana.page.evaluate(
        "(() => { const c = window.__candid8; return c.project(c.stage().pose.translation); })()"
    )
    for _ in range(6):
        page.mouse.click(place[0], place[1])
    assert "in one place" in ana.stage()["pairs"]["refusal"]
    expect(page.locator(".pair-mark.shape")).not_to_have_count(0)
    shot(page, "37-pose-pairs-refused")
    page.get_by_role("button", name="Last point back").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    assert ana.stage()["pose"] == before and not ana.stage()["pairs"]["open"]
