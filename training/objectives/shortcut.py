"""Few steps instead of many: by self-consistency, as published, or towards what a frozen, guided teacher drew."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from modelzoo.flow import interpolate
from modelzoo.models.geometry import ConditionMemory, GeometryModel
from training.data.batches import ConditionBatch, DemonstrationBatch
from training.data.trajectories import TrajectoryBatch
from training.losses.flow_matching import LayoutWeights, layout_error, shape_error
from training.losses.shortcut import average_velocity, bootstrap_step_sizes, bootstrap_times
from training.objectives.flow_matching import FlowMatchingObjective
from training.objectives.frozen import FrozenWeights

States = tuple[Tensor, Tensor]  # shape (B x C x D^3) and layout (B x 13), standardised


@dataclass(frozen=True, kw_only=True)
class SelfConsistencyObjective:
    """One step of 2d learns to equal two of d by the model itself, beside flow matching at step size 0 (facts 4).

    A share of the rows is bootstrapped, on the even grid of their own step size; in some of them the two steps are
    guided, the shape's only. Two steps of 1/``finest`` are the flow itself and are told step size 0.
    """

    flow: FlowMatchingObjective = field(default_factory=FlowMatchingObjective)
    weights: LayoutWeights = field(default_factory=LayoutWeights)
    share: float = 0.25
    finest: int = 128
    guided_share: float = 0.25
    cfg_strength: float = 2.0

    def loss(
        self, model: GeometryModel, batch: DemonstrationBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log; every random number comes from ``generator``."""
        rows = len(batch.condition)
        count = max(1, round(self.share * rows))
        consistency = self._consistency(model, _rows(batch, 0, count), generator)
        if count == rows:
            return consistency, {"consistency": consistency.item()}
        flow, metrics = self.flow.loss(model, _rows(batch, count, rows), generator)
        loss = ((rows - count) * flow + count * consistency) / rows
        return loss, {**metrics, "consistency": consistency.item()}

    def _consistency(
        self, model: GeometryModel, batch: DemonstrationBatch, generator: torch.Generator
    ) -> Tensor:
        count, views = len(batch.condition), batch.condition
        tokens = model.encode(views.crop, views.full, views.box)
        d = bootstrap_step_sizes(torch.rand(count, generator=generator), finest=self.finest)
        t = bootstrap_times(torch.rand(count, generator=generator), d)
        guided = torch.rand(count, generator=generator) < self.guided_share
        shape, layout = model.standardise_shape(batch.shape), model.standardise_layout(batch.layout)
        start = (
            interpolate(torch.randn(shape.shape, generator=generator), shape, t),
            interpolate(torch.randn(layout.shape, generator=generator), layout, t),
        )
        target = self._two_steps(model, start, t, d, tokens.detach(), guided)
        got_shape, got_layout = model(*start, t, tokens, 2.0 * d)
        known = batch.has_layout.to(got_layout.dtype)
        layout_errors = layout_error(got_layout, target[1], weights=self.weights) * known
        return shape_error(got_shape, target[0]).mean() + layout_errors.sum() / known.sum().clamp(min=1.0)

    @torch.no_grad()
    def _two_steps(
        self, model: GeometryModel, start: States, t: Tensor, d: Tensor, tokens: Tensor, guided: Tensor
    ) -> States:
        """The mean of the velocities of two steps of ``d``, by the model as it is now."""
        seen, blind = model.remember(tokens), model.remember(torch.zeros_like(tokens[:1]))
        told = torch.where(d > 1.0 / self.finest, d, torch.zeros_like(d))
        first = self._guided(model, start, t, told, seen, blind, guided)
        middle = _moved(start, first, d)
        second = self._guided(model, middle, t + d, told, seen, blind, guided)
        return (first[0] + second[0]) / 2, (first[1] + second[1]) / 2

    def _guided(
        self,
        model: GeometryModel,
        states: States,
        t: Tensor,
        told: Tensor,
        seen: ConditionMemory,
        blind: ConditionMemory,
        guided: Tensor,
    ) -> States:
        shape, layout = model(*states, t, seen, told)
        w = (self.cfg_strength * guided.to(shape.dtype)).view(-1, 1, 1, 1, 1)
        return shape + w * (shape - model(*states, t, blind, told)[0]), layout


