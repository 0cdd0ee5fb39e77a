"""Pages of a frozen dataset version: what is in it, what was left out and why, and the runs that learn from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.urls import reverse

from engine import blobs
from engine.admin.console.doors import Done, action, actor_of, data, page
from engine.admin.console.forms import StartRunForm, require_valid
from engine.admin.members import MAY_DRIVE, MAY_LOOK, reach_of, require_in
from engine.errors import BadInput, NotFound
from engine.models import Checkpoint, DatasetVersion, TargetObject, TrainingRun
from engine.selectors import deployments
from engine.selectors.datasets import manifest_lines
from engine.selectors.runs import runs_of
from engine.services import runs
from engine.services.curation import Reason
from engine.states import CheckpointStatus, Role

ROWS_PER_PAGE = 25
NUM_BASES = 40


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a table of counts; ``share`` is of the whole."""

    name: str
    number: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """All exclusions for one reason."""

    reason: str
    sentence: str
    subjects: tuple[str, ...]
    num_more: int


@dataclass(frozen=True, kw_only=True)
class StartPanel:
    """The form of one objective, or why it cannot start."""

    objective: str
    name: str
    explains: str
    form: StartRunForm
    hindrance: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """A demonstration for people."""

    line: Mapping[str, Any]
    label: str
    thumbnail_url: str
    annotator: str


def version_url(*, version_id: int) -> str:
    return reverse("admin:console-dataset", kwargs={"version_id": version_id})


