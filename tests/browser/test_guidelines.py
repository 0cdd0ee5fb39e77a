"""Guidelines and the entry quiz as people meet them: asked to read, read again at work, examined, and then let in."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.person import PATIENCE_MS, Person
from tests.browser.visitor import shot, visit
from tests.running_site import RunningSite

pytestmark = pytest.mark.timeout(900)

MEMBER = """
from django.contrib.auth import get_user_model as U; from engine.models import *; from engine.states import *
from engine.services import gold, quizzes, projects, guidelines; from engine.transitions import Actor
from django.utils import timezone
demo = Project.objects.get(slug="demo"); by = Actor(name="test")
"""


@pytest.fixture
def ben(page: Page, site: RunningSite) -> Person:
    """A new annotator, who has read nothing yet."""
    site.shell(
        MEMBER + 'b = U().objects.create_user("ben", password="ben-reads-first"); '
        "projects.add_member(project_id=demo.pk, user_id=b.pk, role=Role.ANNOTATOR)"
    )
    with (site.home / "demo_accounts.txt").open("a", encoding="utf-8") as accounts:
        accounts.write("ben      annotator    ben-reads-first\n")
    return Person(page, site, "ben", reads=False)


def test_people_read_before_they_work_and_are_examined_if_a_lead_wants_it(
    ben: Person, browser: Browser, site: RunningSite
) -> None:
    _reads_before_the_first_task(ben)
    _reads_again_beside_the_work(ben)
    _a_lead_changes_a_rule(browser, site)
    _reads_what_changed(ben)
    _is_examined_by_keyboard(ben)


def _reads_before_the_first_task(ben: Person) -> None:
    ben.page.goto("/p/demo/work/object")
    read = ben.page.get_by_role("button", name="I have read it")
    expect(read).to_be_enabled(timeout=PATIENCE_MS)
    expect(ben.page.locator(".guide-text")).to_contain_text("one whole object")
    shot(ben.page, "20-guidelines-first")
    read.click()
    ben.waits_for_task(after="")


def _reads_again_beside_the_work(ben: Person) -> None:
    ben.presses("Shift+G")
    dialog = ben.page.get_by_role("dialog")
    dialog.get_by_role("button", name="2 Pick").click()
    expect(dialog.locator(".guide-text")).to_contain_text("How to rate")
    dialog.get_by_role("link", name="How to rate").click()
    expect(dialog.get_by_role("heading", name="How to rate")).to_be_focused()
    shot(ben.page, "21-guidelines-dialog")
    ben.presses("Escape")
    expect(dialog).to_have_count(0)


def _a_lead_changes_a_rule(browser: Browser, site: RunningSite) -> None:
    """In the console: a draft with its preview, where HTML stays text, then the new version."""
    with visit(browser, site) as page:
        lea = Person(page, site, "lea")
        page.goto(f"/admin/console/projects/{lea.project_id()}/object/guidelines/")
        written = page.get_by_label("Guidelines in Markdown")
        text = written.input_value().replace("Better not", "Leave out")
        written.fill(text + "\n\n<img src=x onerror=alert(1)> Shadows are *never* part of it.\n")
        page.get_by_label("What changed").fill("Shadows are left out.")
        page.get_by_role("button", name="Save the draft").click()
        preview = page.locator(".guide-text")
        expect(preview.locator(".is-new").last).to_contain_text("<img src=x onerror=alert(1)> Shadows")
        expect(preview.locator("img")).to_have_count(0)
        shot(page, "22-guidelines-draft")
        page.get_by_role("button", name="Publish version 2").click()
        expect(page.locator("body")).to_contain_text("Version 2 is published")


def _reads_what_changed(ben: Person) -> None:
    """The task in hand is finished first; then the new version stands before the next, and a key says it is read."""
    task = ben.page.locator("#app").get_attribute("data-task") or ""
    ben.skips()
    gate = ben.page.locator(".gate")
    expect(gate).to_contain_text("Shadows are left out.", timeout=PATIENCE_MS)
    expect(gate).to_contain_text("Changed since version 1")
    expect(gate.locator(".guide-text .is-new").first).to_contain_text("Leave out")
    expect(gate.locator("del").first).to_contain_text("Better not")
    shot(ben.page, "23-guidelines-changed")
    ben.presses("Control+Enter")
    assert ben.waits_for_task(after=task)


def _is_examined_by_keyboard(ben: Person) -> None:
    """A wrong answer and why it is wrong, in the stage's own screen; with the quiz off again there is work at once."""
    ben.site.shell(
        MEMBER + 'a = U().objects.get(username="lea"); target = TargetObject.objects.filter(project=demo, '
        'status="CONFIRMED").order_by("pk").first(); '
        'task = AnnotationTask.objects.filter(image=target.image, stage="object").latest("pk"); '
        "held, _ = Assignment.objects.get_or_create(task=task, annotator=a, defaults=dict(project=demo, "
        "stage='object', status='SUBMITTED', answer={}, expires_at=timezone.now())); "
        "edit = MaskEdit.objects.create(project=demo, assignment=held, target=target); "
        "gold.make_from_mask(mask_edit_id=edit.pk, why='All of it, up to the edge.', "
        "bar=gold.Bar(iou_at_least=0.5), actor=by); "
        "quizzes.set_rules(project_id=demo.pk, stage=Stage.OBJECT, is_on=True, num_questions=1, num_needed=1, "
        "pause_seconds=0)"
    )
    try:
        task = ben.page.locator("#app").get_attribute("data-task") or ""
        ben.skips()
        expect(ben.page.locator(".gate")).to_contain_text("A short quiz comes first", timeout=PATIENCE_MS)
        shot(ben.page, "24-quiz-first")
        ben.presses("Control+Enter")
        question = ben.waits_for_task(after=task)
        expect(ben.page.locator(".quiz-strip")).to_contain_text(re.compile("Quiz 1 of 1.*Mark this object"))
        ben.marks_a_box(half_width=12, half_height=12)
        ben.names("thing")
        ben.presses("Enter")
        mark = ben.page.get_by_role("dialog")
        expect(mark).to_contain_text("All of it, up to the edge.", timeout=PATIENCE_MS)
        expect(mark).to_contain_text("Not right")
        shot(ben.page, "25-quiz-not-right")
        ben.presses("Enter")
        expect(ben.page.locator(".gate")).to_contain_text("Last time: 0 right", timeout=PATIENCE_MS)
        ben.site.shell(MEMBER + "Quiz.objects.filter(project=demo).update(is_on=False)")
        ben.page.get_by_role("button", name="Begin the quiz").click()
        ben.waits_for_task(after=question)
        expect(ben.page.locator(".quiz-strip")).to_have_count(0)
    finally:  # the site is everybody's: no quiz, and no task in a hand that does not come back
        ben.site.shell(
            MEMBER + "from datetime import timedelta; from engine.services import leases; "
            "Quiz.objects.filter(project=demo).update(is_on=False); "
            "leases.expire_leases(now=timezone.now() + timedelta(days=1))"
        )
