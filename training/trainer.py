"""The one loop of every stage: guarded steps, a log line each, atomic state files, bit-equal resume on CPU."""

from __future__ import annotations

import copy
import json
import logging
import math
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from training.configs import RunConfig
from training.data.batches import BatchSource
from training.loop.devices import moved, working_on
from training.loop.distributed import Team, gradients_kept, whole
from training.loop.optimizers import learning_rate_share, make_optimizers, update_average
from training.loop.run_state import RunState, optimizer_tensors, read_state, restore_optimizers, write_state

logger = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"
NAMED_AT_MOST = 3  # parameters in a message
STOP_RULE_STEPS = 5

Progress = Callable[[int, int, dict[str, float]], None]
Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)
Model = TypeVar("Model", bound=nn.Module)
Model_contra = TypeVar("Model_contra", bound=nn.Module, contravariant=True)


class Objective(Protocol[Model_contra, Batch_contra]):
    """Gives the loss of a batch and the numbers to log."""

    def loss(
        self, model: Model_contra, batch: Batch_contra, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]: ...


class NonFiniteLoss(FloatingPointError):
    """A loss or gradient was not finite; the optimizer was not moved and the last saved state stays."""


@dataclass(frozen=True, kw_only=True)
class LoopResult:
    """How a loop ended: ``reason`` is finished, stopped (signal) or chosen_rise (stop rule)."""

    steps: int
    reason: str
    metrics: dict[str, float]