@page("admin/console/dataset.html")
def dataset_page(request: HttpRequest, *, version_id: int) -> dict[str, Any]:
    version = version_of(request, version_id, MAY_LOOK)
    cloned = _cloned(request, version)
    lines = manifest_lines(version.manifest_key) if version.manifest_key else ()
    demonstrations = [line for line in lines if line["kind"] == "demonstration"]
    examples = Paginator(demonstrations, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    return {
        "title": f"Dataset v{version.number}",
        "section": "project",
        "project": version.project,
        "version": version,
        "counts": [
            (name, bars(version.counts.get(key, {}), by_name=key == "ratings"))
            for name, key in (
                ("By class", "labels"),
                ("By source", "sources"),
                ("By rating", "ratings"),
                ("By annotator", "annotators"),
                ("By point map", "point_maps"),
                ("Pairs by evidence", "pair_evidence"),
                ("Pairs by annotator", "pair_annotators"),
            )
        ],
        "judged": version.counts.get("judgements", {}),
        "excluded": excluded(version.exclusions),
        "page_of_examples": examples,
        "examples": examples_of(list(examples.object_list)),
        "runs": runs_of(version.project_id).filter(dataset_version=version),
        "panels": _panels(version, cloned),
        "cloned": cloned,
        "may_drive": reach_of(request).may_in(version.project_id, MAY_DRIVE),
    }


@data
def manifest(request: HttpRequest, *, version_id: int) -> HttpResponse:
    """The frozen file as it is, to download."""
    version = version_of(request, version_id, MAY_LOOK)
    if not version.manifest_key:
        raise NotFound("This version is not frozen yet.")
    return HttpResponse(
        blobs.get(version.manifest_key),
        content_type="application/x-ndjson",
        headers={
            "Content-Disposition": f'attachment; filename="{version.project.slug}-v{version.number}.jsonl"'
        },
    )


@action(back=version_url)
def start_run(request: HttpRequest, *, version_id: int) -> Done:
    version = version_of(request, version_id, MAY_DRIVE)
    objective = request.POST.get("objective", "")
    if objective not in TrainingRun.Objective.values:
        raise BadInput("Choose what the run is for: SFT or DPO.")
    form = StartRunForm(request.POST, objective=objective, bases=_bases())
    chosen = require_valid(form)
    run = runs.start_run(
        project_id=version.project_id,
        dataset_version_id=version.pk,
        objective=objective,
        base_checkpoint_id=chosen["base_checkpoint"],
        seed=chosen["seed"],
        settings=form.settings(),
        actor=actor_of(request),
    )
    return Done(
        message=f"Run {run.pk} is queued.", url=reverse("admin:console-run", kwargs={"run_id": run.pk})
    )


def bars(counts: dict[str, int], *, by_name: bool) -> list[Bar]:
    """The largest first, or by name where names are numbers; the rest in one line."""
    total = sum(counts.values()) or 1
    ordered = sorted(counts.items(), key=lambda item: (0 if by_name else -item[1], item[0]))
    shown = [Bar(name=name, number=number, share=number / total) for name, number in ordered[:12]]
    rest = sum(number for _, number in ordered[12:])
    return [*shown, Bar(name=f"{len(ordered) - 12} more", number=rest, share=rest / total)] if rest else shown


def excluded(exclusions: Sequence[dict[str, str]]) -> list[Excluded]:
    """Grouped by reason, the commonest first, naming the first of each."""
    tally = Counter(exclusion["reason"] for exclusion in exclusions)
    groups = []
    for reason, number in tally.most_common():
        subjects = [each["subject"] for each in exclusions if each["reason"] == reason]
        groups.append(
            Excluded(
                reason=reason,
                sentence=Reason(reason).sentence,
                subjects=tuple(subjects[:40]),
                num_more=max(0, number - 40),
            )
        )
    return groups


def _panels(version: DatasetVersion, cloned: TrainingRun | None) -> list[StartPanel]:
    """A form for each objective, with what a cloned run had, or else with defaults that were seen to learn."""
    bases = _bases()
    if cloned is not None and all(base.pk != cloned.base_checkpoint_id for base in bases):
        bases.append(cloned.base_checkpoint)
    serving = deployments.serving()
    tuned = next((base for base in bases if _learnt_from(base, version)), None)
    served = serving.checkpoint_id if serving else None
    starts = {"sft": served, "dpo": tuned.pk if tuned else served}

    def form(objective: str) -> StartRunForm:
        if cloned is not None and cloned.objective == objective:
            initial = {**cloned.settings, "base_checkpoint": cloned.base_checkpoint_id, "seed": cloned.seed}
        else:
            initial = {"base_checkpoint": starts[objective]}
        return StartRunForm(objective=objective, bases=bases, initial=initial)

    def one_pass(objective: str, num_examples: int) -> str:
        steps = runs.steps_of_one_pass(objective=objective, num_examples=num_examples)
        return f"At the usual settings {steps} step{pluralize(steps)} see{pluralize(steps, 's,')} all of them once."

    return [
        StartPanel(
            objective="sft",
            name="Supervised fine-tuning",
            explains=f"Learns the {version.num_demonstrations} demonstrations, mixed with synthetic replay. "
            + one_pass("sft", version.num_demonstrations),
            form=form("sft"),
            hindrance="" if version.num_demonstrations else "This version holds no demonstrations.",
        ),
        StartPanel(
            objective="dpo",
            name="Preference optimisation",
            explains=f"Learns the {version.num_preference_pairs} preference pairs, held to its base. After SFT. "
            + one_pass("dpo", version.num_preference_pairs),
            form=form("dpo"),
            hindrance="" if version.num_preference_pairs else "This version holds no preference pairs.",
        ),
    ]


def _cloned(request: HttpRequest, version: DatasetVersion) -> TrainingRun | None:
    """The run of this project that ``?clone=`` names."""
    asked = request.GET.get("clone", "")
    if not asked:
        return None
    runs_here = TrainingRun.objects.filter(project_id=version.project_id).select_related("base_checkpoint")
    found = runs_here.filter(pk=int(asked)).first() if asked.isascii() and asked.isdigit() else None
    if found is None:
        raise NotFound("There is no such run in this project.")
    return found


def _learnt_from(base: Checkpoint, version: DatasetVersion) -> bool:
    return any(run.dataset_version_id == version.pk for run in base.made_by_runs.all())


def _bases() -> list[Checkpoint]:
    """The newest checkpoints a run may start from, with the runs that made them."""
    return list(
        Checkpoint.objects.exclude(status=CheckpointStatus.REFUSED)
        .prefetch_related("made_by_runs")
        .order_by("-id")[:NUM_BASES]
    )


def examples_of(lines: Sequence[Mapping[str, Any]]) -> list[Example]:
    """The lines with what people call their things. Two queries."""
    people = {line["annotator"] for line in lines if line["annotator"]}
    names = dict(get_user_model().objects.filter(pk__in=people).values_list("pk", "username"))
    targets = TargetObject.objects.select_related("image").in_bulk({line["target"] for line in lines})
    return [
        Example(
            line=line,
            label=targets[line["target"]].label,
            thumbnail_url=blobs.url(targets[line["target"]].image.thumbnail_key),
            annotator=names.get(line["annotator"], "unknown"),
        )
        for line in lines
        if line["target"] in targets
    ]


def version_of(request: HttpRequest, version_id: int, wanted: frozenset[Role]) -> DatasetVersion:
    """The version, for a person who has one of the roles in its project."""
    found = (
        DatasetVersion.objects.select_related("project", "round", "frozen_by").filter(pk=version_id).first()
    )
    if found is None:
        raise NotFound("There is no such dataset version.")
    require_in(request, found.project_id, wanted)
    return found
