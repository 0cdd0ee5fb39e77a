"""Hours of work, whatever happens: answers taken back, breaks, two tabs, no line, a dead server, an ended session."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.marking import cup_photograph, make_project, opens_marking
from tests.browser.person import PATIENCE_MS, Person, says, waits_until
from tests.browser.pick_project import pick_project
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

LINE_IS_DOWN = (
    r"ERR_INTERNET_DISCONNECTED",
    r"ERR_CONNECTION",
    r"ERR_EMPTY_RESPONSE",
    r"WebSocket connection",
)
NAME = "thing for the flow"

#: Buttons of the stages that belong to no command, by their accessible names.
NO_COMMANDS = {"Show the photo large", "Dark or light", "Log out"}


@pytest.fixture(scope="module")
def flow(site: RunningSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A project of these tests' own, so that nobody else's work takes its photographs."""
    folder = tmp_path_factory.mktemp("flow")
    cups = [cup_photograph(folder / f"cup-{n}.jpg", width=600 + 2 * n) for n in range(8)]
    make_project(site, slug="flow", photographs=cups)
    return "flow"


def test_an_answer_comes_back_and_nothing_in_hand_is_lost(
    browser: Browser, site: RunningSite, flow: str
) -> None:
    with visit(browser, site) as page:
        lea = Person(page, site, "lea")
        first = opens_marking(lea, flow)
        every_button_belongs_to_a_command(lea)
        drawn = draws(lea)
        _gives_the_brush_another_key(lea)
        lea.presses("Enter")
        second = lea.waits_for_task(after=first)
        says(page, "Sent.")
        lea.presses("Control+Shift+Backspace")
        again = lea.waits_for_task(after=second)
        assert again not in (first, second)
        assert lea.stage()["maskPixels"] == pytest.approx(drawn, rel=0.02)
        expect(page.get_by_label("Name of the object")).to_have_value(NAME)
        expect(page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
        lea.presses("Alt+p")
        says(page, "You are having a break")
        expect(page.locator(".lease")).to_have_text("no task")
        shot(page, "61-break")
        lea.presses("Alt+p")
        assert lea.waits_for_task(after="") == again, "after a break the same task is there"
        assert lea.stage()["maskPixels"] == pytest.approx(drawn, rel=0.02)
        lea.presses("Enter")
        lea.waits_for_task(after=again)
        lea.presses("Shift+H")
        dialog = page.get_by_role("dialog", name="My work")
        expect(dialog.locator(f'[data-assignment="{again}"]')).to_contain_text(NAME)
        expect(dialog.locator(f'[data-assignment="{first}"]')).to_have_count(0)
        shot(page, "62-my-work")
        third = lea.page.locator("#app").get_attribute("data-task") or ""
        dialog.locator(f'[data-assignment="{again}"]').get_by_role("button", name="Take back").click()
        lea.waits_for_task(after=third)
        lea.presses("Alt+p")
        says(page, "You are having a break")


def _gives_the_brush_another_key(lea: Person) -> None:
    """The sheet finds, refuses what is taken, keeps what is chosen, and gives the usual key back."""
    page = lea.page
    lea.presses("?")
    sheet = page.get_by_role("dialog", name="Keys")
    sheet.get_by_role("searchbox").fill("brush")
    sheet.get_by_role("button", name="Change keys").click()
    for key, answer in (
        ("x", "X is taken: it means “Eraser”"),
        ("Control+w", "belongs to the browser"),
        ("m", "M now means “Brush”"),
    ):
        sheet.get_by_role("button", name="Change the key of Brush", exact=True).click()
        lea.presses(key)
        expect(sheet.get_by_role("status")).to_contain_text(answer)
    lea.presses("Escape")
    expect(sheet).to_have_count(0)
    brush = page.locator('[data-command="tool.brush"]')
    expect(brush).to_have_attribute("aria-keyshortcuts", "M")
    expect(brush.locator("kbd")).to_have_text("M")
    lea.presses("b", "d")
    assert lea.stage()["tool"] == "box", "the usual key means nothing now"
    lea.presses("m")
    assert lea.stage()["tool"] == "brush"
    assert lea.asks("/me/settings")["keys"] == {"tool.brush": ["M"]}
    page.reload()
    lea.waits_for_task(after="")
    expect(brush).to_have_attribute("aria-keyshortcuts", "M")
    lea.presses("?")
    sheet.get_by_role("button", name="Change keys").click()
    sheet.get_by_role("button", name="All usual keys again").click()
    expect(brush).to_have_attribute("aria-keyshortcuts", "D")
    lea.presses("Escape")


def test_a_line_a_server_or_a_session_that_goes_takes_nothing_along(
    browser: Browser, site: RunningSite, flow: str
) -> None:
    expected = ["401 .*", "403 .*", "50[0-9] .*"]
    with visit(browser, site, expected=expected, expected_console=LINE_IS_DOWN) as page:
        lea = Person(page, site, "lea")
        task = opens_marking(lea, flow)
        drawn = draws(lea)
        _goes_on_in_another_tab_and_back(lea, task, drawn)
        drawn = _draws_without_a_line(lea)
        _draws_while_the_server_dies(lea, site)
        _logs_in_again(lea, task)
        assert lea.stage()["maskPixels"] > drawn, (
            "what was drawn without a server and without a session is there"
        )
        page.context.set_offline(True)
        lea.presses("Enter")
        says(page, "Waiting for the connection")
        page.context.set_offline(False)
        after = lea.waits_for_task(after=task)
        lea.presses("Control+Shift+Backspace")
        lea.waits_for_task(after=after)
        expect(page.get_by_label("Name of the object")).to_have_value(NAME)
        lea.presses("Alt+p")
        says(page, "You are having a break")


def draws(lea: Person) -> int:
    """Stage 1: a box with a name, saved; its pixels."""
    if lea.stage()["maskPixels"] > 0:
        lea.presses("Backspace")
    lea.marks_a_box()
    lea.names(NAME)
    expect(lea.page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
    return int(lea.stage()["maskPixels"])


def _goes_on_in_another_tab_and_back(lea: Person, task: str, drawn: int) -> None:
    first = lea.page
    second = first.context.new_page()
    second.goto(first.url)
    says(second, "This stage is open in another tab")
    second.get_by_role("button", name="Work here instead").click()
    lea.page = second
    assert lea.waits_for_task(after="") == task
    assert lea.stage()["maskPixels"] == pytest.approx(drawn, rel=0.02)
    says(first, "This stage is open in another tab")
    first.get_by_role("button", name="Work here instead").click()
    lea.page = first
    assert lea.waits_for_task(after="") == task
    second.close()
    first.bring_to_front()


def _draws_without_a_line(lea: Person) -> int:
    """The browser keeps what the server cannot; the server gets it when the line is back."""
    page = lea.page
    page.context.set_offline(True)
    _strokes(lea, below=100)
    expect(page.locator(".saved")).to_have_text("kept in this browser", timeout=PATIENCE_MS)
    page.context.set_offline(False)
    expect(page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
    return int(lea.stage()["maskPixels"])


def _strokes(lea: Person, *, below: int) -> None:
    """A stroke of the brush so many pixels below the middle: another place each time, or nothing would change."""
    work = lea.page.locator("#app canvas").first.bounding_box()
    assert work is not None
    x, y = work["x"] + work["width"] / 2, work["y"] + work["height"] / 2
    lea.presses("d")
    lea.drags((x + 60, y + below), (x + 130, y + below + 20))


def _draws_while_the_server_dies(lea: Person, site: RunningSite) -> None:
    os.kill(_web_process(site), signal.SIGKILL)
    _strokes(lea, below=140)
    expect(lea.page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)


def _web_process(site: RunningSite) -> int:
    """The server of the pages, among the supervisor's children."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:  # ended in the meantime
            continue
        if parent == site.supervisor and b"uvicorn" in command:
            return int(folder.name)
    raise AssertionError("the site has no web process")


def _logs_in_again(lea: Person, task: str) -> None:
    """A session that ends is told at the next save; the drawing waits in the browser."""
    page = lea.page
    page.context.clear_cookies()
    _strokes(lea, below=180)
    says(page, "You are logged out")
    before = page.url
    page.get_by_role("link", name="Log in").click()
    lea.logs_in()
    assert page.url == before
    assert lea.waits_for_task(after="") == task


def every_button_belongs_to_a_command(lea: Person) -> None:
    """What a mouse can do, a key can do: no button of a stage is outside the registry without a name in NO_COMMANDS."""
    strangers = lea.page.evaluate(
        """() => [...document.querySelectorAll("#app .shell button:not([data-command]), #app .shell a.button")]
            .filter((b) => b.checkVisibility() && !b.closest(".options, .targets, .flags, .offer"))
            .map((b) => (b.getAttribute("aria-label") || b.title || b.textContent.trim()).split(":")[0])"""
    )
    assert set(strangers) <= NO_COMMANDS, strangers
    commands = {command["id"] for command in lea.page.evaluate("window.__candid8.commands()")}
    shown = lea.page.evaluate(
        "[...document.querySelectorAll('[data-command]')].map((b) => b.dataset.command)"
    )
    assert set(shown) <= commands


def test_a_pick_comes_back_with_winner_and_rating(page: Page, site: RunningSite) -> None:
    project = pick_project(site, "flow-picks", mode="grid", num_tasks=2)
    ana = Person(page, site, "ana")
    page.goto(f"/p/{project.slug}/work/pick")
    first = ana.waits_for_task(after="")
    every_button_belongs_to_a_command(ana)
    winner = ana.stage()["cells"][2]["id"]
    ana.presses("3", "4", "r", "Enter")
    waits_until(lambda: page.locator("#app").get_attribute("data-task") != first, what="the end of the pick")
    says(page, "Sent.")
    page.locator(".toasts").get_by_role("button", name="Take it back").click()
    waits_until(
        lambda: (
            page.locator("#app").get_attribute("data-task") not in (None, first)
            and ana.stage().get("winner") == winner
        ),
        what="the pick",
    )
    assert (ana.stage()["shape"], ana.stage()["texture"]) == (4, 4)
    ana.presses("Alt+p")
    says(page, "You are having a break")
