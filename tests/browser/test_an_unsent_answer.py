"""An answer that comes too late is not lost: the person finds it again with the task."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.person import PATIENCE_MS, Person, says
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

ENDS_THE_LEASE = """
from datetime import timedelta
from django.utils import timezone
from engine.models import Assignment
Assignment.objects.filter(uuid="{task}").update(expires_at=timezone.now() - timedelta(seconds=1))
"""


def test_an_answer_sent_after_the_lease_is_offered_again_with_the_task(
    browser: Browser, site: RunningSite
) -> None:
    with visit(browser, site, expected=["409 POST .*/submit"]) as page:
        lea = Person(page, site, "lea")
        task = lea.opens_stage("object")
        lea.marks_a_box()
        drawn = lea.stage()["maskPixels"]
        lea.names("thing that came late")
        expect(page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
        site.shell(ENDS_THE_LEASE.format(task=task))
        lea.presses("Enter")
        says(page, "The lease has run out")
        page.get_by_role("button", name="Take it again").click()
        says(page, "Your unsent answer to this task was kept.")
        assert lea.waits_for_task(after="") == task
        shot(page, "19-unsent-answer")
        lea.presses("Backspace")
        assert lea.stage()["maskPixels"] == 0
        page.get_by_role("button", name="Take it up again").click()
        says(page, "Enter submits")
        assert lea.stage()["maskPixels"] == pytest.approx(drawn, rel=0.01)
        expect(page.get_by_label("Name of the object")).to_have_value("thing that came late")
        expect(page.get_by_text("Your unsent answer")).to_have_count(0)
        expect(page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
        page.reload()
        assert lea.waits_for_task(after="") == task
        expect(page.get_by_text("Your unsent answer")).to_have_count(0)
        lea.skips()
