"""Crowds of stated skill that judge the same tasks, as rows: what quality measures and reviews are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.contrib.auth.models import User

from engine.models import AnnotationTask, CandidateBatch, Project
from engine.states import Role, Stage, TaskStatus
from tests import judged


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """People by name, and the batches they judged."""

    people: Mapping[str, User]
    batches: Sequence[CandidateBatch]


def crowd_of_picks(
    of: Project,
    skills: Mapping[str, float],
    *,
    num_tasks: int,
    seed: int = 0,
    num_candidates: int = 4,
    label: str = "mug",
) -> Crowd:
    """Everybody in ``skills`` picks on every task: right with their skill, else one of the others."""
    rng = np.random.default_rng(seed)
    people = {name: judged.person(name, of, Role.ANNOTATOR) for name in skills}
    batches = []
    for _ in range(num_tasks):
        batch = judged.batch(of, label=label, sources=("candid8",) * num_candidates)
        batches.append(batch)
        truth = int(rng.integers(num_candidates))
        for name, skill in skills.items():
            is_right = rng.random() < skill
            winner = truth if is_right else int((truth + rng.integers(1, num_candidates)) % num_candidates)
            shown = [int(cell) for cell in rng.permutation(num_candidates)]
            judged.pick(batch, by=people[name], winner=winner, shown=shown)
    AnnotationTask.objects.filter(batch__in=batches, stage=Stage.PICK).update(
        num_judgements=len(skills), overlap=len(skills), status=TaskStatus.DONE, open_slots=0
    )
    return Crowd(people=people, batches=batches)
