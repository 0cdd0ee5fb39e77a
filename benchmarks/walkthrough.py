"""`python -m benchmarks.walkthrough`: the three stages worked through at a person's pace; docs/reports/walkthrough.*.

Keystroke-level operators are waited for, the page's own time is measured beside them. A model's timings are no study.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import sync_playwright

from benchmarks.keystroke_level import Hands, Operator, Place
from tests.browser.person import Person, waits_until
from tests.browser.visitor import VIEWPORT
from tests.chromium import find_chromium
from tests.running_site import PROJECT, RunningSite, running_site
from training.provenance import provenance

REPORTS = PROJECT / "docs" / "reports"
PAPER_S = {"object": 10, "pick": 80, "pose": 150}
STAGES = {"object": "1 Object", "pick": "2 Pick", "pose": "3 Pose"}
WAYS = {"keys": "keyboard first", "mouse": "mouse only"}
Way = Literal["keys", "mouse"]
#: The demo has three objects for stage 2 at its start; what is picked there is stage 3's.
PLAN: tuple[tuple[str, Way, int], ...] = (
    ("object", "keys", 2),
    ("object", "mouse", 2),
    ("pick", "keys", 2),
    ("pick", "mouse", 1),
    ("pose", "keys", 2),
    ("pose", "mouse", 1),
)
NAME = "toy"  # of the demo's list
NEXT = """(task) => {
  const { ready, task: now } = document.querySelector("#app").dataset;
  return ready === "1" && now !== task;
}"""
STAGE = "window.__candid8.stage()"
FEWEST_PIXELS = 64
GLANCE_S = 0.6  # at the photo while Space is held


@dataclass(frozen=True, kw_only=True)
class Worked:
    """One task of the walk."""

    stage: str
    way: Way
    actions: dict[str, int]
    human_s: float
    system_s: float


class Walk:
    """One annotator's way through the demo project."""

    def __init__(self, person: Person, *, seed: int) -> None:
        self.person = person
        self.hands = Hands(person.page)
        self.chance = random.Random(seed)  # chooses among candidates

    def works(self, stage: str, way: Way, number: int) -> list[Worked]:
        """So many tasks of a stage, fewer if no more come."""
        done = []
        task = self.person.opens_stage(stage)
        for left in reversed(range(number)):
            self.hands.begin(way)
            getattr(self, f"_{stage}_by_{way}")()
            self.hands.waits_for(NEXT, task)
            tally = self.hands.tally
            actions = {operator.value: count for operator, count in tally.actions.items()}
            spent = {"human_s": tally.human_s, "system_s": tally.system_s}
            done.append(Worked(stage=stage, way=way, actions=actions, **spent))
            if left:
                task = self.person.waits_for_task(after=task)
        return done

    # ---- stage 1 ----

    def _object_by_keys(self) -> None:
        """A suggested mask by its number where there is one, else a box and Refine; then the name."""
        hands = self.hands
        hands.thinks()
        if self._has_suggestions():
            hands.presses("1")
        else:
            hands.presses("b")
            hands.drags(*self._box())
            hands.presses("r")
            if self._refinement_failed():
                hands.presses("Control+z")
        hands.thinks()
        hands.presses("l")
        hands.types(NAME)
        hands.presses("Enter", "Enter")

    def _object_by_mouse(self) -> None:
        """Box, Refine, the name from the list, Submit."""
        hands, page = self.hands, self.person.page
        hands.thinks()
        hands.clicks(self._button("tool.box"))
        hands.drags(*self._box())
        hands.clicks(self._button("refine"))
        if self._refinement_failed():
            hands.clicks(self._button("undo"))
        hands.thinks()
        hands.clicks(page.locator(".options [role=option]").nth(1))
        hands.clicks(self._button("submit"))

    def _has_suggestions(self) -> bool:
        with self.hands.aside():
            return bool(self.person.page.evaluate("window.__candid8.state().claim.task.proposals.length > 0"))

    def _box(self) -> tuple[Place, Place]:
        """Around what the photo shows: its margins left out."""
        with self.hands.aside():
            stage = self.person.stage()
            work = self.person.page.locator(".mask-canvas").bounding_box()
        assert work is not None
        view = stage["view"]
        wide, high = stage["width"] * view["scale"], stage["height"] * view["scale"]
        x, y = work["x"] + view["x"], work["y"] + view["y"]
        return (x + 0.15 * wide, y + 0.12 * high), (x + 0.85 * wide, y + 0.88 * high)

    def _refinement_failed(self) -> bool:
        """The page's wait for the edge; true when what comes back is next to nothing and the box is the better mask."""
        self.hands.waits_for(f"() => {STAGE}.busy === false")
        with self.hands.aside():
            return bool(self.person.stage()["maskPixels"] < FEWEST_PIXELS)

    # ---- stage 2 ----

    def _pick_by_keys(self) -> None:
        """All eight looked at, two of them large beside the photo, one picked and rated."""
        hands = self.hands
        hands.thinks(8)
        first, second = self.chance.sample(range(1, 9), 2)
        for number in (first, second):
            hands.presses(f"Shift+Digit{number}")
            hands.holds("Space", seconds=GLANCE_S)
            hands.thinks()
        hands.presses("Escape", str(first))
        hands.thinks()
        hands.presses("4")
        hands.thinks()
        hands.presses("r", "Enter")

    def _pick_by_mouse(self) -> None:
        hands, page = self.hands, self.person.page
        hands.thinks(8)
        first, second = self.chance.sample(range(1, 9), 2)
        for number in (first, second):
            hands.clicks(page.locator(f".cell[data-number='{number}'] .open"))
            hands.thinks()
            hands.clicks(page.locator(".cell[data-large] .open"))
        hands.clicks(page.locator(f".cell[data-number='{first}']"))
        for aspect in ("Shape", "Texture"):
            hands.thinks()
            hands.clicks(
                page.get_by_role("group", name=aspect).get_by_role("button", name="good", exact=False).first
            )
        hands.clicks(self._button("submit"))

    # ---- stage 3 ----

    def _pose_by_keys(self) -> None:
        """Snap, before and after, accept; a few nudges from above; and in."""
        hands = self.hands
        hands.thinks(2)
        hands.presses("i")
        if self._snap_was_found():
            hands.holds("Space", seconds=GLANCE_S)
            hands.thinks()
            hands.presses("Enter")
        hands.presses("2")
        hands.thinks()
        hands.presses("Control+ArrowLeft", "Control+ArrowLeft", "Control+ArrowRight")
        hands.presses("e")
        hands.thinks()
        hands.presses("Control+ArrowLeft", "Control+ArrowRight")
        hands.presses("1")
        hands.thinks(2)
        hands.presses("Enter")
        if self._is_warned():
            hands.thinks()
            hands.presses("Enter")

    def _pose_by_mouse(self) -> None:
        """Snap, before and after, accept; the gizmo's arrow, there and back; and in."""
        hands, page = self.hands, self.person.page
        hands.thinks(2)
        hands.clicks(self._button("snap"))
        if self._snap_was_found():
            hands.thinks()
            hands.clicks(self._button("review.accept"))
        hands.clicks(self._button("view.front"))
        hands.thinks()
        with hands.aside():
            page.wait_for_timeout(700)  # until the view has turned
            x, y = page.evaluate(f"window.__candid8.project({STAGE}.pose.translation, 'left')")
        hands.drags((x + 60, y), (x + 70, y))
        hands.thinks()
        hands.clicks(self._button("undo"))
        hands.clicks(self._button("view.photo"))
        hands.thinks(2)
        hands.clicks(self._button("submit"))
        if self._is_warned():
            hands.thinks()
            hands.clicks(self._button("submit"))

    def _snap_was_found(self) -> bool:
        self.hands.waits_for(f"() => {STAGE}.review !== 'waiting'")
        return bool(self.person.stage()["review"] == "after")

    def _is_warned(self) -> bool:
        with self.hands.aside():
            return self.person.page.locator(".toasts", has_text="Submit again").is_visible()

    def _button(self, command: str) -> Any:
        return self.person.page.locator(f"button[data-command='{command}']:visible").first


