"""The arena by keyboard: blind pairs beside the photo, left, right, equal, skip; nothing tells who made what."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from tests.browser.arena_project import NAMES, ArenaProject, answers, arena_project, opened_again
from tests.browser.axe import cut_off, in_both_themes
from tests.browser.person import PATIENCE_MS, Person, says, waits_until
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(600)


class Judge:
    """A person on the arena's page, and everything that the site told their browser."""

    def __init__(self, person: Person, project: ArenaProject) -> None:
        self.person, self.page = person, person.page
        self.told: list[str] = []
        self.page.on("response", self._hears)
        self.page.goto(f"/p/{project.slug}/arena")

    def waits_for_pair(self, *, after: str = "") -> str:
        pair = self.person.waits_for_task(after=after)
        waits_until(lambda: bool(self.person.stage()["mayJudge"]), what="both shapes", told=self._says)
        return pair

    def waits_for_the_end(self) -> None:
        expect(self.page.locator("#app")).to_have_attribute("data-phase", "empty", timeout=PATIENCE_MS)

    def _says(self) -> str:
        return f"{self.person.stage()} {self.page.locator('#app').inner_text()[:300]}"

    def _hears(self, response: Response) -> None:
        kind = response.headers.get("content-type", "")
        if response.status == 200 and ("json" in kind or "html" in kind):
            self.told.append(f"{response.url} {response.text()}")


def test_pairs_are_judged_blind_by_keys_alone(page: Page, site: RunningSite) -> None:
    page.emulate_media(reduced_motion="reduce")
    project = arena_project(site, "arena", num_targets=4)
    ana = Person(page, site, "ana")
    page.goto("/p/arena/")
    page.get_by_role("link", name="4 blind pairs to judge").click()
    judge = Judge(ana, project)
    first = judge.waits_for_pair()
    cells = ana.stage()["cells"]
    assert [cell["phase"] for cell in cells] == ["ready", "ready"]
    shot(page, "arena-pair")
    faults = in_both_themes(page, "arena") + cut_off(page, "arena", width=1280, height=800)

    _looks_around(ana)
    ana.presses("ArrowLeft")
    second = judge.waits_for_pair(after=first)
    says(page, "1 judged")
    ana.presses("s")
    third = judge.waits_for_pair(after=second)
    ana.presses("ArrowRight")
    fourth = judge.waits_for_pair(after=third)
    ana.presses("ArrowDown")
    judge.waits_for_the_end()
    assert fourth != second, "a skipped pair is not shown again by itself"
    faults += in_both_themes(page, "arena-empty")
    page.get_by_role("button", name="Show those I skipped").click()
    assert judge.waits_for_pair() == second
    ana.presses("ArrowRight")
    judge.waits_for_the_end()
    says(page, "4 judged")
    expect(page.get_by_role("button", name="Show those I skipped")).to_have_count(0)

    told = answers(site, project.arena)
    assert [outcome for outcome, _, _ in told] == ["left", "right", "right", "equal"]
    assert all(seconds > 0 and status == "ANSWERED" for _, seconds, status in told)
    _nothing_told_who_made_what(judge)
    assert not faults, "\n".join(faults)


def _looks_around(ana: Person) -> None:
    """Looks, camera and the photo at the shapes' place; none of it answers anything."""
    for key, look in (("c", "clay"), ("n", "normals"), ("m", "colour")):
        ana.presses(key)
        assert ana.stage()["look"] == look
    before = ana.page.evaluate("window.__candid8.cameraState().position")
    ana.presses("Shift+ArrowLeft")
    assert ana.page.evaluate("window.__candid8.cameraState().position") != before
    ana.page.keyboard.down("Space")
    expect(ana.page.locator(".photo-over")).to_be_visible()
    assert ana.page.locator(".photo-over").get_attribute("data-places") == "2"
    shot(ana.page, "arena-photo")
    ana.page.keyboard.up("Space")
    expect(ana.page.locator(".photo-over")).to_be_hidden()
    ana.presses("?")
    sheet = ana.page.get_by_role("dialog")
    expect(sheet).to_contain_text("The blind pair")
    expect(sheet).to_contain_text("Equally good")
    ana.presses("Escape")
    expect(sheet).to_have_count(0)


def _nothing_told_who_made_what(judge: Judge) -> None:
    claims = [text for text in judge.told if "/arena-claims " in text]
    assert len(claims) >= 5 and any("/p/arena/arena " in text for text in judge.told)
    for text in judge.told:
        for word in (*NAMES, "checkpoint", "generation"):
            assert word not in text.lower(), text[:300]


def test_an_answer_that_does_not_arrive_is_sent_again_once(browser: Browser, site: RunningSite) -> None:
    project = arena_project(site, "arenatwo", num_targets=1)
    with visit(browser, site, expected_console=["net::ERR_FAILED"]) as page:
        page.emulate_media(reduced_motion="reduce")
        lea = Person(page, site, "lea")
        judge = Judge(lea, project)
        judge.waits_for_pair()
        page.route("**/answer", lambda route: route.abort())
        lea.presses("ArrowRight")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        shot(page, "arena-unsent")
        page.unroute("**/answer")
        page.get_by_role("button", name="Try again").click()
        judge.waits_for_the_end()
        says(page, "1 judged")
    assert [outcome for outcome, _, _ in answers(site, project.arena)] == ["right"]


def test_a_page_that_waits_wakes_up_when_a_pair_comes(page: Page, site: RunningSite) -> None:
    page.emulate_media(reduced_motion="reduce")
    project = arena_project(site, "arenavier", num_targets=1)
    page.route("**/arena-claims", _that_never_looks_again_by_itself)
    ana = Person(page, site, "ana")
    judge = Judge(ana, project)
    first = judge.waits_for_pair()
    ana.presses("ArrowLeft")
    judge.waits_for_the_end()
    again = opened_again(site, project.arena)
    judge.waits_for_pair(after=first)
    ana.presses("ArrowRight")
    judge.waits_for_the_end()
    assert [outcome for outcome, _, _ in answers(site, again)] == ["right"]


def _that_never_looks_again_by_itself(route: Route) -> None:
    reply = route.fetch()
    route.fulfill(response=reply, headers={**reply.headers, "retry-after": "86400"})


def test_in_german_and_not_for_engineers(browser: Browser, site: RunningSite) -> None:
    project = arena_project(site, "arenadrei", num_targets=1)
    with visit(browser, site, expected=["403 GET .*/arena"]) as page:
        page.emulate_media(reduced_motion="reduce")
        lea = Person(page, site, "lea")
        _speaks(lea, "de")
        page.goto("/p/arenadrei/")
        says(page, "1 Blindpaare zu beurteilen")
        judge = Judge(lea, project)
        judge.waits_for_pair()
        says(page, "Welcher ist besser?")
        shot(page, "arena-german")
        assert not cut_off(page, "arena in German", width=1280, height=800)
        _speaks(lea, "")
    with visit(browser, site, expected=["403 GET .*/arena"]) as page:
        mel = Person(page, site, "mel")
        page.goto("/p/arenadrei/")
        expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        expect(page.get_by_text("blind pair")).to_have_count(0)
        reply = mel.page.goto("/p/arenadrei/arena")
        assert reply is not None and reply.status == 403


def _speaks(person: Person, language: str) -> None:
    cookies = {cookie["name"]: cookie["value"] for cookie in person.page.context.cookies()}
    headers = {"X-CSRFToken": cookies["csrftoken"], "Referer": person.page.url}
    reply = person.page.request.patch("/api/v1/me/settings", data={"language": language}, headers=headers)
    assert reply.ok, reply.text()
