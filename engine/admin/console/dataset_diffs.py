"""Page of two frozen versions side by side: what came, what went, what was judged anew, and why."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from engine.admin.console.datasets import Example, examples_of, version_of
from engine.admin.console.doors import page
from engine.admin.members import MAY_LOOK
from engine.errors import BadInput, NotFound
from engine.models import DatasetVersion
from engine.selectors.dataset_diff import Changed, VersionDiff, version_diff
from engine.selectors.datasets import versions_of
from engine.services.curation import Reason
from engine.states import DatasetStatus

#: So many of what came and of what went are shown with their photographs; the numbers count all.
SHOWN = 25
VERSIONS_OFFERED = 50


def diff_url(*, version_id: int) -> str:
    return reverse("admin:console-dataset-diff", kwargs={"version_id": version_id})


@page("admin/console/dataset_diff.html")
def diff_page(request: HttpRequest, *, version_id: int) -> dict[str, Any]:
    """``?against=`` is the earlier version; without it the one before this."""
    version = version_of(request, version_id, MAY_LOOK)
    others = list(
        versions_of(version.project_id)
        .exclude(pk=version.pk)
        .filter(status=DatasetStatus.FROZEN)[:VERSIONS_OFFERED]
    )
    against = _wanted(request, version, others)
    found = None
    if against is not None:
        try:
            found = version_diff(against, version)
        except BadInput as error:
            raise NotFound(error.message) from error
    return {
        "title": f"Dataset v{version.number} against v{against.number}"
        if against
        else f"Dataset v{version.number}",
        "section": "project",
        "project": version.project,
        "version": version,
        "others": others,
        "against": against,
        "diff": found,
        "moved": _moved(found) if found else [],
        "changed": _changed(found) if found else [],
        "reasons": [(each, Reason(each.reason).sentence) for each in found.exclusions] if found else [],
    }


def _wanted(
    request: HttpRequest, version: DatasetVersion, others: list[DatasetVersion]
) -> DatasetVersion | None:
    """The version that was asked for, else the newest before this one."""
    asked = request.GET.get("against", "")
    if asked:
        found = next((each for each in others if str(each.pk) == asked), None)
        if found is None:
            raise NotFound("There is no such frozen version in this project to compare with.")
        return found
    return next((each for each in others if each.number < version.number), None)


def _moved(found: VersionDiff) -> list[tuple[str, int, list[Any]]]:
    """What came and what went, each with its number and the first of it as people know it."""
    return [
        (name, len(lines), examples_of(lines[:SHOWN]))
        for name, lines in (("Came in", found.added), ("Went out", found.removed))
    ]


def _changed(found: VersionDiff) -> list[tuple[Any, str]]:
    """The first demonstrations that were judged anew, with the fields that differ as text."""
    some = found.changed[:SHOWN]
    now = {each.line["id"]: each for each in examples_of([change.after for change in some])}
    then = {each.line["id"]: each for each in examples_of([change.before for change in some])}
    return [
        (now[key], _differences(change, then[key], now[key])) for change in some if (key := change.id) in now
    ]


def _differences(change: Changed, then: Example, now: Example) -> str:
    """Numbers and people with what they were; of anything longer only that it came, went or is another one."""
    said = []
    for name in change.fields:
        old, new = change.before.get(name), change.after.get(name)
        if name == "annotator":
            said.append(f"annotator: {then.annotator}, now {now.annotator}")
        elif isinstance(old, int | float) or isinstance(new, int | float):
            said.append(f"{name}: {_short(old)}, now {_short(new)}")
        else:
            said.append(f"{name}: {'another one' if old and new else 'new' if new else 'gone'}")
    return "; ".join(said)


def _short(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