class LossModule(nn.Module, Generic[Model, Batch]):
    """An objective as a module whose forward is the loss: what several processes are joined by."""

    def __init__(self, model: Model, objective: Objective[Model, Batch], precision: str) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.lowered = precision == "bfloat16"

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one micro-batch and what to log of it."""
        lowered = torch.autocast(generator.device.type, dtype=torch.bfloat16, enabled=self.lowered)
        with working_on(generator.device), lowered:
            return self.objective.loss(self.model, batch, generator)


class TrainingLoop(Generic[Model]):
    """Trains ``model`` in place and keeps its moving average in ``average``; resumes from ``folder`` when it can.

    What requires no gradient is left as it is. In a team every process makes the loop alike and runs it; number 0
    alone writes and reports, and a state may be taken up by another number of processes.
    """

    def __init__(
        self,
        *,
        config: RunConfig,
        model: Model,
        objective: Objective[Model, Batch],
        source: BatchSource[Batch],
        folder: Path,
        on_progress: Progress | None = None,
        clock_progress: Callable[[], float] | None = None,
        team: Team | None = None,
    ) -> None:
        self.config = config
        self.team = Team() if team is None else team
        self.parts = self.team.parts(config.micro_batches)
        self.model = model.train().to(self.team.device)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.source = source
        self.folder = folder
        self.on_progress = on_progress
        self.clock_progress = clock_progress
        self.step = 0
        self.stop_asked = False
        folder.mkdir(parents=True, exist_ok=True)
        state = read_state(folder)
        if state is not None:
            self.step = state.step
            self.model.load_state_dict(state.under("model."))
            self.average.load_state_dict(state.under("average."))
        self.loss = self.team.joined(LossModule(self.model, objective, config.precision))
        self.team.shard(self.average)
        self.optimizers = make_optimizers(self.model, config.optimizer)
        if state is not None:
            restore_optimizers(self.optimizers, state.under("optimizer."))
        self.generator = torch.Generator(self.team.device)

    def run(self) -> LoopResult:
        """Train until the steps (or the clock) run out, a signal asks to stop, or the stop rule bites.

        Raises NonFiniteLoss, in every process, before the optimizer moves.
        """
        previous = signal.signal(signal.SIGTERM, self._ask_stop)
        reason, metrics, saved = "finished", dict[str, float](), time.monotonic()
        rises = deque[float](maxlen=STOP_RULE_STEPS)
        try:
            while True:
                orders = self._agreed(saved)
                if orders.progress >= 1.0 or orders.must_stop:
                    reason = "finished" if orders.progress >= 1.0 else "stopped"
                    break
                if orders.must_save:
                    self.save()
                    saved = time.monotonic()
                metrics = self._one_step(orders.progress)
                self._report(metrics)
                rises.append(metrics.get("chosen_rise", 0.0))
                if len(rises) == STOP_RULE_STEPS and np.mean(rises) > self.config.max_chosen_rise:
                    reason = "chosen_rise"
                    break
        finally:
            signal.signal(signal.SIGTERM, previous)
        self.save()
        return LoopResult(steps=self.step, reason=reason, metrics=metrics)

    def save(self) -> None:
        """Write the whole state; all processes must call it."""
        tensors = {
            **{f"model.{name}": value for name, value in _whole_state(self.model).items()},
            **{f"average.{name}": value for name, value in self.whole_average().items()},
            **{f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizers).items()},
        }
        if self.team.leads:
            state = RunState(step=self.step, tensors=tensors)
            write_state(self.folder, state, config=self.config.as_dict())

    def whole_average(self) -> dict[str, Tensor]:
        """State of the average on the CPU, whatever it is spread over; all processes must call it."""
        return _whole_state(self.average)

    def _agreed(self, saved: float) -> _Orders:
        """What all processes do next: number 0 has the clock, anyone may have been asked to stop."""
        done = self.clock_progress() if self.clock_progress else self.step / self.config.steps
        late = time.monotonic() - saved > self.config.save_every_s
        stop = self.stop_asked or self.team.abandoned
        wishes = self.team.gather(_Orders(progress=done, must_save=late, must_stop=stop))
        return _Orders(
            progress=wishes[0].progress,
            must_save=wishes[0].must_save,
            must_stop=any(wish.must_stop for wish in wishes),
        )

    def _one_step(self, progress: float) -> dict[str, float]:
        settings = self.config.optimizer
        rate = settings.learning_rate * learning_rate_share(settings, step=self.step, progress=progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        rows = self._backward()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        total = get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        norm = float(whole(total))
        if not math.isfinite(norm):
            raise NonFiniteLoss(f"step {self.step}: the gradient of {self._spoilt()} is not finite")
        clip_grads_with_norm_(trained, settings.clip_norm, total)
        for optimizer in self.optimizers:
            optimizer.step()
        update_average(self.average, self.model, decay=settings.ema_decay, step=self.step)
        self.step += 1
        return {**_means(rows), "gradient_norm": norm, "learning_rate": rate}

    def _backward(self) -> list[dict[str, float]]:
        """Gradients of the mean loss; the numbers of each micro-batch, those of other processes too."""
        rows = []
        for part in self.parts:
            index = self.step * self.config.micro_batches + part
            self.generator.manual_seed(_loss_seed(self.config.seed, index))
            with gradients_kept(self.loss, until_last=part != self.parts[-1]):
                loss, metrics = self.loss(moved(self.source.batch(index), self.team.device), self.generator)
                (loss / len(self.parts)).backward()
            rows.append({"loss": loss.item(), **metrics})
        all_rows = [row for said in self.team.gather(rows) for row in said]
        for row in all_rows:
            if not math.isfinite(row["loss"]):
                named = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
                raise NonFiniteLoss(f"step {self.step}: the loss is not finite ({named})")
        return all_rows

    def _spoilt(self) -> str:
        """Names of parameters whose gradient is not finite."""
        names = [
            name
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None and not torch.isfinite(whole(parameter.grad)).all()
        ]
        more = len(names) - NAMED_AT_MOST
        return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")

    def _report(self, metrics: dict[str, float]) -> None:
        if not self.team.leads:
            return
        with (self.folder / LOG_FILE).open("a") as log:
            log.write(json.dumps({"step": self.step, **metrics}) + "\n")
        if self.on_progress is not None:
            self.on_progress(self.step, self.config.steps, metrics)

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        logger.info("asked to stop; saving after this step", extra={"signal": number})
        self.stop_asked = True


@dataclass(frozen=True, kw_only=True)
class _Orders:
    """How far the run is, and what is due."""

    progress: float
    must_save: bool
    must_stop: bool


def _loss_seed(seed: int, index: int) -> int:
    """Of the random numbers in the loss of micro-batch ``index``: not those that any source draws its rows by."""
    words = np.random.SeedSequence([seed, index], spawn_key=(1,)).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each number over the micro-batches that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _whole_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: whole(value).cpu() for name, value in module.state_dict().items()}