@dataclass(frozen=True, kw_only=True)
class TrajectoryObjective:
    """Each of a few steps learns the constant velocity that leads from where the student is to where the teacher was.

    The student walks its own way from the recorded noise, one step of the recorded grid at a time, so that an error of
    one step is met, and mended, by the next. The gradient runs through the whole walk: an early step also learns what
    the later ones can make good and what they cannot. Guidance is in the targets. It is told step_size =
    1 / (number of steps), as ``FlowSettings`` of kind shortcut tells it.

    ``keep_weight`` times the distance to ``teacher``'s own velocities, at step size 0 and partly without the
    photograph, keeps the flow: the same weights go on to take many steps, guided or not. At 0 nothing is kept, and a
    step costs a third less.
    """

    teacher: GeometryModel
    weights: LayoutWeights = field(default_factory=LayoutWeights)
    keep_weight: float = 1.0
    blind_share: float = 0.3
    frozen: FrozenWeights = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", FrozenWeights(self.teacher, name="the teacher"))

    def loss(
        self, model: GeometryModel, batch: TrajectoryBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean over the steps, and what to log of each. Raises ReferenceChanged when the teacher was trained."""
        self.frozen.glance()
        walked, metrics = self._walked(model, batch)
        if self.keep_weight == 0.0:
            return walked, metrics
        kept = self._kept(model, batch, generator)
        return walked + self.keep_weight * kept, {**metrics, "kept": kept.item()}

    def _walked(self, model: GeometryModel, batch: TrajectoryBatch) -> tuple[Tensor, dict[str, float]]:
        """Nothing is drawn: the noise is the recorded one."""
        memory, rows, steps = model.remember(batch.tokens), len(batch.tokens), len(batch.times) - 1
        state, told = (batch.shape[:, 0], batch.layout[:, 0]), batch.tokens.new_full((rows,), 1.0 / steps)
        shape_losses, layout_losses = [], []
        for number, (start, stop) in enumerate(pairwise(batch.times), start=1):
            t, later_t = told.new_full((rows,), start), told.new_full((rows,), stop)
            found = model(*state, t, memory, told)
            wanted = (
                average_velocity(state[0], batch.shape[:, number], t=t, later_t=later_t),
                average_velocity(state[1], batch.layout[:, number], t=t, later_t=later_t),
            )
            shape_losses.append(shape_error(found[0], wanted[0]).mean())
            layout_losses.append(layout_error(found[1], wanted[1], weights=self.weights).mean())
            state = _moved(state, found, later_t - t)
        shape, layout = torch.stack(shape_losses).mean(), torch.stack(layout_losses).mean()
        steps_missed = {f"shape_step_{n}": one.item() for n, one in enumerate(shape_losses, start=1)}
        missed = (state[0] - batch.shape[:, -1]).square().mean()
        return shape + layout, {**steps_missed, "layout": layout.item(), "missed": missed.item()}

    def _kept(self, model: GeometryModel, batch: TrajectoryBatch, generator: torch.Generator) -> Tensor:
        """At a random point of each trajectory, between two of its states."""
        rows, segments = torch.arange(len(batch.tokens)), len(batch.times) - 1
        number = torch.randint(segments, (len(rows),), generator=generator)
        share = torch.rand(len(rows), generator=generator)
        times = torch.tensor(batch.times)
        t = torch.lerp(times[number], times[number + 1], share)
        shape, layout = (
            torch.lerp(one[rows, number], one[rows, number + 1], share.view(-1, *[1] * (one.dim() - 2)))
            for one in (batch.shape, batch.layout)
        )
        seen = (torch.rand(len(rows), generator=generator) >= self.blind_share).to(shape.dtype)
        tokens = batch.tokens * seen[:, None, None]
        found = model(shape, layout, t, tokens)
        with torch.no_grad():
            wanted = self.teacher(shape, layout, t, tokens)
        layout_errors = layout_error(found[1], wanted[1], weights=self.weights)
        return shape_error(found[0], wanted[0]).mean() + layout_errors.mean()


def _moved(states: States, velocity: States, length: Tensor) -> States:
    return (
        states[0] + length.view(-1, 1, 1, 1, 1) * velocity[0],
        states[1] + length.view(-1, 1) * velocity[1],
    )


def _rows(batch: DemonstrationBatch, start: int, stop: int) -> DemonstrationBatch:
    own, views = slice(start, stop), batch.condition
    return DemonstrationBatch(
        condition=ConditionBatch(crop=views.crop[own], full=views.full[own], box=views.box[own]),
        shape=batch.shape[own],
        layout=batch.layout[own],
        has_layout=batch.has_layout[own],
    )