def measure(site: RunningSite, *, seed: int) -> tuple[list[Worked], str]:
    """Every task of the plan, and the name of the renderer."""
    chromium = find_chromium(PROJECT / ".candid8" / "browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=list(chromium.arguments),
            env=dict(chromium.environment) or None,
        )
        try:
            page = browser.new_context(base_url=site.url, viewport=VIEWPORT).new_page()
            page.emulate_media(reduced_motion="reduce")
            ana = Person(page, site, "ana")
            walk = Walk(ana, seed=seed)
            worked = []
            for stage, way, number in PLAN:
                _waits_for_tasks(ana, stage, number)
                worked += walk.works(stage, way, number)
            renderer = "software" if page.evaluate("window.__candid8.renderInfo().software") else "GPU"
            return worked, renderer
        finally:
            browser.close()


def _waits_for_tasks(ana: Person, stage: str, number: int) -> None:
    """Until the workers have made what the stage needs; that is no annotator's time."""

    def are_there() -> bool:
        queues = ana.asks(f"/projects/{ana.project_id()}")["queues"][stage]
        return bool(queues["open"] + queues["leased"] >= number)

    waits_until(are_there, what=f"{number} tasks of {stage}")


def summary(worked: list[Worked]) -> list[dict[str, Any]]:
    """Per stage and way: means over its tasks."""
    rows = []
    for stage, way, _ in PLAN:
        tasks = [each for each in worked if (each.stage, each.way) == (stage, way)]
        actions: Counter[str] = Counter()
        for each in tasks:
            actions.update(each.actions)
        human = statistics.mean(each.human_s for each in tasks)
        system = statistics.mean(each.system_s for each in tasks)
        rows.append(
            {
                "stage": stage, "way": way, "tasks": len(tasks),
                "actions_per_task": {name: round(actions[name] / len(tasks), 1) for name in Operator if actions[name]},
                "human_s": round(human, 1), "system_s": round(system, 1), "total_s": round(human + system, 1),
                "paper_s": PAPER_S[stage],
            }
        )  # fmt: skip
    return rows


