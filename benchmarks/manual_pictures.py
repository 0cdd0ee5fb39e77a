"""`python -m benchmarks.manual_pictures`: every state an annotator may meet, as docs/pictures/annotators/*.jpg."""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, expect, sync_playwright

from tests.browser.marking import cup_photograph, make_project, opens_marking
from tests.browser.person import PATIENCE_MS, Person, says, waits_until
from tests.browser.visitor import VIEWPORT
from tests.chromium import find_chromium
from tests.running_site import PROJECT, RunningSite, running_site

FOLDER = PROJECT / "docs" / "pictures" / "annotators"
#: Of the screen's 1280 x 800: as wide as a page shows it. All pictures together stay below 3 MB.
SIZE = (1120, 700)
MOST_BYTES = 64_000
QUALITIES = (80, 72, 64, 56, 48)
SETTLING_MS = 900
NEWCOMER, NEWCOMERS_PASSWORD = "nina", "nina-reads-first"
CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*"}

ENGINE = """
from datetime import timedelta
from django.contrib.auth import get_user_model as U; from django.utils import timezone
from engine.models import *; from engine.states import *; from engine.transitions import Actor
from engine.services import gold, projects, quizzes
demo = Project.objects.get(slug="demo")
"""
MAKES_A_NEWCOMER = ENGINE + (
    f'person = U().objects.create_user("{NEWCOMER}", password="{NEWCOMERS_PASSWORD}"); '
    "projects.add_member(project_id=demo.pk, user_id=person.pk, role=Role.ANNOTATOR)"
)
MAKES_A_QUIZ = ENGINE + (
    'target = TargetObject.objects.filter(project=demo, status="CONFIRMED").order_by("pk").first(); '
    'task = AnnotationTask.objects.get(image=target.image, stage="object"); '
    'held = Assignment.objects.create(project=demo, task=task, annotator=U().objects.get(username="lea"), '
    "stage='object', status='SUBMITTED', answer={}, expires_at=timezone.now()); "
    "edit = MaskEdit.objects.create(project=demo, assignment=held, target=target); "
    "gold.make_from_mask(mask_edit_id=edit.pk, why='All of it, up to the edge.', "
    "bar=gold.Bar(iou_at_least=0.8), actor=Actor(name='pictures')); "
    "quizzes.set_rules(project_id=demo.pk, stage=Stage.OBJECT, is_on=True, num_questions=1, num_needed=1, "
    "pause_seconds=0)"
)
LEASES_LAST = ENGINE + 'Project.objects.filter(slug="{slug}").update(lease_seconds={seconds})'
ENDS_THE_QUIZ = ENGINE + "Quiz.objects.filter(project=demo).update(is_on=False)"
ENDS_THE_LEASE = ENGINE + (
    'Assignment.objects.filter(uuid="{task}").update(expires_at=timezone.now() - timedelta(seconds=1))'
)
LOSE_CONTEXT = """() => document.querySelector(".viewport canvas").getContext("webgl2")
  .getExtension("WEBGL_lose_context").loseContext()"""
NO_WEBGL = """
  const real = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    return kind.startsWith("webgl") ? null : real.call(this, kind, ...more);
  };
"""


class Album:
    """Takes pictures of one site."""

    def __init__(self, browser: Browser, site: RunningSite, folder: Path) -> None:
        self.browser, self.site, self.folder = browser, site, folder

    @contextmanager
    def visit(self) -> Iterator[Page]:
        """A page of its own, where nothing turns by itself."""
        context = self.browser.new_context(base_url=self.site.url, viewport=VIEWPORT)
        page = context.new_page()
        page.emulate_media(reduced_motion="reduce")
        page.set_default_timeout(PATIENCE_MS)
        try:
            yield page
        finally:
            context.close()

    def takes(self, page: Page, name: str) -> None:
        """The screen as it is once it has settled, small enough for a manual."""
        page.bring_to_front()
        page.wait_for_function("() => [...document.images].every((picture) => picture.complete)")
        page.wait_for_timeout(SETTLING_MS)
        write_picture(page.screenshot(timeout=PATIENCE_MS), self.folder / f"{name}.jpg")


def write_picture(png: bytes, path: Path) -> None:
    """A screenshot, or a part of one, at the size of the manuals and as light as they want it."""
    screen = Image.open(io.BytesIO(png)).convert("RGB")
    part = SIZE[0] / VIEWPORT["width"]
    picture = screen.resize(
        (round(part * screen.width), round(part * screen.height)), Image.Resampling.LANCZOS
    )
    for quality in QUALITIES:
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=quality, optimize=True, progressive=True)
        if encoded.tell() <= MOST_BYTES:
            break
    path.write_bytes(encoded.getvalue())


