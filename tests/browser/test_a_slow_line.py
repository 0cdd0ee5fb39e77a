"""Work goes on over a line that holds things up."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route

from tests.browser.person import Person, waits_until
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def lea(page: Page, site: RunningSite) -> Person:
    return Person(page, site, "lea")


def test_a_draft_that_is_held_up_never_meets_the_end_of_its_task(lea: Person) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    lea.page.route("**/draft", hold)
    task = lea.opens_stage("object")
    lea.marks_a_box()

    def draft_is_under_way() -> bool:
        lea.page.wait_for_timeout(100)
        return bool(held)

    waits_until(draft_is_under_way, what="the draft to be sent")
    lea.skips()
    lea.waits_for_task(after=task)
    for route in held:
        route.continue_()  # too late for whatever is still on its way: the server would answer 409
    lea.page.wait_for_timeout(1000)