def page_of(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    machine, kinds = report["machine"], [operator.value for operator in Operator]
    head = ["stage", "hands", "tasks", *kinds, "person, s", "page, s", "together, s", "paper, s"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in report["stages"]:
        counts = [f"{row['actions_per_task'].get(kind, 0):g}" for kind in kinds]
        figures = [f"{row[name]:.1f}" for name in ("human_s", "system_s", "total_s")]
        about = [STAGES[row["stage"]], WAYS[row["way"]], str(row["tasks"])]
        lines.append(f"| {' | '.join([*about, *counts, *figures, str(row['paper_s'])])} |")
    return f"""# A walk through the three stages

Written by `python -m benchmarks.walkthrough`; a change by hand would be overwritten. A script works through the demo
project in Chromium as a fluent person would. Each action is an operator of the keystroke-level model (Card, Moran &
Newell 1980) and is waited for: key or click 0.2 s, pointing 1.1 s, a hand to the other device 0.4 s, a mental act
1.35 s, a stroke 0.9 s and 0.16 s a centimetre. *Page* is measured: everything from the action to the page's being
ready, up to the next task that can be worked on. All counts and seconds are means per task.

{chr(10).join(lines)}

What this says and what it does not: it counts what the screens ask of hands, and how long the page keeps a person
waiting. It is no user study. The model knows nothing of doubt, of care or of a hard mask; a mental act stands for a
look at one candidate or for one decision, the script's picks are drawn by chance, and its poses are those that *Snap*
finds. People take longer, most of all in stages 2 and 3, where nearly all of the paper's time is judging. So the
figures beside the paper's are a floor: what is left of 10, 80 and 150 s is time to look.

Renderer: {report["renderer"]}. {machine["processor"]}, {machine["cores"]} cores, which models, database and browser
share; load {machine["load_average"][0]} at the end. Seed {report["seed"]}, commit `{report["commit"]}`,
{report["measured_at"]}, `{report["command"]}`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walkthrough", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=REPORTS, help=f"folder of the report (default: {REPORTS})"
    )
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="candid8-walk-") as folder,
        running_site(Path(folder) / "home", extra={"BROWSER_TEST_HANDLE": "true"}) as site,
    ):
        worked, renderer = measure(site, seed=arguments.seed)
    report = {
        "stages": summary(worked),
        "tasks": [asdict(each) for each in worked],
        "renderer": renderer,
        **provenance(seed=arguments.seed),
    }
    (arguments.out / "walkthrough.json").write_text(json.dumps(report, indent=2) + "\n")
    text = page_of(report)
    (arguments.out / "walkthrough.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
