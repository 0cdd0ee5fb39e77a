"""One checkpoint with its nearest relations and what its evaluation kept, for scripts."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import NotFound
from engine.models import Checkpoint
from engine.selectors.examples import EvaluationExample, examples_of
from engine.selectors.lineage import ancestry


@dataclass(frozen=True, kw_only=True)
class CheckpointStory:
    """``ancestors``: nearest first; ``made_by_run`` is None for weights that were handed in."""

    checkpoint: Checkpoint
    ancestors: tuple[int, ...]
    children: tuple[int, ...]
    made_by_run: int | None
    examples: tuple[EvaluationExample, ...]


def checkpoint_story(checkpoint_id: int) -> CheckpointStory:
    """Four queries, however long the line. Raises NotFound."""
    line = ancestry(checkpoint_id)
    if not line:
        raise NotFound("There is no such checkpoint.")
    checkpoint, run = line[0].checkpoint, line[0].run
    return CheckpointStory(
        checkpoint=checkpoint,
        ancestors=tuple(each.checkpoint.pk for each in line[1:]),
        children=tuple(checkpoint.children.order_by("pk").values_list("pk", flat=True)),
        made_by_run=run.pk if run else None,
        examples=examples_of(checkpoint.evaluation),
    )
