"""What a frozen teacher draws from recorded noise: states at the times a few-step student will visit, kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.samplers import FlowSettings
from training.data.batches import BatchSource, ConditionBatch, DemonstrationBatch, without_points
from training.loop.fingerprint import weights_sha256


class TrajectoriesRefused(ValueError):
    """Recorded trajectories that will not be trained on; the message says what is wrong with them."""


@dataclass(frozen=True, kw_only=True)
class TeacherPlan:
    """How the teacher draws, guided, and how many of its states a student's steps connect: ``student_steps`` + 1.

    The times of both lie on one warped grid. Raises ValueError unless ``student_steps`` divides ``steps``.
    """

    steps: int = 24
    student_steps: int = 4
    rescale_t: float = 4.0
    cfg_strength: float = 1.0
    cfg_until: float = 0.5

    def __post_init__(self) -> None:
        if self.steps % self.student_steps:
            raise ValueError(
                f"{self.steps} steps of the teacher cannot be seen at {self.student_steps} steps"
            )

    def settings(self) -> FlowSettings:
        """The teacher's own integration."""
        return FlowSettings(
            steps=self.steps,
            rescale_t=self.rescale_t,
            cfg_strength=self.cfg_strength,
            cfg_interval=(0.0, self.cfg_until),
        )

    def times(self) -> list[float]:
        """The ``student_steps`` + 1 times at which states are kept."""
        return self.settings().times()[:: self.steps // self.student_steps]


@dataclass(frozen=True, kw_only=True)
class TrajectoryBatch:
    """Condition tokens (B x T x X) and standardised states at ``times``: B x (S + 1) x C x D^3 and B x (S + 1) x 13."""

    tokens: Tensor
    shape: Tensor
    layout: Tensor
    times: tuple[float, ...]

    def __post_init__(self) -> None:
        batch, states = self.shape.shape[0], len(self.times)
        assert self.shape.dim() == 6 and self.shape.shape[1] == states, self.shape.shape
        assert self.layout.shape == (batch, states, LAYOUT_DIM), self.layout.shape
        assert self.tokens.shape[0] == batch, self.tokens.shape


@dataclass(frozen=True, kw_only=True)
class TrajectorySet:
    """N trajectories and what made them: ``teacher`` is the sha256 of the recording model's weights."""

    data: TrajectoryBatch
    plan: TeacherPlan
    teacher: str

    def __len__(self) -> int:
        return len(self.data.tokens)


class TrajectorySource:
    """Trajectories drawn with replacement by the step's own generator."""

    def __init__(self, recorded: TrajectorySet, *, batch_size: int, seed: int) -> None:
        if len(recorded) == 0:
            raise ValueError("there are no trajectories to train on")
        self.recorded, self.batch_size, self.seed = recorded, batch_size, seed

    def batch(self, step: int) -> TrajectoryBatch:
        """The trajectories of a step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = torch.randint(len(self.recorded), (self.batch_size,), generator=generator)
        data = self.recorded.data
        return TrajectoryBatch(
            tokens=data.tokens[rows].float(),
            shape=data.shape[rows].float(),
            layout=data.layout[rows].float(),
            times=data.times,
        )


def recorded_at(
    file: Path,
    *,
    teacher: GeometryModel,
    conditions: Iterable[ConditionBatch],
    plan: TeacherPlan,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> TrajectorySet:
    """The trajectories in ``file``, recorded there first where it is missing: a resumed run records no second time.

    Raises TrajectoriesRefused when the file is another teacher's or was drawn otherwise.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        recorded = record_trajectories(teacher, conditions, plan, seed=seed, on_progress=on_progress)
        save_trajectories(recorded, file)
    return load_trajectories(file, teacher=weights_sha256(teacher), plan=plan)


def seen_by(
    source: BatchSource[DemonstrationBatch], *, batches: int, seed: int, points_dropout: float = 0.1
) -> Iterator[ConditionBatch]:
    """What the teacher is shown: the targets of the first ``batches`` of a source, some without their point map."""
    generator = torch.Generator().manual_seed(seed)
    for number in range(batches):
        condition = source.batch(number).condition
        yield without_points(condition, torch.rand(len(condition), generator=generator) < points_dropout)


def record_trajectories(
    teacher: GeometryModel,
    conditions: Iterable[ConditionBatch],
    plan: TeacherPlan,
    *,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> TrajectorySet:
    """Draw once for each target, all noise from one generator seeded with ``seed``; kept as float16.

    Raises ValueError when there is no target.
    """
    generator = torch.Generator().manual_seed(seed)
    parts: list[TrajectoryBatch] = []
    for views in conditions:
        with torch.no_grad():
            tokens = teacher.encode(views.crop, views.full, views.box)
        shape = torch.randn((len(views), *teacher.preset.latent_shape), generator=generator)
        layout = torch.randn((len(views), LAYOUT_DIM), generator=generator)
        parts.append(teacher_trajectory(teacher, tokens, shape, layout, plan))
        if on_progress is not None:
            on_progress(sum(len(part.tokens) for part in parts))
    if not parts:
        raise ValueError("there are no targets to record the teacher on")
    return TrajectorySet(
        data=TrajectoryBatch(
            tokens=torch.cat([part.tokens.half() for part in parts]),
            shape=torch.cat([part.shape.half() for part in parts]),
            layout=torch.cat([part.layout.half() for part in parts]),
            times=tuple(plan.times()),
        ),
        plan=plan,
        teacher=weights_sha256(teacher),
    )


@torch.no_grad()
def teacher_trajectory(
    teacher: GeometryModel, tokens: Tensor, shape: Tensor, layout: Tensor, plan: TeacherPlan
) -> TrajectoryBatch:
    """The guided Euler steps of ``draw_geometry`` from this standardised noise, with the states at ``plan.times()``."""
    settings, every = plan.settings(), plan.steps // plan.student_steps
    seen, blind = teacher.remember(tokens), teacher.remember(torch.zeros_like(tokens[:1]))
    shapes, layouts = [shape], [layout]
    for number, (start, stop) in enumerate(pairwise(settings.times()), start=1):
        t = torch.full((len(shape),), start)
        moved = teacher(shape, layout, t, seen)
        if settings.guides(start):
            w, unguided = settings.cfg_strength, teacher(shape, layout, t, blind)
            moved = tuple((1 + w) * one - w * other for one, other in zip(moved, unguided, strict=True))
        shape, layout = shape + (stop - start) * moved[0], layout + (stop - start) * moved[1]
        if number % every == 0:
            shapes.append(shape)
            layouts.append(layout)
    return TrajectoryBatch(
        tokens=tokens,
        shape=torch.stack(shapes, dim=1),
        layout=torch.stack(layouts, dim=1),
        times=tuple(plan.times()),
    )


def save_trajectories(recorded: TrajectorySet, file: Path) -> None:
    """Write whole or not at all."""
    draft = file.with_name(file.name + ".part")
    data = recorded.data
    about = json.dumps({"plan": asdict(recorded.plan), "teacher": recorded.teacher})
    save_file(
        {"tokens": data.tokens, "shape": data.shape, "layout": data.layout}, draft, metadata={"about": about}
    )
    draft.replace(file)


def load_trajectories(file: Path, *, teacher: str, plan: TeacherPlan) -> TrajectorySet:
    """Raises TrajectoriesRefused when they are another teacher's or were drawn otherwise."""
    try:
        with safe_open(file, framework="pt") as stored:
            about = json.loads(stored.metadata()["about"])
            tensors = {name: stored.get_tensor(name) for name in ("tokens", "shape", "layout")}
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise TrajectoriesRefused(f"{file.name} cannot be read: {error}") from error
    if about["teacher"] != teacher:
        raise TrajectoriesRefused(
            f"{file.name} was recorded from {about['teacher']}, the teacher is {teacher}"
        )
    if about["plan"] != asdict(plan):
        raise TrajectoriesRefused(f"{file.name} was drawn with {about['plan']}, wanted is {asdict(plan)}")
    data = TrajectoryBatch(**tensors, times=tuple(plan.times()))
    return TrajectorySet(data=data, plan=plan, teacher=teacher)
