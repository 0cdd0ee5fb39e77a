"""Asks one more person where the judgements so far leave a pick open: adaptive overlap under a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Sum

from engine.errors import NotFound
from engine.models import AnnotationTask, GoldItem, Project, Selection
from engine.ranking.reliability import label_posterior
from engine.selectors.annotators import quality_figures
from engine.services.tasks import announce_queue
from engine.states import Stage, TargetStatus, TaskStatus
from engine.transitions import Actor, Move, transition_together

#: Before anybody's agreement is known: what two honest people agree on, about.
USUAL_RELIABILITY = 0.6


@dataclass(frozen=True, kw_only=True)
class OverlapPolicy:
    """When a pick is settled, and how much may be asked beyond one judgement each."""

    margin: float = 0.8  # the posterior of the best less that of the second
    most: int = 3  # judgements of one task
    share: float = 0.2  # extra judgements per task done


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A done pick task and how far its best candidate leads."""

    task_id: int
    margin: float


def widen_overlap(
    *, project_id: int, actor: Actor, policy: OverlapPolicy | None = None, seed: int = 0
) -> list[Doubt]:
    """Reopens the done pick tasks that are least settled, each for one more person, while the budget lasts.

    Safe beside itself and beside submits: the project is locked, and a task that moved meanwhile is left alone.
    """
    rules = policy or OverlapPolicy()
    reliability = quality_figures(project_id).reliability
    with transaction.atomic():
        if Project.objects.select_for_update().filter(pk=project_id).first() is None:
            raise NotFound("There is no such project.")
        budget = _budget(project_id, rules)
        if budget <= 0:
            return []
        doubts = _doubts(project_id, rules, reliability)
        order = np.random.default_rng(seed).permutation(len(doubts))  # among equals, not the oldest first
        chosen = sorted((doubts[place] for place in order), key=lambda doubt: doubt.margin)[:budget]
        asked = _ask_again(
            [doubt.task_id for doubt in chosen], reason="the picks so far leave it open", actor=actor
        )
        if asked:
            announce_queue(project_id=project_id, stage=Stage.PICK)
    return [doubt for doubt in chosen if doubt.task_id in asked]


def ask_again(*, task: AnnotationTask, reason: str, actor: Actor) -> None:
    """Gives the task one more slot, reopening it when it was done. Must run inside a transaction; locks the task."""
    locked = AnnotationTask.objects.select_for_update().get(pk=task.pk)
    if locked.status == TaskStatus.OPEN:
        AnnotationTask.objects.filter(pk=locked.pk).update(
            open_slots=F("open_slots") + 1, overlap=F("overlap") + 1
        )
    elif locked.status == TaskStatus.DONE:
        transition_together([_reopening(locked, reason=reason)], by=actor)
    announce_queue(project_id=locked.project_id, stage=locked.stage)


def _ask_again(task_ids: list[int], *, reason: str, actor: Actor) -> set[int]:
    """Those of the tasks that were still done, reopened."""
    tasks = list(
        AnnotationTask.objects.select_for_update(skip_locked=True, of=["self"])
        .filter(pk__in=task_ids, status=TaskStatus.DONE)
        .order_by("pk")
    )
    if tasks:
        transition_together([_reopening(task, reason=reason) for task in tasks], by=actor)
    return {task.pk for task in tasks}


def _reopening(task: AnnotationTask, *, reason: str) -> Move:
    return Move(
        row=task,
        to=TaskStatus.OPEN,
        changes={"open_slots": task.open_slots + 1, "overlap": task.num_judgements + 1},
        guard={"open_slots": task.open_slots, "num_judgements": task.num_judgements},
        reason=reason,
    )


def _budget(project_id: int, rules: OverlapPolicy) -> int:
    """How many more may be asked for now."""
    tasks = AnnotationTask.objects.filter(project_id=project_id, stage=Stage.PICK)
    num_done = tasks.filter(status=TaskStatus.DONE).count()
    asked = tasks.filter(overlap__gt=1).aggregate(extra=Sum(F("overlap") - 1))["extra"] or 0
    return int(rules.share * num_done) - asked


def _doubts(project_id: int, rules: OverlapPolicy, reliability: Mapping[int, float]) -> list[Doubt]:
    """Every done task that has room for another judgement and no clear winner. One query.

    None that is gold: its answer is known, and who met it hidden among work may not be given it as work.
    """
    rows = Selection.standing.filter(
        ~Exists(GoldItem.objects.filter(task=OuterRef("assignment__task"))),
        project_id=project_id,
        winner__isnull=False,
        assignment__task__status=TaskStatus.DONE,
        assignment__task__num_judgements__lt=rules.most,
        batch__target__status=TargetStatus.CONFIRMED,
    ).values_list("assignment__task_id", "assignment__annotator_id", "winner__index", "batch__num_candidates")
    picks: dict[int, list[tuple[int, float]]] = defaultdict(list)
    options: dict[int, int] = {}
    for task, annotator, index, num_candidates in rows:
        picks[task].append((index, reliability.get(annotator, USUAL_RELIABILITY)))
        options[task] = max(2, num_candidates)
    found = []
    for task, answers in picks.items():
        posterior = label_posterior(
            labels=np.array([index for index, _ in answers]),
            reliability=np.array([trust for _, trust in answers]),
            num_options=options[task],
        )
        second, best = np.sort(posterior)[-2:]
        if best - second < rules.margin:
            found.append(Doubt(task_id=task, margin=float(best - second)))
    return found
