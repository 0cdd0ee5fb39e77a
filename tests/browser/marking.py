"""What the walks through stage 1 share: a project of their own, so that no other test waits for its photographs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from skimage import data

from tests.browser.person import Person, waits_until
from tests.running_site import RunningSite

MAKES_PROJECT = """
from pathlib import Path
from django.contrib.auth import get_user_model
from engine.services.images import ingest_image
from engine.services.projects import add_member, create_project
from engine.states import Role
names = (("cup", "cup"), ("saucer", "saucer"), ("spoon", "spoon"), ("table", "table"))
project = create_project(slug="{slug}", name="Marks", taxonomy=names)
for name, role in (("ana", Role.ANNOTATOR), ("lea", Role.LEAD)):
    person = get_user_model().objects.get(username=name)
    add_member(project_id=project.pk, user_id=person.pk, role=role)
for path in {paths}:
    ingest_image(project_id=project.pk, data=Path(path).read_bytes(), name=Path(path).name, user_id=None)
"""

READS_ANSWERS = """
import json
from engine.models import MaskEdit
edits = MaskEdit.objects.filter(project__slug="{slug}").order_by("pk").select_related("target")
print(json.dumps([[e.target.label, e.target.flags, e.warnings, e.target.area_px] for e in edits]))
"""

COUNTS_EVENTS = """
window.__hands = {pointer: 0, key: 0};
addEventListener("pointerdown", () => { window.__hands.pointer += 1; }, true);
addEventListener("keydown", () => { window.__hands.key += 1; }, true);
"""


def cup_photograph(path: Path, *, width: int = 600, height: int = 400) -> Path:
    """A cup of coffee on its saucer, at any size."""
    picture = Image.fromarray(data.coffee()).resize((width, height), Image.Resampling.BICUBIC)
    picture.save(path, quality=90)
    return path


def make_project(site: RunningSite, *, slug: str, photographs: list[Path]) -> None:
    site.shell(MAKES_PROJECT.format(slug=slug, paths=[str(path) for path in photographs]))


def opens_marking(person: Person, slug: str) -> str:
    person.page.goto(f"/p/{slug}/work/object")
    return person.waits_for_task(after="")


def waits_for_refinement(person: Person, *, before: int) -> None:
    waits_until(
        lambda: not person.stage()["busy"] and person.stage()["maskPixels"] != before, what="the refinement"
    )
