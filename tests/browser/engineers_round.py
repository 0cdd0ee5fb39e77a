"""A whole round as an ML engineer turns it in the admin, click by click; tests and the manual's pictures walk it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.browser.person import PATIENCE_MS, Person, says, waits_until
from tests.browser.quick_people import QuickPerson

#: Shows the page, or one part of it, under a name.
Takes = Callable[[Page, str, Locator | None], None]

#: Three people on each pick, so that few targets make many picks.
ALL_LOOK = (
    "from engine.models import AnnotationTask as T; "
    "T.objects.filter(project__slug='demo', stage='pick', status='OPEN').update(open_slots=3, overlap=3)"
)
NEWEST_TARGET = (
    "from engine.models import TargetObject as T; "
    "print(T.objects.filter(project__slug='demo', status='CONFIRMED').latest('id').pk)"
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything: small for a test, larger for pictures."""

    steps: int = 8
    held_out: int = 3
    candidates: int = 4


class EngineersRound:
    """Mel at the console; ana, lea and the admin judge meanwhile, by the interface."""

    def __init__(self, mel: Person, takes: Takes, size: Size) -> None:
        self.mel, self.page, self.site, self.size = mel, mel.page, mel.site, size
        self._takes = takes
        self._shot = 0
        self.people = {name: QuickPerson(mel.site, name) for name in ("ana", "lea", "admin")}

    def turns(self) -> None:
        """From the open round to the undone mistake."""
        self.opens_a_round()
        self.people_judge()
        self.looks_at_the_yield()
        self.freezes_twice_and_compares()
        tuned = self.trains("SFT", base=None)
        self.looks_at_a_clone()
        aligned = self.trains("DPO", base=tuned)
        self.reads_the_checkpoint()
        self.promotes(aligned)
        self.rolls_back(aligned)
        self.looks_at_the_outbox()
        self.closes_the_round()
        self.tries_a_canary(aligned)
        self.lets_people_compare(aligned)

    def takes(self, name: str, of: Locator | None = None) -> None:
        """The next picture."""
        self._shot += 1
        self._takes(self.page, f"{self._shot:02}-{name}", of)

    # ---- the round ----

    def opens_a_round(self) -> None:
        page = self.page
        page.goto("/admin/")
        self.takes("console")
        page.get_by_role("link", name="Demo", exact=True).first.click()
        page.get_by_role("link", name="Go to round").click()
        page.get_by_role("button", name="Close the round").click()
        says(page, "is closed")
        page.get_by_label("Alpha").fill("0.5")
        page.get_by_label("Candidates per target").fill(str(self.size.candidates))
        page.get_by_label("From which sources").fill("candid8 1, moon 1")
        page.get_by_role("button", name="Open the next round").click()
        says(page, "'moon' is no source here. There are candid8, retrieval")
        page.get_by_label("Alpha").fill("0.5")
        page.get_by_label("Candidates per target").fill(str(self.size.candidates))
        page.get_by_label("From which sources").fill("")
        self.takes("open-a-round")
        page.get_by_role("button", name="Open the next round").click()
        says(page, "Round 2 is open.")

    def people_judge(self) -> None:
        """One photograph is marked; then three people pick on every target."""
        ana = self.people["ana"]
        ana.marks("cup")
        before = 3  # targets of the demo project
        for number in range(1, before + 2):  # a slow machine makes them one after the other
            self._waits_for_picks(number)
        self.site.shell(ALL_LOOK)
        assert ana.picks([(5, 4), (4, 4), (3, 2), (2, 2)]) > before

    def _waits_for_picks(self, number: int) -> None:
        waits_until(
            lambda: self.people["ana"].waiting("pick") >= number, what=f"{number} targets' candidates"
        )

    def looks_at_the_yield(self) -> None:
        self.page.reload()
        expect(self.page.get_by_text("Pass alpha")).to_be_visible()
        self.takes("yield")

    # ---- data ----

    def freezes_twice_and_compares(self) -> None:
        page = self.page
        page.get_by_role("button", name="Freeze dataset version").click()
        says(page, "Dataset v1 is frozen")
        picked = self.people["lea"].picks([(5, 5), (4, 3), (4, 4), (5, 4)], first=1)
        picked += self.people["admin"].picks([(4, 5), (5, 5), (2, 3), (4, 4)], first=2)
        assert picked >= 8, "with ana's, a dozen picks"
        page.get_by_role("link", name="Demo", exact=True).click()
        page.get_by_role("link", name="Round 2", exact=True).click()
        page.get_by_label("Alpha").fill("0.6")
        page.get_by_role("button", name="Freeze dataset version").click()
        says(page, "Dataset v2 is frozen")
        self.takes("dataset")
        page.locator(".cards.thirds").scroll_into_view_if_needed()
        reasons = page.locator("details.reason")
        assert reasons.count() > 0, "superseded picks are left out, and say so"
        reasons.first.locator("summary").click()
        self.takes("dataset-counts")
        page.get_by_role("link", name="Compare with another version").click()
        says(page, "Dataset v2 against v1")
        self.takes("dataset-diff")
        page.get_by_role("link", name="Dataset v2").click()

    # ---- training ----

    def trains(self, objective: str, *, base: str | None) -> str:
        """Fills the form, watches the curve move, follows the run to its checkpoint; returns the checkpoint's name."""
        page, panel = self.page, self.page.locator(f"#start-{objective.lower()}")
        panel.get_by_label("Steps").fill(str(self.size.steps))
        panel.get_by_label("Held-out objects").fill(str(self.size.held_out))
        if base is not None:
            chooser = panel.get_by_label("Base checkpoint")
            names = chooser.locator("option").all_inner_texts()
            chooser.select_option(label=next(name for name in names if name.startswith(base)))
        self.takes(f"start-{objective.lower()}", panel)
        panel.get_by_role("button", name=f"Start {objective} run").click()
        page.wait_for_url("**/runs/**")
        self.run_url = page.url
        self._watches(objective)
        made = page.locator("a.button.primary", has_text="Checkpoint")
        expect(made).to_be_visible(timeout=PATIENCE_MS * 2)
        expect(page.locator("h1")).to_contain_text("SUCCEEDED")
        made.click()
        page.wait_for_url("**/checkpoints/**")
        name: str = page.locator("h1").evaluate("heading => heading.firstChild.textContent.trim()")
        if objective == "SFT":
            self.checkpoint_url = page.url
        return name

    def _watches(self, objective: str) -> None:
        """The loss is drawn while the run goes on, and has more than one step by then."""
        page = self.page
        curve = page.locator("[data-candid8-curve]").first
        expect(curve.locator("canvas")).to_be_visible(timeout=PATIENCE_MS * 2)
        steps = page.locator("[data-candid8-steps]")
        waits_until(
            lambda: int(steps.inner_text().split("/")[0]) > 1, what="the second step", told=steps.inner_text
        )
        first = steps.inner_text()
        waits_until(lambda: steps.inner_text() != first or self._has_ended(), what="the next step")
        if objective == "SFT":
            page.wait_for_timeout(600)
            self.takes("run")

    def _has_ended(self) -> bool:
        return any(word in self.page.locator("h1").inner_text() for word in ("SUCCEEDED", "FAILED"))

    def looks_at_a_clone(self) -> None:
        page = self.page
        page.goto(self.run_url)
        page.get_by_role("link", name="Clone", exact=True).click()
        panel = page.locator("#start-sft")
        expect(panel).to_contain_text("This is what run")
        expect(panel.get_by_label("Steps")).to_have_value(str(self.size.steps))
        self.takes("clone", panel)

    # ---- the checkpoint ----

    def reads_the_checkpoint(self) -> None:
        page = self.page
        evaluation = page.locator("section.panel").filter(has=page.get_by_role("heading", name="Evaluation"))
        expect(evaluation.locator("tbody tr").first).to_contain_text("volume iou")
        self.takes("evaluation")
        examples = page.locator("section.panel").filter(has=page.get_by_role("heading", name="Examples"))
        grid = examples.locator(".grid-view").first
        grid.scroll_into_view_if_needed()
        expect(grid.locator("canvas")).to_be_visible()
        expect(grid.locator(".cell").filter(has_text="parent 1")).to_contain_text("IoU", timeout=PATIENCE_MS)
        assert grid.locator(".cell").count() == 10, "truth and four candidates of the parent, and of this one"
        page.wait_for_timeout(1500)
        self.takes("examples")
        family = page.locator(".family")
        family.scroll_into_view_if_needed()
        assert family.locator("li").count() == 3 and family.locator("circle").count() == 3
        expect(family.locator("li[aria-current]")).to_contain_text("DPO run")
        self.takes("family", page.locator("section.panel").filter(has=family))

    def promotes(self, name: str) -> None:
        """The generation changes on the page, and in what is made from now on."""
        page = self.page
        page.get_by_role("button", name="Deploy").click()
        says(page, f"{name} serves as generation 2")
        self.takes("promoted")
        assert self._generation_of_the_next_candidates() == 2

    def rolls_back(self, name: str) -> None:
        page = self.page
        page.get_by_role("button", name="Roll back").first.click()
        says(page, "Rolled back")
        expect(page.locator("section.panel").first).to_contain_text("shipped")
        says(page, f"Roll back to {name}")
        self.takes("rolled-back")

    def _generation_of_the_next_candidates(self) -> int:
        ana = self.people["ana"]
        ana.marks("spoon")
        target = self.site.shell(NEWEST_TARGET)
        found: list[int] = []

        def are_made() -> bool:
            made = self.mel.asks(f"/targets/{target}/lineage")["candidates"]
            found[:] = [one["generation"] for one in made]
            return len(found) == self.size.candidates

        waits_until(are_made, what="candidates of the new generation")
        assert len(set(found)) == 1
        return found[0]

    # ---- afterwards ----

    def looks_at_the_outbox(self) -> None:
        page = self.page
        page.get_by_role("navigation", name="Console").get_by_role("link", name="Jobs").click()
        says(page, "Queues")
        expect(page.get_by_role("row").filter(has_text="train_run").first).to_contain_text("DONE")
        self.takes("jobs")

    def closes_the_round(self) -> None:
        page = self.page
        page.get_by_role("navigation", name="Console").get_by_role("link", name="Projects").click()
        page.get_by_role("link", name="Round 2", exact=True).click()
        page.get_by_role("button", name="Close the round").click()
        says(page, "Round 2 is closed")
        self.takes("round-closed")

    # ---- before one promotes the next time ----

    def tries_a_canary(self, name: str) -> None:
        """A share of the batches for a checkpoint beside what serves; changed, and given up."""
        page = self.page
        self._goes_to("Checkpoints")
        panel = page.locator("section.panel").filter(has=page.get_by_role("heading", name="Canary"))
        panel.get_by_label("Checkpoint").select_option(label=name)
        panel.get_by_label("Share of the batches").fill("0.5")
        panel.get_by_role("button", name="Try as a canary").click()
        says(page, f"{name} makes 50.0% of the batches as a canary.")
        panel.get_by_label("Share of the batches").fill("0.25")
        panel.get_by_role("button", name="Change the share").click()
        says(page, "The canary makes 25.0% of the batches from now on.")
        self.takes("canary", panel)
        panel.get_by_label("Why it is given up").fill("People compare it first.")
        panel.get_by_role("button", name="Give up").click()
        says(page, "is given up; batches that it made stay.")

    def lets_people_compare(self, name: str) -> None:
        """An arena makes what each checkpoint lacks, and ana judges blind."""
        page = self.page
        self._goes_to("Projects")
        page.get_by_role("link", name="Demo", exact=True).first.click()
        page.get_by_role("link", name="Arena", exact=True).click()
        page.get_by_label("Name").fill("Aligned against serving")
        for each in (name, self._serves()):
            page.get_by_label(each, exact=True).check()
        page.get_by_label("Number of targets").fill("3")
        page.get_by_role("button", name="Open the arena").click()
        says(page, "The arena Aligned against serving is open.")

        def are_made() -> bool:
            page.reload()
            return page.get_by_text("were made.").count() == 1

        waits_until(are_made, what="the arena's candidates")
        assert self.people["ana"].judges_pairs(["left", "right", "equal"]) == 3
        page.reload()
        expect(page.locator("dl.figures").first).to_contain_text("3 of 3")
        self.takes("arena")

    def _serves(self) -> str:
        rows = self.mel.asks(f"/projects/{self.people['ana'].project}/deployments")["results"]
        return next(str(row["checkpoint_name"]) for row in rows if row["status"] == "SERVING")

    def _goes_to(self, name: str) -> None:
        self.page.get_by_role("navigation", name="Console").get_by_role("link", name=name).click()