def first_day(album: Album) -> None:
    """Log in, the project, guidelines, the entry quiz: somebody new."""
    album.site.shell(MAKES_A_NEWCOMER)
    with (album.site.home / "demo_accounts.txt").open("a", encoding="utf-8") as accounts:
        accounts.write(f"{NEWCOMER:8} annotator    {NEWCOMERS_PASSWORD}\n")
    with album.visit() as page:
        page.goto("/login")
        album.takes(page, "login")
        nina = Person(page, album.site, NEWCOMER, reads=False)
        page.goto("/p/demo/")
        expect(page.locator("#app")).to_have_attribute("data-ready", "1")
        expect(page.locator("img").first).to_be_visible()
        album.takes(page, "project")
        page.goto("/p/demo/work/object")
        read = page.get_by_role("button", name="I have read it")
        expect(read).to_be_enabled()
        album.takes(page, "guidelines")
        read.click()
        task = nina.waits_for_task(after="")
        album.site.shell(MAKES_A_QUIZ)
        nina.skips()
        expect(page.locator(".gate")).to_contain_text("A short quiz comes first")
        album.takes(page, "quiz")
        nina.presses("Control+Enter")
        nina.waits_for_task(after=task)
        nina.marks_a_box(half_width=40, half_height=40)
        nina.names("box")
        album.takes(page, "quiz-question")
        nina.presses("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("All of it, up to the edge.")
        album.takes(page, "quiz-answer")
        album.site.shell(ENDS_THE_QUIZ)


def marking(album: Album) -> None:
    """Stage 1, from the first box to the answer, with what is asked and said on the way."""
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        task = _with_suggestions(ana)
        album.takes(page, "object-suggestions")
        ana.presses("1")
        album.takes(page, "object-suggestion-taken")
        ana.presses("Backspace")
        ana.marks_a_box(half_width=150, half_height=120)
        album.takes(page, "object-box")
        before = ana.stage()["maskPixels"]
        ana.presses("r")
        waits_until(
            lambda: not ana.stage()["busy"] and ana.stage()["maskPixels"] != before, what="refinement"
        )
        album.takes(page, "object-refined")
        _strays(ana)
        waits_until(lambda: "parts" in ana.stage()["warnings"], what="the warning")
        album.takes(page, "object-warning")
        ana.presses("Control+z", "l")
        page.keyboard.type("bo")
        album.takes(page, "object-name")
        page.keyboard.type("x")
        ana.presses("Enter", "n", "c")
        _draws_a_path(ana)
        album.takes(page, "object-scissors")
        ana.presses("Enter", "l")
        page.keyboard.type("tool")
        ana.presses("Enter")
        album.takes(page, "object-two")
        dialogs = {"?": "keys", "Shift+G": "guidelines-beside", "s": "skip", "Delete": "object-discard"}
        for keys, name in dialogs.items():
            ana.presses(keys)
            expect(page.get_by_role("dialog")).to_be_visible()
            album.takes(page, name)
            ana.presses("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
        ana.presses("Enter")
        ana.waits_for_task(after=task)
        album.takes(page, "sent")
        ana.presses("Shift+H")
        expect(page.get_by_role("dialog", name="My work")).to_be_visible()
        album.takes(page, "my-work")
        ana.presses("Escape", "Alt+p")
        says(page, "You are having a break")
        album.takes(page, "break")


def _with_suggestions(ana: Person) -> str:
    """A photo of the demo with proposed masks in hand; the others are let go."""
    task = ana.opens_stage("object")
    while not ana.page.evaluate("window.__candid8.state().claim.task.proposals.length"):
        ana.skips()
        task = ana.waits_for_task(after=task)
    return task


def _work_area(ana: Person) -> tuple[float, float, float, float]:
    box = ana.page.locator(".mask-canvas").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def _strays(ana: Person) -> None:
    x, y, width, height = _work_area(ana)
    ana.presses("d")
    ana.drags((x + 0.2 * width, y + 0.2 * height), (x + 0.24 * width, y + 0.2 * height))


def _draws_a_path(ana: Person) -> None:
    x, y, width, height = _work_area(ana)
    for across, down in ((0.66, 0.3), (0.78, 0.32), (0.8, 0.5)):
        ana.page.mouse.click(x + across * width, y + down * height)
    ana.page.mouse.move(x + 0.68 * width, y + 0.52 * height, steps=4)


def troubles(album: Album) -> None:
    """No line, two tabs, a lease that ran out, a session that ended, nothing to do."""
    with album.visit() as page:
        lea = Person(page, album.site, "lea")
        task = lea.opens_stage("object")
        _marks(lea)
        second = page.context.new_page()
        second.goto(page.url)
        says(second, "This stage is open in another tab")
        album.takes(second, "other-tab")
        second.close()
        page.context.set_offline(True)
        _strays(lea)
        expect(page.locator(".saved")).to_have_text("kept in this browser")
        album.takes(page, "offline")
        lea.presses("Enter")
        says(page, "Waiting for the connection")
        album.takes(page, "waiting")
        page.context.set_offline(False)
        task = lea.waits_for_task(after=task)
        _marks(lea)
        album.site.shell(ENDS_THE_LEASE.format(task=task))
        lea.presses("Enter")
        says(page, "The lease has run out")
        album.takes(page, "lease-lost")
        page.get_by_role("button", name="Take it again").click()
        says(page, "Your unsent answer to this task was kept.")
        lea.waits_for_task(after="")
        album.takes(page, "unsent")
        page.get_by_role("button", name="Take it up again").click()
        with album.visit() as elsewhere:
            other = Person(elsewhere, album.site, "lea")
            other.opens_stage("object")
            _strays(other)
            expect(elsewhere.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)
        lea.presses("Control+z")
        says(page, "Another tab or device saved this task differently")
        album.takes(page, "two-drafts")
        page.get_by_role("button", name="Keep this one").click()
        page.context.clear_cookies()
        _strays(lea)
        says(page, "You are logged out")
        album.takes(page, "logged-out")
    _a_lease_that_ends_soon(album)
    _an_upload_that_is_refused(album)
    make_project(album.site, slug="nothing-to-do", photographs=[])
    with album.visit() as page:
        Person(page, album.site, "ana")
        page.goto("/p/nothing-to-do/work/object")
        says(page, "Nothing to do here right now")
        album.takes(page, "empty")


def _a_lease_that_ends_soon(album: Album) -> None:
    cup = cup_photograph(album.site.home / "cup.jpg")
    make_project(album.site, slug="short-leases", photographs=[cup])
    album.site.shell(LEASES_LAST.format(slug="short-leases", seconds=58))
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        opens_marking(ana, "short-leases")
        ana.marks_a_box()
        page.context.set_offline(True)  # a clock that is not renewed
        ana.marks_a_box(half_width=150)
        expect(page.locator(".saved")).to_have_text("kept in this browser")
        album.takes(page, "lease-amber")


def _an_upload_that_is_refused(album: Album) -> None:
    with album.visit() as page:
        Person(page, album.site, "lea")
        page.goto("/p/demo/")
        expect(page.locator("#app")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files…").click()
        letter: FilePayload = {
            "name": "letter.png",
            "mimeType": "image/png",
            "buffer": b"Dear project, this is no picture.",
        }
        chooser.value.set_files([letter])
        refused = page.locator(".upload", has_text="letter.png")
        expect(refused).to_be_visible()
        page.wait_for_timeout(1500)
        album.takes(page, "upload-refused")


def _marks(lea: Person) -> None:
    lea.marks_a_box()
    lea.names("box")
    expect(lea.page.locator(".saved")).to_have_text("saved", timeout=PATIENCE_MS)


def picking(album: Album) -> None:
    """Stage 2: all at once, one large, two at a time, rated, and none good enough."""
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        ana.opens_stage("pick")
        album.takes(page, "pick")
        for key, name in (("c", "pick-clay"), ("n", "pick-normals")):
            ana.presses(key)
            album.takes(page, name)
        ana.presses("m", "Shift+Digit2")
        page.wait_for_timeout(2000)
        album.takes(page, "pick-large")
        if page.locator("[data-command='photo.camera']").is_enabled():
            ana.presses("0", "]", "]")
            album.takes(page, "pick-over-the-photo")
            ana.presses("[", "[", "Home")
        page.keyboard.down("Space")
        album.takes(page, "pick-photo")
        page.keyboard.up("Space")
        ana.presses("Escape", "k")
        album.takes(page, "pick-two")
        ana.presses("k", "e")
        expect(page.get_by_role("dialog")).to_be_visible()
        album.takes(page, "pick-none")
        ana.presses("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        ana.presses("3", "4", "r")
        expect(page.locator(".anchor-example .cell .state")).to_be_hidden()
        album.takes(page, "pick-rated")
        ana.presses("Escape")


def picking_faults(album: Album) -> None:
    """Stage 2 with files that cannot be loaded, without a picture, and without WebGL."""
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        ana.opens_stage("pick")
        candidates = page.evaluate("window.__candid8.state().claim.task.candidates")
        files = [[one[name].partition("?")[0] for name in ("mesh_url", "preview_url")] for one in candidates]
        missing: set[str] = set()

        def answer(route: Route) -> None:
            if route.request.url.partition("?")[0] in missing:
                route.fulfill(status=404, headers=CROSS_ORIGIN, body="")
            else:
                route.continue_()

        page.route("**/*.glb*", answer)
        for number, name in ((2, "pick-cannot-be-loaded"), (7, "pick-too-few")):
            missing.update(url for pair in files[:number] for url in pair)
            page.reload()
            expect(page.locator(".cell[data-phase=failed]")).to_have_count(number)
            album.takes(page, name)
        missing.clear()
        page.reload()
        ana.waits_for_task(after="")
        page.evaluate(LOSE_CONTEXT)
        expect(page.locator(".work .viewport-lost")).to_be_visible()
        album.takes(page, "picture-lost")
    with album.visit() as page:
        page.add_init_script(NO_WEBGL)
        Person(page, album.site, "ana")
        page.goto("/p/demo/work/pick")
        expect(page.get_by_role("alert")).to_contain_text("cannot draw in 3D")
        album.takes(page, "no-webgl")


def placing(album: Album) -> None:
    """Stage 3: the proposal, from above, snapped, by pairs, a warning, and what cannot be placed."""
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        _picks_one(ana)
        ana.opens_stage("pose")
        waits_until(lambda: ana.stage()["symmetry"]["found"] is not None, what="the look for symmetry")
        album.takes(page, "pose")
        ana.presses("o", "2")
        album.takes(page, "pose-above")
        ana.presses("o", "1", "i")
        waits_until(lambda: ana.stage()["review"] != "waiting", what="the snap")
        album.takes(page, "pose-snapped")
        if ana.stage()["review"] == "after":
            ana.presses("Escape")
        ana.presses("p")
        for pane in ("", "left"):
            x, y = page.evaluate(
                "(pane) => { const c = window.__candid8; return c.project(c.stage().pose.translation, pane); }",
                pane,
            )
            page.mouse.click(x + 4, y + 4)
        album.takes(page, "pose-pairs")
        ana.presses("Escape", "w", *(["Shift+ArrowLeft"] * 4))
        waits_until(lambda: page.locator(".fit-hint").is_visible(), what="the hint")
        ana.presses("Enter")
        says(page, "Submit again if it is right all the same.")
        album.takes(page, "pose-worse")
        ana.presses("Backspace", "Shift+E")
        expect(page.get_by_role("dialog")).to_be_visible()
        album.takes(page, "pose-cannot-be-placed")


def _picks_one(ana: Person) -> None:
    """Stage 2 in the shortest way, so that stage 3 has a shape; nothing where it has one already."""
    queue = ana.asks(f"/projects/{ana.project_id()}")["queues"]["pose"]
    if queue["open"] + queue["leased"] == 0:
        task = ana.opens_stage("pick")
        ana.presses("3", "5", "t", "Enter")
        app = ana.page.locator("#app")
        waits_until(lambda: app.get_attribute("data-task") != task, what="the end of the pick")


def settings(album: Album) -> None:
    """The light theme and the second language."""
    with album.visit() as page:
        ana = Person(page, album.site, "ana")
        try:
            _wishes(ana, theme="light", language="de")
            ana.opens_stage("pick")
            album.takes(page, "light-and-german")
        finally:
            _wishes(ana, theme="", language="")


def _wishes(ana: Person, **wishes: str) -> None:
    token = {cookie["name"]: cookie["value"] for cookie in ana.page.context.cookies()}["csrftoken"]
    headers = {"X-CSRFToken": token, "Referer": ana.page.url}
    reply = ana.page.request.patch("/api/v1/me/settings", data=wishes, headers=headers)
    assert reply.ok, reply.text()


CHAPTERS: dict[str, Callable[[Album], None]] = {
    chapter.__name__: chapter
    for chapter in (first_day, marking, troubles, picking, picking_faults, placing, settings)
}


def take(site: RunningSite, folder: Path, names: list[str]) -> None:
    """Takes the pictures of these chapters."""
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    chromium = find_chromium(PROJECT / ".candid8" / "browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=list(chromium.arguments),
            env=dict(chromium.environment) or None,
        )
        try:
            for name in names:
                CHAPTERS[name](Album(browser, site, folder))
                print(name, flush=True)
        finally:
            browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.manual_pictures", description=__doc__)
    parser.add_argument("chapters", nargs="*", choices=[*CHAPTERS, []], help="which to take (default: all)")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"where they go (default: {FOLDER})")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="candid8-pictures-") as home,
        running_site(Path(home) / "home", extra={"BROWSER_TEST_HANDLE": "true"}) as site,
    ):
        take(site, arguments.out, arguments.chapters or list(CHAPTERS))


if __name__ == "__main__":
    main()
