"""A person at the site: logs in, waits for screens as people do, and reads what the page says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.running_site import RunningSite

#: Patience with a software renderer on two busy cores, not a budget.
PATIENCE_MS = 180_000


class Person:
    """One logged-in demo account in a browser page of its own."""

    def __init__(self, page: Page, site: RunningSite, name: str, *, reads: bool = True) -> None:
        """``reads``: has acknowledged the demo project's guidelines, so that work can begin."""
        self.page, self.site, self.name = page, site, name
        page.set_default_timeout(PATIENCE_MS)
        page.goto("/login")
        self.logs_in()
        if reads:
            self.acknowledges()

    def logs_in(self) -> None:
        """Fills the page that asks who one is."""
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password").fill(password_of(self.site, self.name))
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login" not in url)

    def acknowledges(self) -> None:
        """Says by the interface that the newest guidelines of every stage are read."""
        for guide in self.asks(f"/projects/{self.project_id()}/guidelines")["stages"]:
            if guide["version"] and not guide["is_acknowledged"]:
                self.tells(f"/guideline-versions/{guide['version']['id']}/acknowledge")

    def project_id(self) -> int:
        return int(next(each["id"] for each in self.asks("/me")["projects"] if each["slug"] == "demo"))

    def tells(self, path: str) -> Any:
        """A POST of the HTTP interface with this person's session."""
        cookies = {cookie["name"]: cookie["value"] for cookie in self.page.context.cookies()}
        token = {"X-CSRFToken": cookies["csrftoken"], "Referer": self.page.url}
        reply = self.page.request.post(f"/api/v1{path}", data={}, headers=token)
        assert reply.ok, f"{reply.status} {path}: {reply.text()[:300]}"
        return reply.json()

    def opens_stage(self, stage: str) -> str:
        """The stage's page with a task on it; returns the assignment."""
        self.page.goto(f"/p/demo/work/{stage}")
        return self.waits_for_task(after="")

    def waits_for_task(self, *, after: str) -> str:
        """Waits until another task than ``after`` is drawn; returns its assignment."""
        app = self.page.locator("#app")

        def is_there() -> bool:
            task = app.get_attribute("data-task")
            return bool(task) and task != after and app.get_attribute("data-ready") == "1"

        waits_until(is_there, what=f"a task of {self.page.url}", told=lambda: app.inner_text()[:600])
        return app.get_attribute("data-task") or ""

    def marks_a_box(self, *, half_width: int = 110, half_height: int = 90) -> None:
        """Stage 1: drags a box around the middle of the photo."""
        work = self.page.locator("#app canvas").first.bounding_box()
        assert work is not None
        x, y = work["x"] + work["width"] / 2, work["y"] + work["height"] / 2
        self.presses("b")
        self.drags((x - half_width, y - half_height), (x + half_width, y + half_height))

    def drags(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=6)
        self.page.mouse.up()

    def names(self, label: str) -> None:
        """Stage 1: types the object's name and goes back to the photo."""
        self.presses("l")
        self.page.keyboard.type(label)
        self.presses("Enter")

    def photo(self) -> str:
        """The name of the photograph of the task in hand."""
        return str(self.page.evaluate("window.__candid8.state().claim.task.photo.name"))

    def skips(self) -> None:
        """Lets go of the task for good, with the first of the reasons."""
        self.presses("s")
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Skip").click()
        expect(dialog).to_have_count(0)

    def stage(self) -> dict[str, Any]:
        """What the stage says of itself (test handle)."""
        return dict(self.page.evaluate("window.__candid8.stage()"))

    def asks(self, path: str) -> Any:
        """A GET of the HTTP interface with this person's session."""
        reply = self.page.request.get(f"/api/v1{path}")
        assert reply.ok, f"{reply.status} {path}: {reply.text()[:300]}"
        return reply.json()

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


def waits_until(is_so: Callable[[], bool], *, what: str, told: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}. The page says: {told()}"
        time.sleep(0.25)


def says(page: Page, text: str) -> None:
    expect(page.locator("body")).to_contain_text(text, timeout=PATIENCE_MS)


def password_of(site: RunningSite, name: str) -> str:
    """Of a demo account, as the site wrote it down."""
    for line in (site.home / "demo_accounts.txt").read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            return words[-1]
    raise AssertionError(f"demo_accounts.txt has no {name}")
